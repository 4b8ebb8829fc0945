"""Figures of merit for anomaly scores and maps: plain functions on arrays.

Conventions: a score grows with suspicion; a label is true (1) for a defect and false (0) for a
normal; a picture is called defective when its score is strictly greater than the threshold.
Every function raises `ValueError` for empty input, for a class without members and for scores
that are not finite: a figure made of nothing would be read as a figure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Rates:
    """What one threshold does: of `n` normals `tn` pass, of `defects` `tp` are found."""

    threshold: float
    recall: float
    tnr: float
    n: int
    defects: int
    tp: int
    tn: int


def auroc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Probability that a defect scores above a normal, ties counted half (Mann–Whitney U).

    `scores` and `labels`: (N,). Returns a number in 0..1.
    """
    values, is_defect = _checked(scores, labels)
    defects = int(is_defect.sum())
    normals = is_defect.size - defects
    rank_sum = float(_mid_ranks(values)[is_defect].sum())
    return (rank_sum - defects * (defects + 1) / 2) / (defects * normals)


def rates_at_threshold(scores: ArrayLike, labels: ArrayLike, threshold: float) -> Rates:
    """Recall and true-negative rate where a defect is `score > threshold`."""
    values, is_defect = _checked(scores, labels)
    called = values > threshold
    defects = int(is_defect.sum())
    normals = is_defect.size - defects
    tp = int((called & is_defect).sum())
    tn = int((~called & ~is_defect).sum())
    return Rates(float(threshold), tp / defects, tn / normals, normals, defects, tp, tn)


def recall_at_tnr(scores: ArrayLike, labels: ArrayLike, tnr: float = 0.60) -> Rates:
    """Recall at the protocol's operating point.

    The threshold is the ⌈tnr·n⌉-th smallest score of the n normals, so at least that share of
    the normals passes (more where scores tie). The threshold is chosen on the very normals that
    it is measured on: comparable with a published table, not a promise to a plant.
    """
    if not 0 < tnr <= 1:
        raise ValueError(f"tnr must lie in (0, 1], not {tnr}")
    values, is_defect = _checked(scores, labels)
    normal_scores = np.sort(values[~is_defect])
    # 0.60 has no exact binary form: without the slack 0.6·n could round above a whole number
    rank = math.ceil(tnr * normal_scores.size - 1e-9)
    return rates_at_threshold(values, is_defect, float(normal_scores[rank - 1]))


def pixel_auroc(maps: Sequence[ArrayLike], masks: Sequence[ArrayLike]) -> float:
    """AUROC over all pixels of all pictures. `maps[i]` and `masks[i]` share one (H, W)."""
    values, is_defect = _stacked(maps, masks)
    return auroc(values, is_defect)


def aupro(maps: Sequence[ArrayLike], masks: Sequence[ArrayLike], fpr_limit: float = 0.3) -> float:
    """Area under the per-region-overlap curve up to `fpr_limit`, divided by `fpr_limit`.

    At each threshold the overlap is the share of a defect region (8-connected component of a
    mask) that is called defective, averaged over regions, so a small defect counts as much as a
    large one; the false-positive rate is over all normal pixels (Bergmann et al. 2020).
    """
    if not 0 < fpr_limit <= 1:
        raise ValueError(f"fpr_limit must lie in (0, 1], not {fpr_limit}")
    values, is_defect = _stacked(maps, masks)
    # Each pixel moves the curve by a fixed step once the threshold falls to its score: up by
    # its share of its region, or right by its share of the normal pixels.
    up = np.concatenate([_region_shares(np.asarray(mask) != 0) for mask in masks])
    up /= up.sum()
    right = (~is_defect) / int((~is_defect).sum())
    order = np.argsort(-values, kind="stable")
    last_of_tie = np.append(np.diff(values[order]) != 0, True)
    fpr = np.concatenate([[0.0], np.cumsum(right[order])[last_of_tie]])
    overlap = np.concatenate([[0.0], np.cumsum(up[order])[last_of_tie]])
    return _area_until(fpr, overlap, fpr_limit) / fpr_limit


