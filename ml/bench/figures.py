"""The figures of one row: what a score and a map say about a test set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ml.calibration import smallest_alpha, threshold
from ml.metrics import (
    aupro,
    auroc,
    bootstrap_interval,
    pixel_auroc,
    rates_at_threshold,
    recall_at_tnr,
)

FloatArray = NDArray[np.float64]
ALPHA = 0.05
TNR = 0.60
DIGITS = 6


def calibrated_alpha(normals: int) -> float:
    """The error rate of the calibrated threshold: 5 %, or the smallest that so few can promise."""
    return max(ALPHA, smallest_alpha(normals))


def image_figures(
    scores: FloatArray, kinds: Sequence[str], calibration: FloatArray
) -> dict[str, Any]:
    """Figures of merit of scores (N,) for pictures of `kinds` (`good` or a kind of defect).

    `calibration`: (n,) scores of held-out training normals, which alone set the calibrated
    threshold. Table I's operating point is chosen on the test normals themselves: comparable
    with the publication, not a promise.
    """
    kind_of = np.asarray(kinds)
    defects = kind_of != "good"
    at_tnr = recall_at_tnr(scores, defects, TNR)
    alpha = calibrated_alpha(calibration.size)
    line = threshold(calibration, alpha)
    calibrated = rates_at_threshold(scores, defects, line)
    low, high = bootstrap_interval(scores, defects)
    names = sorted({str(k) for k in kind_of[defects]})
    return {
        "recall_at_tnr60": at_tnr.recall,
        "tnr": at_tnr.tnr,
        "tp": at_tnr.tp,
        "tn": at_tnr.tn,
        "n_normals": at_tnr.n,
        "n_defects": at_tnr.defects,
        "auc": _rounded(auroc(scores, defects)),
        "auc_interval": [_rounded(low), _rounded(high)],
        "auc_by_kind": {k: _rounded(_auc_of(scores, kind_of, k)) for k in names},
        "alpha": _rounded(alpha),
        "n_calibration": calibration.size,
        "recall_calibrated": calibrated.recall,
        "tnr_calibrated": calibrated.tnr,
        "recall_calibrated_by_kind": {
            k: float((scores[kind_of == k] > line).mean()) for k in names
        },
    }


def _auc_of(scores: FloatArray, kinds: NDArray[np.str_], kind: str) -> float:
    chosen = (kinds == kind) | (kinds == "good")
    return auroc(scores[chosen], kinds[chosen] == kind)


def map_figures(
    maps: Sequence[NDArray[np.float32]], masks: Sequence[NDArray[np.bool_] | None]
) -> dict[str, float | None]:
    """Pixel AUROC and AUPRO (up to a false-positive rate of 0.3).

    `masks[i]`: (H, W), brought to which `maps[i]` (h, w) is compared; None for a defect without
    a mask, which takes no part. Both figures are None where no defect has a mask.
    """
    pairs = [(m, mask) for m, mask in zip(maps, masks, strict=True) if mask is not None]
    if not any(mask.any() for _, mask in pairs) or all(mask.all() for _, mask in pairs):
        return {"pixel_auroc": None, "aupro": None}
    scaled = [resized(m, mask.shape) for m, mask in pairs]
    truth = [mask for _, mask in pairs]
    return {
        "pixel_auroc": _rounded(pixel_auroc(scaled, truth)),
        "aupro": _rounded(aupro(scaled, truth)),
    }


def resized(heat: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A map (h, w) at another size (H, W), bilinear."""
    if heat.shape == shape:
        return heat
    tensor = torch.from_numpy(np.ascontiguousarray(heat))[None, None]
    scaled = torch.nn.functional.interpolate(
        tensor, size=(shape[0], shape[1]), mode="bilinear", align_corners=False
    )
    return np.asarray(scaled[0, 0].numpy())


def _rounded(value: float) -> float:
    return round(float(value), DIGITS)
