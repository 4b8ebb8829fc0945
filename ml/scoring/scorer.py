"""The scorer: a trained model kept warm, giving score, map, restoration and regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ml import device as devices
from ml.barlow_twins.trainer import load_encoder
from ml.calibration import p_values
from ml.data.alignment import Aligner
from ml.data.letterbox import Letterbox, letterbox
from ml.data.model_view import model_view
from ml.features import (
    SQUEEZENET_FILE,
    EncoderFeatures,
    FeatureExtractor,
    SqueezeNetFeatures,
    installed,
)
from ml.inpainting.model import InpaintingModel
from ml.inpainting.trainer import load_model
from ml.masks import sweep
from ml.presets import PRESETS
from ml.scoring.maps import differences
from ml.scoring.model_folder import ModelError, read_manifest, read_tensors
from ml.scoring.normalise import Norm
from ml.scoring.regions import Region, find_regions
from ml.scoring.restore import restore
from ml.scoring.setting import Setting

__all__ = ["ModelError", "ScoredPicture", "Scorer"]


@dataclass(frozen=True)
class ScoredPicture:
    """All that the method says about one picture.

    score and map share one unit, deviations from normal; map, view and restored have the
    picture's aspect at the model's resolution: (H, W), (H, W, 3), (H, W, 3).
    """

    score: float
    paper_score: float
    p_value: float
    map: NDArray[np.float32]
    view: NDArray[np.uint8]
    restored: NDArray[np.uint8]
    regions: list[Region]


@dataclass(frozen=True)
class Engine:
    """The parts that turn pixels into maps; shared by calibration and scoring."""

    model: InpaintingModel
    extractor: FeatureExtractor
    masks: Tensor

    def maps(self, image: Tensor) -> tuple[Tensor, float, Tensor]:
        """For an image (3, S, S) in 0..1: maps (n, L, S, S), Eq. 7, restoration (3, S, S)."""
        image = image.to(self.masks.device)
        restored = restore(self.model, image, self.masks)
        compared = differences(self.extractor, image, restored)
        # The median over cell sizes: what most of them agree on.
        return compared.levels, compared.paper_score, restored.median(0).values


class Scorer:
    """Scores pictures with one model version."""

    def __init__(
        self,
        manifest: dict[str, Any],
        engine: Engine,
        norm: Norm,
        setting: Setting,
        aligner: Aligner | None,
    ) -> None:
        self.manifest = manifest
        self.engine = engine
        self.norm = norm
        self.setting = setting
        self.aligner = aligner
        self.size: int = manifest["image_size"]

    @classmethod
    def load(
        cls, model_dir: Path | str, *, weights_dir: Path | str | None = None, device: str = "auto"
    ) -> Scorer:
        """Open a model folder. Raises ModelError where a hash differs or weights are missing."""
        folder = Path(model_dir)
        manifest = read_manifest(folder)
        target = devices.choose(device)
        preset = PRESETS[manifest["preset"]]
        model = load_model(preset, read_tensors(folder, "inpainting"), target)
        extractor = _extractor(folder, manifest, Path(weights_dir) if weights_dir else None, target)
        mask = manifest["mask"]
        masks = sweep(manifest["image_size"], tuple(mask["cells"]), mask["subsets"], mask["seed"])
        norm = Norm(**{k: v.to(target) for k, v in read_tensors(folder, "normalisation").items()})
        setting = Setting.from_json(manifest["aggregation"])
        aligned = manifest["alignment"]["used"]
        aligner = Aligner(**read_tensors(folder, "alignment")) if aligned else None
        return cls(manifest, Engine(model, extractor, masks.to(target)), norm, setting, aligner)

    def score(self, pictures: Sequence[Image.Image]) -> list[ScoredPicture]:
        """Score pictures (RGB) in order; each one alone, so that no batch changes a score."""
        return [self.score_one(picture) for picture in pictures]

    def score_one(self, picture: Image.Image) -> ScoredPicture:
        """Score one picture."""
        picture = picture.convert("RGB")
        seen = model_view(picture, self.size, self.aligner)
        maps, paper_score, restored = self.engine.maps(seen.pixels.float() / 255)
        found = self.setting.map(maps, self.norm)
        # The score is taken in the common pose, where the statistics live; only what is shown
        # goes back to where the picture has it.
        score = self.setting.score(seen.box.crop(found))
        heat = np.ascontiguousarray(seen.box.crop(seen.back(found)).cpu().numpy())
        square, box = letterbox(picture, self.size)
        return ScoredPicture(
            score=score,
            paper_score=paper_score,
            p_value=float(p_values(np.array([score]), self.calibration_scores)[0]),
            map=heat,
            view=np.ascontiguousarray(square[box.rows, box.columns]),
            restored=_bytes(box, seen.back(restored)),
            regions=find_regions(heat, self.manifest["scale"]["low"]),
        )

    @property
    def calibration_scores(self) -> NDArray[np.float64]:
        """Scores of the calibration normals, ascending."""
        return np.array(self.manifest["calibration"]["scores"])


def _bytes(box: Letterbox, image: Tensor) -> NDArray[np.uint8]:
    pixels = (box.crop(image) * 255).round().to(torch.uint8)
    return np.ascontiguousarray(pixels.permute(1, 2, 0).cpu().numpy())


def _extractor(
    folder: Path, manifest: dict[str, Any], weights_dir: Path | None, device: torch.device
) -> FeatureExtractor:
    backbone = manifest["scoring_backbone"]
    if backbone["stand_in"]:
        preset = PRESETS[manifest["preset"]]
        encoder = load_encoder(preset, read_tensors(folder, "encoder"), device)
        return EncoderFeatures(encoder)
    path = installed(weights_dir, SQUEEZENET_FILE)
    if path is None:
        raise ModelError(
            f"This model scores with {backbone['name']}, whose weights file {SQUEEZENET_FILE} "
            f"is not in {weights_dir}; install it there."
        )
    extractor = SqueezeNetFeatures(path)
    if extractor.sha256 != backbone["sha256"]:
        raise ModelError(
            f"The installed {SQUEEZENET_FILE} is not the one that this model was calibrated "
            "with (its SHA-256 differs); install that one or train again."
        )
    return extractor.to(device)
