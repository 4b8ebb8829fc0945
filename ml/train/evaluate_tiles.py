"""Evaluation of a model that looks at pictures through tiles: tiles with and without synthetic
defects, and some calibration pictures whole."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from ml.metrics import auroc, recall_at_tnr
from ml.scoring.scorer import Scorer
from ml.train.calibrate_tiles import TileLooker
from ml.train.context import Context, StageClock
from ml.train.evaluate import PICTURES, check_same
from ml.train.tiles import places

WHOLE = 3  # pictures that are scored whole again


def evaluate_tiles(context: Context, folder: Path) -> dict[str, float]:
    """As `evaluate`, with the synthetic figures by tiles: what they say is how well a defect in a
    tile is told from a tile without one."""
    clock = StageClock(context, "evaluate", "tiles")
    scorer = Scorer.load(folder, weights_dir=context.job.weights_dir, device=str(context.device))
    if scorer.large is None:
        raise ValueError(f"{folder} holds no model that works by tiles")
    look = TileLooker(context, scorer.engine, clock, [])
    ids = context.state.calibration[:PICTURES]
    squares = [look.square(place) for place in places(context, ids, len(ids))]
    look.total = 2 * len(squares)
    samples = look.samples(squares, len(squares), context.job.seed + 1)
    scores = [scorer.decision.decide(s.evidence, s.box).score for s in samples]
    errors = [
        float(square.box.crop(sample.evidence.restored.cpu() - square.image).abs().mean())
        for square, sample in zip(squares, samples, strict=False)
        if sample.evidence.restored is not None
    ]
    started = time.monotonic()
    whole = [scorer.large.score(context.open(i), tick=look.tick).score for i in ids[:WHOLE]]
    seconds = time.monotonic() - started
    check_same(whole, list(scorer.calibration_scores))
    labels = np.array([s.kind is not None for s in samples])
    clock.keep()
    metrics = {
        "synthetic_auroc": round(auroc(scores, labels), 4),
        "synthetic_recall_at_tnr60": round(recall_at_tnr(scores, labels).recall, 4),
        "images_per_second": round(len(whole) / seconds, 3),
    }
    if errors:
        metrics["restoration_error"] = round(float(np.mean(errors)), 5)
    return metrics
