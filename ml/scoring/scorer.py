"""The scorer: a trained model kept warm, giving score, map, restoration and regions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from ml.data.sight import Tiling
from ml.features import (
    SQUEEZENET_FILE,
    EncoderFeatures,
    FeatureExtractor,
    SqueezeNetFeatures,
    installed,
)
from ml.masks import sweep
from ml.memory.memory import Memory
from ml.memory.view import MemoryView
from ml.methods import METHODS, load_restorer
from ml.presets import PRESETS
from ml.scoring.between import called_between
from ml.scoring.decision import Decision, norms_from
from ml.scoring.evidence import Engine
from ml.scoring.large import large_scorer, shown_map, shown_picture
from ml.scoring.model_folder import ModelError, read_manifest, read_tensors
from ml.scoring.regions import Region, find_regions
from ml.scoring.tiling import LargeResult, LargeScorer
from ml.unet import Encoder

__all__ = ["ModelError", "ScoredPicture", "Scorer"]


@dataclass(frozen=True)
class ScoredPicture:
    """All that the method says about one picture.

    score and map share one unit; map, view and restored have the picture's aspect at the
    model's resolution: (H, W), (H, W, 3), (H, W, 3). scores: what else the model can tell, by
    name, of `decision, eq7, inpainting, memory, fused, published`; paper_score is Eq. 7 to the
    letter, None for a method that restores nothing (its `restored` is the picture itself). Of a
    large picture every score is that of its worst tile; what was not restored is itself.
    """

    score: float
    paper_score: float | None
    p_value: float
    map: NDArray[np.float32]
    view: NDArray[np.uint8]
    restored: NDArray[np.uint8]
    regions: list[Region]
    scores: dict[str, float]


class Scorer:
    """Scores pictures with one model version."""

    def __init__(
        self,
        manifest: dict[str, Any],
        engine: Engine,
        decision: Decision,
        aligner: Aligner | None,
    ) -> None:
        self.manifest = manifest
        self.engine = engine
        self.decision = decision
        self.aligner = aligner
        self.size: int = manifest["image_size"]
        self.large = self._large()

    @classmethod
    def load(
        cls, model_dir: Path | str, *, weights_dir: Path | str | None = None, device: str = "auto"
    ) -> Scorer:
        """Open a model folder. Raises ModelError where a hash differs or weights are missing."""
        folder = Path(model_dir)
        manifest = read_manifest(folder)
        target = devices.choose(device)
        weights = Path(weights_dir) if weights_dir else None
        tensors = {k: v.to(target) for k, v in read_tensors(folder, "normalisation").items()}
        decision = Decision.from_json(manifest["decision"], norms_from(tensors))
        aligned = manifest["alignment"]["used"]
        aligner = Aligner.of(read_tensors(folder, "alignment")) if aligned else None
        return cls(manifest, _engine(folder, manifest, weights, target), decision, aligner)

    def _large(self) -> LargeScorer | None:
        """For a model that looks at pictures through tiles."""
        tiles = self.manifest.get("tiles")
        if tiles is None:
            return None
        zones = self.manifest["mask"]["zones"]
        return large_scorer(self.engine, self.decision, Tiling(**tiles), self.aligner, zones)

    def score(
        self, pictures: Sequence[Image.Image], between: Callable[[], None] | None = None
    ) -> list[ScoredPicture]:
        """Score pictures (RGB) in order; each one alone, so that no batch changes a score.

        `between` is called before every layer of the networks: what it does, scoring another
        picture with this very model included, changes nothing of what is under way.
        """
        with called_between(self.engine, between):
            return [self.score_one(picture) for picture in pictures]

    def score_one(
        self, picture: Image.Image, on_first_map: Callable[[Tensor], None] | None = None
    ) -> ScoredPicture:
        """Score one picture. `on_first_map` gets the first map (h, w) of a large picture, which the
        rest of the work then refines."""
        if picture.mode != "RGB":  # a copy of a large picture would cost as much again
            picture = picture.convert("RGB")
        if self.large:
            return self._scored(picture, self.large.score(picture, on_first_map))
        seen = model_view(picture, self.size, self.aligner)
        large = None
        if self.engine.memory:
            large = seen.at(picture, self.engine.memory.view.size).float() / 255
        evidence = self.engine.evidence(seen.pixels.float() / 255, large)
        # The score is taken in the common pose, where the statistics live; only what is shown
        # goes back to where the picture has it.
        decided = self.decision.decide(evidence, seen.box)
        heat = np.ascontiguousarray(seen.box.crop(seen.back(decided.map)).cpu().numpy())
        square, box = letterbox(picture, self.size)
        view = np.ascontiguousarray(square[box.rows, box.columns])
        restored = evidence.restored
        return ScoredPicture(
            score=decided.score,
            paper_score=evidence.eq7,
            p_value=self._p_value(decided.score),
            map=heat,
            view=view,
            restored=view if restored is None else _bytes(box, seen.back(restored)),
            regions=self._regions(heat),
            scores=decided.scores,
        )

    def _scored(self, picture: Image.Image, found: LargeResult) -> ScoredPicture:
        """What is told of a large picture: maps and pictures of a bounded size."""
        heat = shown_map(found)
        view = shown_picture(picture, heat.shape)
        restored = view
        if self.engine.model is not None:
            restored = shown_picture(Image.fromarray(found.restored), heat.shape)
        return ScoredPicture(
            score=found.score,
            paper_score=found.scores.get("eq7"),
            p_value=self._p_value(found.score),
            map=heat,
            view=view,
            restored=restored,
            regions=self._regions(heat),
            scores=found.scores,
        )

    def _p_value(self, score: float) -> float:
        return float(p_values(np.array([score]), self.calibration_scores)[0])

    def _regions(self, heat: NDArray[np.float32]) -> list[Region]:
        return find_regions(heat, self.manifest["scale"]["low"], peaks=self.peaks)

    @property
    def calibration_scores(self) -> NDArray[np.float64]:
        """Scores of the calibration normals, ascending."""
        return np.array(self.manifest["calibration"]["scores"])

    @property
    def peaks(self) -> NDArray[np.float64] | None:
        """Highest values of the calibration normals' maps; None in models of an older version."""
        known = self.manifest["calibration"].get("peaks")
        return None if known is None else np.array(known)