def bootstrap_interval(
    scores: ArrayLike,
    labels: ArrayLike,
    statistic: Callable[[FloatArray, BoolArray], float] = auroc,
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of `statistic(scores, labels)`.

    Normals and defects are resampled apart, so that every resample keeps both classes at their
    sizes. The same seed gives the same interval.
    """
    values, is_defect = _checked(scores, labels)
    if not 0 < level < 1 or resamples < 1:
        raise ValueError("level must lie in (0, 1) and resamples must be at least 1")
    rng = np.random.default_rng(seed)
    groups = np.flatnonzero(is_defect), np.flatnonzero(~is_defect)
    figures = np.empty(resamples)
    for i in range(resamples):
        rows = np.concatenate([rng.choice(group, group.size) for group in groups])
        figures[i] = statistic(values[rows], is_defect[rows])
    low, high = np.quantile(figures, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def label_regions(mask: ArrayLike) -> tuple[NDArray[np.int32], int]:
    """Number the 8-connected regions of a mask (H, W): labels (0 outside, then 1..n) and n.

    Works on horizontal runs: runs of neighbouring rows that touch are joined by union-find.
    """
    filled = np.asarray(mask) != 0
    runs = [(y, a, b) for y, row in enumerate(filled) for a, b in _runs_of(row)]
    parent = list(range(len(runs)))
    first_above = 0
    for i, (y, a, b) in enumerate(runs):
        while runs[first_above][0] < y - 1 or (
            runs[first_above][0] == y - 1 and runs[first_above][2] < a
        ):
            first_above += 1
        j = first_above
        while runs[j][0] == y - 1 and runs[j][1] <= b:
            parent[_root(parent, j)] = _root(parent, i)
            j += 1
    numbers: dict[int, int] = {}
    labels = np.zeros(filled.shape, np.int32)
    for i, (y, a, b) in enumerate(runs):
        labels[y, a:b] = numbers.setdefault(_root(parent, i), len(numbers) + 1)
    return labels, len(numbers)


def _runs_of(row: BoolArray) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], row, [False]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _root(parent: list[int], i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


def _region_shares(mask: BoolArray) -> FloatArray:
    """(H·W,): 1/area of its region for a defect pixel, 0 for a normal one."""
    labels, count = label_regions(mask)
    areas = np.bincount(labels.ravel(), minlength=count + 1).astype(np.float64)
    shares = 1 / np.maximum(areas, 1)
    shares[0] = 0
    return shares[labels.ravel()]


def _area_until(x: FloatArray, y: FloatArray, limit: float) -> float:
    """Trapezoid area under (x, y), x ascending, from 0 to `limit`, the last step cut there."""
    inside = x <= limit
    at_limit = float(np.interp(limit, x, y)) if not inside.all() else float(y[inside][-1])
    xs = np.append(x[inside], limit)
    ys = np.append(y[inside], at_limit)
    return float(np.sum(np.diff(xs) * (ys[1:] + ys[:-1]) / 2))


def _mid_ranks(values: FloatArray) -> FloatArray:
    """Ranks from 1; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: FloatArray = ((2 * last - counts + 1) / 2)[inverse.ravel()]
    return ranks


def _stacked(maps: Sequence[ArrayLike], masks: Sequence[ArrayLike]) -> tuple[FloatArray, BoolArray]:
    if len(maps) == 0 or len(maps) != len(masks):
        raise ValueError(f"{len(maps)} maps and {len(masks)} masks do not pair up")
    for i, (a, b) in enumerate(zip(maps, masks, strict=True)):
        if np.shape(a) != np.shape(b) or np.ndim(a) != 2:
            raise ValueError(f"map {i} has shape {np.shape(a)} and its mask {np.shape(b)}")
    flat = [np.asarray(m, np.float64).ravel() for m in maps]
    return _checked(
        np.concatenate(flat), np.concatenate([(np.asarray(m) != 0).ravel() for m in masks])
    )


def _checked(scores: ArrayLike, labels: ArrayLike) -> tuple[FloatArray, BoolArray]:
    values = np.asarray(scores, np.float64)
    is_defect = np.asarray(labels) != 0
    if values.ndim != 1 or values.shape != is_defect.shape:
        raise ValueError(f"scores {values.shape} and labels {is_defect.shape} must both be (N,)")
    if not np.isfinite(values).all():
        raise ValueError("scores must be finite numbers")
    if not is_defect.any() or is_defect.all():
        raise ValueError("both normals and defects are needed")
    return values, is_defect
