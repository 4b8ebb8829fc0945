"""Scoring a test set with one trained model: every score and every map that it can give."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ml.bench.dataset import BenchSet, TestPicture, comparison_size, read_mask
from ml.data.dataset import MAX_PIXELS
from ml.data.model_view import model_view
from ml.data.pictures import open_picture
from ml.features import SQUEEZENET_FILE, FeatureExtractor, SqueezeNetFeatures, installed
from ml.scoring import ScoredPicture, Scorer
from ml.scoring.maps import upsample
from ml.scoring.restore import restore

LAYERS = (6, 7, 12)  # what "the seventh layer" of SqueezeNet may mean
Heat = NDArray[np.float32]


@dataclass
class Measured:
    """One model on one set.

    scores: name of a score → (N,) over the test pictures; calibration: the same scores of the
    held-out training normals; maps: name → a map of each test picture; masks: (H, W) of each,
    all false for a normal, None for a defect without one.
    """

    manifest: dict[str, Any]
    images_per_second: float
    parameters: int
    scores: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    calibration: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    maps: dict[str, list[Heat]] = field(default_factory=dict)
    masks: list[NDArray[np.bool_] | None] = field(default_factory=list)


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
    """Score the set's test pictures and the run's calibration normals.

    `tick(done, total)` follows each picture; `show` gets the first picture of every kind.
    """
    scorer = Scorer.load(model, weights_dir=weights, device=device)
    probe = Probe(scorer, weights)
    normals = _calibration_normals(model.parent, data)
    total = len(normals) + len(data.test)
    calibration: list[dict[str, float]] = []
    for path in normals:
        picture = open_picture(path, MAX_PIXELS)
        calibration.append({**scores_of(scorer.score_one(picture)), **probe(picture).scores})
        tick(len(calibration), total)
    found: list[tuple[dict[str, float], dict[str, Heat]]] = []
    seconds, shown = 0.0, set()
    masks = []
    for one in data.test:
        began = time.perf_counter()
        picture = open_picture(one.path, MAX_PIXELS)
        scored = scorer.score_one(picture)
        seconds += time.perf_counter() - began
        extra = probe(picture)
        maps = {**maps_of(scored), **extra.maps}
        found.append(({**scores_of(scored), **extra.scores}, maps))
        masks.append(mask_of(one, picture.size))
        if one.kind not in shown:
            shown.add(one.kind)
            show(Shown(one, scored.view, scored.restored, maps))
        tick(len(normals) + len(found), total)
    return Measured(
        scorer.manifest,
        len(found) / seconds,
        probe.parameters,
        _columns([scores for scores, _ in found]),
        _columns(calibration),
        {name: [maps[name] for _, maps in found] for name in found[0][1]},
        masks,
    )


def scores_of(scored: ScoredPicture) -> dict[str, float]:
    """Every score of a picture by its name."""
    return {"decision": scored.score, "eq7": scored.paper_score, **getattr(scored, "scores", {})}


def maps_of(scored: ScoredPicture) -> dict[str, Heat]:
    """Every map of a picture by its name."""
    return {"decision": scored.map, **getattr(scored, "maps", {})}


def mask_of(one: TestPicture, size: tuple[int, int]) -> NDArray[np.bool_] | None:
    """A test picture's mask at the size where it is compared; `size` is the picture's own."""
    compared = comparison_size(*size)
    if not one.defect:
        return np.zeros(compared[::-1], bool)
    return read_mask(one.mask, compared) if one.mask else None


def _columns(lines: Sequence[dict[str, float]]) -> dict[str, NDArray[np.float64]]:
    return {name: np.array([line[name] for line in lines]) for name in lines[0]}


def _calibration_normals(run: Path, data: BenchSet) -> list[Path]:
    """The normals that the run set aside to calibrate: never trained on, never chosen by."""
    state = json.loads((run / "state.json").read_text())
    return [data.root / id_ for id_ in state["calibration"]]


@dataclass(frozen=True)
class Probed:
    """What `Probe` found out about one picture."""

    scores: dict[str, float]
    maps: dict[str, Heat]


class Probe:
    """Eq. 7 seen closer: its map, and its score at other layers that the paper may mean.

    A method that restores whole pictures (Skip-GANomaly) also gives its own published score.
    """

    def __init__(self, scorer: Scorer, weights: Path | None) -> None:
        self.scorer = scorer
        self.restorer = getattr(scorer.engine, "model", None)
        self.whole = bool(getattr(self.restorer, "whole", False))
        path = installed(weights, SQUEEZENET_FILE)
        self.layers = _layers(path, scorer.engine.masks.device)

    @property
    def parameters(self) -> int:
        """Learned parameters of the restorer; 0 where nothing restores."""
        return sum(p.numel() for p in self.restorer.parameters()) if self.restorer else 0

    @torch.inference_mode()
    def __call__(self, picture: Image.Image) -> Probed:
        """Look at one RGB picture."""
        if self.restorer is None:
            return Probed({}, {})
        engine = self.scorer.engine
        seen = model_view(picture, self.scorer.size, self.scorer.aligner)
        image = seen.pixels.float().to(engine.masks.device) / 255

        def shown(heat: Tensor) -> Heat:
            square = upsample(heat, self.scorer.size)[0, 0]
            return np.ascontiguousarray(seen.box.crop(seen.back(square)).float().cpu().numpy())

        restored = restore(self.restorer, image, engine.masks)
        final = engine.extractor.final
        heat = _squared(engine.extractor, image, restored)[final].mean(0, keepdim=True)
        scores, maps = {}, {"eq7": shown(heat)}
        if self.layers is not None:
            for name, values in zip(LAYERS, _squared(self.layers, image, restored), strict=True):
                scores[f"index{name}"] = float(values.mean())
        if self.whole:
            own = self.restorer.anomaly_map(image.unsqueeze(0))
            scores["published"], maps["published"] = float(own.mean()), shown(own)
        return Probed(scores, maps)


def _squared(extractor: FeatureExtractor, image: Tensor, restored: Tensor) -> list[Tensor]:
    """Squared L2 over channels of each layer, (n, 1, h, w)."""
    pairs = zip(extractor(image.unsqueeze(0)), extractor(restored), strict=True)
    return [(b - a).square().sum(1, keepdim=True) for a, b in pairs]


def _layers(path: Path | None, device: torch.device) -> FeatureExtractor | None:
    return SqueezeNetFeatures(path, taps=LAYERS).to(device) if path else None