def _bytes(box: Letterbox, image: Tensor) -> NDArray[np.uint8]:
    pixels = (box.crop(image) * 255).round().to(torch.uint8)
    return np.ascontiguousarray(pixels.permute(1, 2, 0).cpu().numpy())


def _engine(
    folder: Path, manifest: dict[str, Any], weights: Path | None, device: torch.device
) -> Engine:
    preset = PRESETS[manifest["preset"]]
    encoder = None
    if (folder / "encoder.safetensors").is_file():
        encoder = load_encoder(preset, read_tensors(folder, "encoder"), device)
    extractor = _extractor(manifest, weights, encoder).to(device)
    model = None
    if METHODS[manifest["method"]].restores:
        tensors = read_tensors(folder, "inpainting")
        model = load_restorer(manifest["method"], preset, tensors, device)
    memory = None
    if manifest["memory"]:
        view = MemoryView.from_json(manifest["memory"]["view"])
        # weights that were installed after the training are not what the memory was made with
        with_weights = None if manifest["scoring_backbone"]["stand_in"] else weights
        features = view.extractor(with_weights, encoder).to(device)
        memory = Memory.of_tensors(read_tensors(folder, "memory"), view, features, device)
    mask = manifest["mask"]
    masks = sweep(manifest["image_size"], tuple(mask["cells"]), mask["subsets"], mask["seed"])
    zone = None
    if mask.get("zones") and not manifest.get("tiles"):  # else each tile has its own
        zone = read_tensors(folder, "zone")["zone"].to(device)
        masks = masks * zone.cpu()
    return Engine(model, extractor, masks.to(device), memory, zone)


def _extractor(
    manifest: dict[str, Any], weights_dir: Path | None, encoder: Encoder | None
) -> FeatureExtractor:
    backbone = manifest["scoring_backbone"]
    if backbone["stand_in"]:
        if encoder is None:
            raise ModelError("This model lacks its encoder; restore it or train again.")
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
    return extractor
