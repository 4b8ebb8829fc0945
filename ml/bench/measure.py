"""Scoring a test set with one trained model: every score and every map that it can give."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from ml.bench.dataset import BenchSet, TestPicture, comparison_size, read_mask
from ml.bench.figures import resized
from ml.data.dataset import MAX_PIXELS
from ml.data.model_view import ModelView, model_view
from ml.data.pictures import open_picture
from ml.features import SQUEEZENET_FILE, SqueezeNetFeatures, installed
from ml.scoring import ScoredPicture, Scorer
from ml.scoring.maps import differences, upsample
from ml.scoring.restore import restore, restore_whole

LAYERS = (6, 7, 12)  # what "the seventh layer" of SqueezeNet may mean
Heat = NDArray[np.float32]


@dataclass
class Measured:
    """One model on one set.

    scores: name of a score → (N,) over the test pictures; calibration: the same scores of the
    held-out training normals; maps: name → a map of each test picture; masks: (H, W) of each,
    all false for a normal, None for a defect without one.
    speeds: pictures a second of the whole verdict (`decision`) and, where a model holds both parts,
    of the verdict without the other part's time (`inpainting`, `memory`).
    """

    manifest: dict[str, Any]
    parameters: int
    speeds: dict[str, float]
    scores: dict[str, NDArray[np.float64]]
    calibration: dict[str, NDArray[np.float64]]
    maps: dict[str, list[Heat]]
    masks: list[NDArray[np.bool_] | None]


@dataclass(frozen=True)
class Shown:
    """A test picture for the figure: as the model saw it, restored, and its score map."""

    picture: TestPicture
    view: NDArray[np.uint8]
    restored: NDArray[np.uint8]
    maps: dict[str, Heat]


def measure(
    model: Path,
    data: BenchSet,
    *,
    weights: Path | None,
    device: str,
    tick: Callable[[int, int], None],
    show: Callable[[Shown], None],
) -> Measured:
    """Score the set's test pictures; what the run's calibration normals scored the model keeps.

    `tick(done, total)` follows each picture; `show` gets the first picture of every kind.
    """
    scorer = Scorer.load(model, weights_dir=weights, device=device)
    probe = Probe(scorer, weights)
    if not scorer.large:  # the first look of a process takes longer, and is not timed
        scorer.score_one(open_picture(data.test[0].path, MAX_PIXELS))
    found: list[_Found] = []
    kinds_shown = set()
    for one in data.test:
        scored, result = _look(scorer, probe, one, data.edge)
        found.append(result)
        if one.kind not in kinds_shown:
            kinds_shown.add(one.kind)
            show(Shown(one, scored.view, scored.restored, result.maps))
        tick(len(found), len(data.test))
    return Measured(
        scorer.manifest,
        probe.parameters,
        _speeds([f.seconds for f in found]),
        _columns([f.scores for f in found]),
        calibration_of(scorer.manifest),
        {name: [f.maps[name] for f in found] for name in found[0].maps},
        [f.mask for f in found],
    )


@dataclass(frozen=True)
class _Found:
    """Everything about one test picture."""

    scores: dict[str, float]
    maps: dict[str, Heat]
    seconds: dict[str, float]
    mask: NDArray[np.bool_] | None


def _look(
    scorer: Scorer, probe: Probe, one: TestPicture, edge: int
) -> tuple[ScoredPicture, _Found]:
    """The verdict, timed from the opening of the file, and what the probe adds; maps no larger
    than they are compared at (a long edge of `edge`)."""
    began = time.perf_counter()
    picture = open_picture(one.path, MAX_PIXELS)
    first: list[Tensor] = []
    scored = scorer.score_one(picture, first.append)
    seconds = time.perf_counter() - began
    extra = probe(picture)
    compared = comparison_size(*picture.size, edge)[::-1]
    maps = {"decision": scored.map, **_maps_by_tiles(scorer, scored, first), **extra.maps}
    return scored, _Found(
        {**scored.scores, **extra.scores},
        {
            name: resized(m, compared) if m.size > math.prod(compared) else m
            for name, m in maps.items()
        },
        {"decision": seconds, **extra.seconds},
        mask_of(one, picture.size, edge),
    )


def _speeds(seconds: Sequence[dict[str, float]]) -> dict[str, float]:
    totals = {name: sum(one[name] for one in seconds) for name in seconds[0]}
    whole = totals.pop("decision")
    speeds = {"decision": len(seconds) / whole}
    if {"inpainting", "memory"} <= set(totals):
        speeds["memory"] = len(seconds) / max(whole - totals["inpainting"], 1e-9)
        speeds["inpainting"] = len(seconds) / max(whole - totals["memory"], 1e-9)
    return speeds


def mask_of(one: TestPicture, size: tuple[int, int], edge: int) -> NDArray[np.bool_] | None:
    """A test picture's mask at the size where it is compared; `size` is the picture's own."""
    compared = comparison_size(*size, edge)
    if not one.defect:
        return np.zeros(compared[::-1], bool)
    return read_mask(one.mask, compared) if one.mask else None


def _columns(lines: Sequence[dict[str, float]]) -> dict[str, NDArray[np.float64]]:
    return {name: np.array([line[name] for line in lines]) for name in lines[0]}


def _maps_by_tiles(scorer: Scorer, scored: ScoredPicture, first: list[Tensor]) -> dict[str, Heat]:
    """Of a large picture: the map of the part that looked at all of it.

    The first map of a fused model is the memory's times its share: all that is measured on a map
    comes from the order of its values, which is the same.
    """
    if not scorer.large:
        return {}
    if "memory" not in scorer.decision.parts:
        return {"inpainting": scored.map}
    fusion = scorer.decision.fusion
    if fusion and fusion.weight == 0:
        return {}
    return {"memory": np.ascontiguousarray(first[0].cpu().numpy())}


def calibration_of(manifest: dict[str, Any]) -> dict[str, NDArray[np.float64]]:
    """The calibration normals' scores as the model keeps them, ascending: never trained on, never
    chosen by. The run scored them as its model scores the test pictures (its folder's name has the
    scoring), and every score that is measured but Eq. 7 at other layers is among them."""
    kept = manifest["calibration"]
    return {k: np.array(v) for k, v in {"decision": kept["scores"], **kept["parts"]}.items()}


@dataclass(frozen=True)
class Probed:
    """What `Probe` found out about one picture."""

    scores: dict[str, float]
    maps: dict[str, Heat]
    seconds: dict[str, float]


class Probe:
    """What a verdict need not tell: each part's own map, the map of Eq. 7 and of a method's own
    published score, Eq. 7 at the other layers that the paper may mean, and each part's time."""

    def __init__(self, scorer: Scorer, weights: Path | None) -> None:
        self.scorer = scorer
        self.model = scorer.engine.model
        path = installed(weights, SQUEEZENET_FILE)
        device = scorer.engine.masks.device
        self.layers = SqueezeNetFeatures(path, taps=LAYERS).to(device) if path else None

    @property
    def parameters(self) -> int:
        """Learned parameters of the restorer; 0 where nothing restores."""
        return sum(p.numel() for p in self.model.parameters()) if self.model else 0

    @torch.inference_mode()
    def __call__(self, picture: Image.Image) -> Probed:
        """Look at one RGB picture."""
        found = Probed({}, {}, {})
        if self.scorer.large:
            return found  # of a model that works by tiles the verdict's own scores and map
        seen = model_view(picture, self.scorer.size, self.scorer.aligner)
        image = seen.pixels.float().to(self.scorer.engine.masks.device) / 255
        if self.model is not None:
            began = time.perf_counter()
            restored = self._restored(self.model, image)
            self._compare(self.model, image, restored, seen, found)
            found.seconds["inpainting"] = time.perf_counter() - began
            self._other_layers(image, restored, found)
        if self.scorer.engine.memory is not None:
            began = time.perf_counter()
            large = seen.at(picture, self.scorer.engine.memory.view.size).float() / 255
            distances = self.scorer.engine.distances(large)
            heat = self.scorer.decision.parts["memory"].map(distances)
            found.maps["memory"] = _shown(heat, seen)
            found.seconds["memory"] = time.perf_counter() - began
        return found

    def _compare(
        self, model: nn.Module, image: Tensor, restored: Tensor, seen: ModelView, found: Probed
    ) -> None:
        """Maps of the restoration: as decided, of Eq. 7, and of the published score."""
        compared = differences(self.scorer.engine.extractor, image, restored)
        part = self.scorer.decision.parts["inpainting"]
        found.maps["inpainting"] = _shown(part.map(compared.levels), seen)
        heat = compared.eq7.mean(0)[None, None]
        found.maps["eq7"] = _shown(upsample(heat, self.scorer.size)[0, 0], seen)
        if getattr(model, "whole", False):
            own = model.anomaly_map(image.unsqueeze(0))  # type: ignore[operator]
            found.maps["published"] = _shown(upsample(own, self.scorer.size)[0, 0], seen)

    def _other_layers(self, image: Tensor, restored: Tensor, found: Probed) -> None:
        if self.layers is not None:
            pairs = zip(self.layers(image.unsqueeze(0)), self.layers(restored), strict=True)
            for name, (a, b) in zip(LAYERS, pairs, strict=True):
                found.scores[f"index{name}"] = float((b - a).square().sum(1).mean())

    def _restored(self, model: nn.Module, image: Tensor) -> Tensor:
        if getattr(model, "whole", False):
            return restore_whole(model, image)
        return restore(model, image, self.scorer.engine.masks)


def _shown(square: Tensor, seen: ModelView) -> Heat:
    """A map (S, S) where the picture has it."""
    return np.ascontiguousarray(seen.box.crop(seen.back(square)).float().cpu().numpy())
