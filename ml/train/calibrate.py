"""Calibration stage: statistics on normals, the setting, the scores, the model folder."""

from __future__ import annotations

import importlib.metadata
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ml.calibration import smallest_alpha
from ml.checkpoints import sync, write_tensors
from ml.data.dataset import PictureSet
from ml.data.letterbox import Letterbox
from ml.features import FeatureExtractor
from ml.inpainting.model import InpaintingModel
from ml.masks import sweep
from ml.scoring.choose import Choice, Sample, choose, damage
from ml.scoring.model_folder import write_manifest
from ml.scoring.normalise import Norm, Statistics
from ml.scoring.scorer import Engine
from ml.scoring.setting import Setting
from ml.train.context import Context, StageClock

SYNTHETIC = 40  # defects to choose by
REFERENCE = 48  # normals for the statistics where training pictures must serve


@dataclass
class Calibration:
    """What the stage found out."""

    setting: Setting
    choice: Choice
    norm: Norm
    scores: list[float]
    scale: dict[str, float]
    images_per_second: float


def build_engine(context: Context, model: InpaintingModel, extractor: FeatureExtractor) -> Engine:
    """Model, features and the sweep of this run."""
    preset = context.preset
    masks = sweep(preset.image_size, preset.cells, preset.subsets, context.job.seed)
    return Engine(model, extractor, masks.to(context.device))


def picture_count(context: Context) -> int:
    """How many pictures the stage will restore; the time plan needs it."""
    reference = len(context.state.held_out) or min(REFERENCE, len(context.state.train))
    return reference + SYNTHETIC + len(context.state.calibration)


def calibrate(context: Context, engine: Engine) -> Calibration:
    """Restore held-out normals, choose the setting on synthetic defects, score calibration."""
    state, pictures = context.state, context.pictures
    clock = StageClock(context, "calibrate", "pictures")
    total, done = picture_count(context), 0

    def maps_of(image: Tensor) -> Tensor:
        nonlocal done
        context.control.check()
        maps = engine.maps(image)[0]
        done += 1
        clock.progress(done, max(done, total))
        return maps

    reference = pictures.subset(state.held_out or state.train[:REFERENCE])
    images = list(reference.floats())
    boxes = _boxes(reference, context.preset.image_size)
    normal_maps = [maps_of(image) for image in images]
    statistics = Statistics.of(normal_maps)
    samples = [
        Sample(m, box, None, i) for i, (m, box) in enumerate(zip(normal_maps, boxes, strict=True))
    ]
    for index, (image, kind) in enumerate(damage(_repeat(images, SYNTHETIC), context.job.seed)):
        source = index % len(images)
        samples.append(Sample(maps_of(image), boxes[source], kind, source))
    choice = choose(samples, statistics, held_in=True)
    norm = statistics.norm()

    calibration = pictures.subset(state.calibration)
    started = time.monotonic()
    scores, peaks = _scores(calibration, context.preset.image_size, maps_of, choice.setting, norm)
    speed = len(calibration) / (time.monotonic() - started)
    defect_peaks = [
        float(s.box.crop(choice.setting.map(s.maps, norm)).max()) for s in samples if s.kind
    ]
    clock.keep()
    return Calibration(
        choice.setting, choice, norm, sorted(scores), _scale(peaks, defect_peaks), speed
    )


def _boxes(pictures: PictureSet, size: int) -> list[Letterbox]:
    return [Letterbox.of(w, h, size) for w, h in pictures.sizes]


def _repeat(images: list[Tensor], count: int) -> list[Tensor]:
    return [images[i % len(images)] for i in range(count)]


def _scores(
    pictures: PictureSet, size: int, maps_of: Any, setting: Setting, norm: Norm
) -> tuple[list[float], list[float]]:
    scores, peaks = [], []
    for index, box in enumerate(_boxes(pictures, size)):
        heat = box.crop(setting.map(maps_of(pictures.floats(slice(index, index + 1))[0]), norm))
        scores.append(setting.score(heat))
        peaks.append(float(heat.max()))
    return scores, peaks


def _scale(normal_peaks: list[float], defect_peaks: list[float]) -> dict[str, float]:
    """Colours begin where hardly a normal reaches and end where clear defects lie.

    low: 95th percentile of the normals' highest map values; high: the synthetic defects' 75th
    percentile, at least so far above low that a defect near the line is not yet white.
    """
    low = float(np.quantile(normal_peaks, 0.95))
    spread = max(low - float(np.median(normal_peaks)), 1e-6)
    high = max(float(np.quantile(defect_peaks, 0.75)), low + 3 * spread)
    return {"low": low, "high": high}


def write_model(
    context: Context,
    engine: Engine,
    encoder: dict[str, Tensor],
    found: Calibration,
    target_features: FeatureExtractor,
) -> Path:
    """Write `model/` aside and rename it, so that it is whole or absent."""
    final, temporary = context.out / "model", context.out / ".model.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    write_tensors(temporary / "inpainting.safetensors", engine.model.state_dict())
    write_tensors(temporary / "encoder.safetensors", encoder)
    norm = {"mean": found.norm.mean, "deviation": found.norm.deviation}
    write_tensors(temporary / "normalisation.safetensors", norm)
    if context.state.aligned:
        shutil.copyfile(context.out / "alignment.safetensors", temporary / "alignment.safetensors")
    write_manifest(temporary, _manifest(context, engine, found, target_features))
    shutil.rmtree(final, ignore_errors=True)
    temporary.rename(final)
    sync(context.out)
    return final


def _manifest(
    context: Context, engine: Engine, found: Calibration, target_features: FeatureExtractor
) -> dict[str, Any]:
    state, preset = context.state, context.preset
    stages = ["colour", *engine.extractor.stage_names]
    return {
        "method": "paper",
        "preset": preset.name,
        "image_size": preset.image_size,
        "seed": state.seed,
        "alignment": {"used": state.aligned, "ratio": state.alignment},
        "mask": {"cells": list(preset.cells), "subsets": preset.subsets, "seed": state.seed},
        "scoring_backbone": engine.extractor.describe(),
        "consistency_backbone": target_features.describe(),
        "map_levels": stages,
        "aggregation": found.setting.as_json(),
        "aggregation_candidates": found.choice.table,
        "normalisation": {
            "kind": found.setting.normalisation,
            "normals": "held_out" if state.held_out else "train",
            "n": len(state.held_out) or min(REFERENCE, len(state.train)),
        },
        "steps": state.plan,
        "step_seconds": state.step_seconds,
        "budget_minutes": context.job.budget_minutes,
        "images": {
            "train": len(state.train),
            "held_out": len(state.held_out),
            "calibration": len(state.calibration),
            "excluded": len(state.excluded),
        },
        "calibration": {
            "n": len(found.scores),
            "scores": found.scores,
            "alpha_min": smallest_alpha(len(found.scores)),
        },
        "scale": found.scale,
        "images_per_second": round(found.images_per_second, 3),
        "metrics": {},
        "versions": {
            name: importlib.metadata.version(name) for name in ("torch", "torchvision", "pillow")
        },
    }
