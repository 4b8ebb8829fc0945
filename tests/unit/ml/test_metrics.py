"""Each figure against a reference that is slow and plain."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ml import metrics

# few distinct values, so that ties are the rule
SCORED = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=40).filter(
    lambda rows: len({label for _, label in rows}) == 2
)


def split(rows: list[tuple[int, bool]]) -> tuple[list[float], list[bool]]:
    return [float(s) for s, _ in rows], [label for _, label in rows]


def slow_auroc(scores: list[float], labels: list[bool]) -> float:
    wins = [
        1.0 if d > g else 0.5 if d == g else 0.0
        for d, is_defect in zip(scores, labels, strict=True)
        if is_defect
        for g, other in zip(scores, labels, strict=True)
        if not other
    ]
    return sum(wins) / len(wins)


@given(SCORED)
def test_auroc_counts_pairs_and_halves_ties(rows: list[tuple[int, bool]]) -> None:
    scores, labels = split(rows)
    assert metrics.auroc(scores, labels) == pytest.approx(slow_auroc(scores, labels))


@given(SCORED, st.sampled_from([0.5, 0.6, 0.9, 1.0]))
def test_recall_at_tnr_follows_the_protocol(rows: list[tuple[int, bool]], tnr: float) -> None:
    scores, labels = split(rows)
    rates = metrics.recall_at_tnr(scores, labels, tnr)
    normals = sorted(s for s, label in rows if not label)
    defects = [s for s, label in rows if label]
    # the smallest normal score that at least ⌈tnr·n⌉ normals do not exceed
    wanted = math.ceil(round(tnr * 100) * len(normals) / 100)
    threshold = next(t for t in normals if sum(s <= t for s in normals) >= wanted)
    assert rates.threshold == threshold
    assert rates.tp == sum(s > threshold for s in defects)
    assert rates.tn == sum(s <= threshold for s in normals)
    assert (rates.n, rates.defects) == (len(normals), len(defects))
    assert rates.recall == pytest.approx(rates.tp / len(defects))
    assert rates.tnr == pytest.approx(rates.tn / len(normals))
    assert rates.tnr >= tnr - 1e-9


def test_sixty_normals_without_ties_give_a_tnr_of_exactly_sixty_percent() -> None:
    rates = metrics.recall_at_tnr([*range(60), 35, 36], [0] * 60 + [1, 1])
    assert (rates.tn, rates.n, rates.threshold) == (36, 60, 35)
    assert (rates.tp, rates.recall) == (1, 0.5)  # equal to the threshold is no defect


def test_rates_at_a_threshold() -> None:
    rates = metrics.rates_at_threshold([1, 2, 3, 4], [0, 0, 1, 1], 3)
    assert (rates.tp, rates.tn, rates.recall, rates.tnr) == (1, 2, 0.5, 1.0)


@pytest.mark.parametrize(
    ("scores", "labels"),
    [([], []), ([1, 2], [0, 0]), ([1, 2], [1, 1]), ([1, math.nan], [0, 1]), ([1, 2], [0])],
)
def test_a_figure_is_never_made_of_nothing(scores: list[float], labels: list[int]) -> None:
    with pytest.raises(ValueError, match=r"needed|finite|must"):
        metrics.auroc(scores, labels)


def slow_regions(mask: NDArray[np.bool_]) -> list[set[tuple[int, int]]]:
    left = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    regions = []
    while left:
        todo, region = [left.pop()], set()
        while todo:
            y, x = todo.pop()
            region.add((y, x))
            for near in [(y + j, x + i) for j in (-1, 0, 1) for i in (-1, 0, 1)]:
                if near in left:
                    left.remove(near)
                    todo.append(near)
        regions.append(region)
    return regions


MASKS = st.integers(0, 2**32 - 1).map(
    lambda seed: np.random.default_rng(seed).random((9, 11)) < 0.35
)


@given(MASKS)
def test_regions_are_those_of_a_flood_fill(mask: NDArray[np.bool_]) -> None:
    labels, count = metrics.label_regions(mask)
    found = [{(int(y), int(x)) for y, x in np.argwhere(labels == i + 1)} for i in range(count)]
    assert sorted(map(sorted, found)) == sorted(map(sorted, slow_regions(mask)))


def slow_aupro(maps: list[NDArray], masks: list[NDArray], limit: float) -> float:
    points = [(0.0, 0.0)]
    for t in sorted({float(v) for m in maps for v in m.ravel()}, reverse=True):
        overlaps, false, normal = [], 0, 0
        for values, mask in zip(maps, masks, strict=True):
            for region in slow_regions(mask):
                overlaps.append(sum(values[p] >= t for p in region) / len(region))
            false += int(((values >= t) & ~mask).sum())
            normal += int((~mask).sum())
        points.append((false / normal, float(np.mean(overlaps))))
    area = 0.0
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if x0 >= limit:
            break
        cut = min(x1, limit)
        y_cut = y1 if x1 == x0 else y0 + (y1 - y0) * (cut - x0) / (x1 - x0)
        area += (cut - x0) * (y0 + y_cut) / 2
    return area / limit


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.05, 0.3, 1.0]))
def test_aupro_is_that_of_the_definition(seed: int, limit: float) -> None:
    rng = np.random.default_rng(seed)
    masks = [rng.random((8, 7)) < 0.2 for _ in range(3)]
    masks[0][2, 3], masks[0][0, 0] = True, False
    maps = [rng.integers(0, 12, m.shape) + 6.0 * m * rng.random() for m in masks]
    expected = slow_aupro(maps, masks, limit)
    assert metrics.aupro(maps, masks, limit) == pytest.approx(expected, abs=1e-9)


def test_a_perfect_map_has_full_marks() -> None:
    mask = np.zeros((20, 20), bool)
    mask[2:5, 3:6] = mask[10:18, 10:18] = True
    assert metrics.aupro([mask * 1.0], [mask]) == pytest.approx(1.0)
    assert metrics.pixel_auroc([mask * 1.0], [mask]) == 1.0


def test_pixel_auroc_pools_the_pictures() -> None:
    rng = np.random.default_rng(3)
    masks = [rng.random(shape) < 0.3 for shape in [(6, 5), (4, 9)]]
    maps = [rng.integers(0, 5, m.shape).astype(float) for m in masks]
    flat = np.concatenate([m.ravel() for m in maps]).tolist()
    truth = np.concatenate([m.ravel() for m in masks]).tolist()
    assert metrics.pixel_auroc(maps, masks) == pytest.approx(slow_auroc(flat, truth))


def test_the_bootstrap_interval_holds_the_figure_and_repeats() -> None:
    rng = np.random.default_rng(1)
    scores = np.concatenate([rng.normal(0, 1, 80), rng.normal(1, 1, 40)])
    labels = np.repeat([0, 1], [80, 40])
    low, high = metrics.bootstrap_interval(scores, labels, resamples=400, seed=5)
    assert low < metrics.auroc(scores, labels) < high
    # Hanley & McNeil's standard error, which needs no resampling
    a = metrics.auroc(scores, labels)
    q1, q2 = a / (2 - a), 2 * a * a / (1 + a)
    error = math.sqrt((a * (1 - a) + 39 * (q1 - a * a) + 79 * (q2 - a * a)) / (40 * 80))
    assert (high - low) == pytest.approx(2 * 1.96 * error, rel=0.25)
    assert (low, high) == metrics.bootstrap_interval(scores, labels, resamples=400, seed=5)
