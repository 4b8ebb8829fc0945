"""Evaluation stage: the written model, opened again, on normals it was never trained on."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np

from ml.checkpoints import write_json
from ml.metrics import auroc, recall_at_tnr
from ml.scoring.model_folder import MANIFEST
from ml.scoring.scorer import Scorer
from ml.train.calibrate import Looker
from ml.train.context import Context, StageClock

PICTURES = 20


def evaluate(context: Context, folder: Path) -> dict[str, float]:
    """Synthetic defects (another seed than the choice's) on calibration normals.

    These figures say whether training went well; they are no promise about real defects. The
    scores of the normals are also compared with the calibration's: a model that does not give
    the same figures after loading must not leave the house.
    """
    clock = StageClock(context, "evaluate", "pictures")
    scorer = Scorer.load(folder, weights_dir=context.job.weights_dir, device=str(context.device))
    look = Looker(context, scorer.engine, clock)
    ids = context.state.calibration[:PICTURES]
    look.total = 2 * len(ids)
    damaged = look.damaged(ids, context.job.seed + 1)
    pictures = [(look.image(id_), look.large(id_)) for id_ in ids]
    pictures += [(image, large) for image, large, _ in damaged]
    scores, errors = [], []
    started = time.monotonic()
    for index, (image, large) in enumerate(pictures):
        box = look.box(ids[index % len(ids)])
        evidence = look.evidence(image, large)
        scores.append(scorer.decision.decide(evidence, box).score)
        if evidence.restored is not None:
            errors.append(float(box.crop(evidence.restored.cpu() - image).abs().mean()))
    seconds = time.monotonic() - started
    check_same(scores[: len(ids)], list(scorer.calibration_scores))
    labels = np.arange(len(scores)) >= len(ids)
    clock.keep()
    metrics = {
        "synthetic_auroc": round(auroc(scores, labels), 4),
        "synthetic_recall_at_tnr60": round(recall_at_tnr(scores, labels).recall, 4),
        "images_per_second": round(len(scores) / seconds, 3),
    }
    if errors:
        metrics["restoration_error"] = round(float(np.mean(errors[: len(ids)])), 5)
    return metrics


def check_same(scores: list[float], calibration: list[float]) -> None:
    """Raise RuntimeError where a score is none of the calibration's."""
    known = np.array(calibration)
    for score in scores:
        nearest = float(np.abs(known - score).min())
        if nearest > 1e-4 * max(1.0, abs(score)):
            raise RuntimeError(f"the loaded model scores {score}, {nearest} off its calibration")


def store_metrics(folder: Path, metrics: dict[str, float]) -> None:
    """Add the figures to the manifest, which no file hash covers."""
    path = folder / MANIFEST
    manifest = json.loads(path.read_text())
    write_json(path, {**manifest, "metrics": metrics})
