"""Conformal p-values and thresholds say the same thing, ties included."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml import calibration

VALUES = st.one_of(
    st.integers(0, 5).map(float), st.floats(-1e6, 1e6, allow_nan=False, allow_infinity=False)
)
CALIBRATION = st.lists(VALUES, min_size=1, max_size=60)
ALPHAS = st.one_of(st.floats(1e-4, 1.0), st.sampled_from([0.01, 0.05, 0.1, 0.3, 0.7, 1.0]))


@given(st.lists(VALUES, min_size=1, max_size=20), CALIBRATION)
def test_p_is_the_counted_share(scores: list[float], scores_of_normals: list[float]) -> None:
    n = len(scores_of_normals)
    expected = [(1 + sum(c >= s for c in scores_of_normals)) / (n + 1) for s in scores]
    assert calibration.p_values(scores, scores_of_normals).tolist() == expected


@given(VALUES, CALIBRATION, ALPHAS)
def test_p_at_most_alpha_is_score_above_threshold(
    score: float, scores_of_normals: list[float], alpha: float
) -> None:
    n = len(scores_of_normals)
    if alpha < calibration.smallest_alpha(n):
        with pytest.raises(ValueError, match=str(calibration.needed_normals(alpha))):
            calibration.threshold(scores_of_normals, alpha)
        return
    limit = calibration.threshold(scores_of_normals, alpha)
    for s in [score, limit, np.nextafter(limit, math.inf), *scores_of_normals]:
        if math.isfinite(s):
            p = calibration.p_values([s], scores_of_normals)[0]
            assert (p <= alpha) == (s > limit)


@given(st.integers(1, 5000))
def test_alphas_on_the_grid_are_exact(n: int) -> None:
    assert calibration.needed_normals(1 / (n + 1)) == n
    calibration.check_alpha(1 / (n + 1), n)
    assert calibration.needed_normals(calibration.smallest_alpha(n)) == n


@given(ALPHAS)
def test_needed_normals_is_the_fewest(alpha: float) -> None:
    n = calibration.needed_normals(alpha)
    assert calibration.smallest_alpha(n) <= alpha
    assert n == 1 or calibration.smallest_alpha(n - 1) > alpha


def test_a_refusal_names_the_number_of_normals() -> None:
    with pytest.raises(ValueError, match="at least 99 calibration normals; there are 40"):
        calibration.check_alpha(0.01, 40)


@pytest.mark.parametrize("alpha", [0.0, -0.1, 1.1, math.nan])
def test_alpha_outside_its_range_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha must lie"):
        calibration.check_alpha(alpha, 100)


@pytest.mark.parametrize("bad", [[], [1.0, math.nan], [math.inf]])
def test_calibration_scores_must_be_numbers(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="calibration scores"):
        calibration.p_values([1.0], bad)


def test_a_score_that_is_no_number_gets_no_p() -> None:
    with pytest.raises(ValueError, match="finite"):
        calibration.p_values([math.nan], [1.0])


def test_the_promise_holds_in_the_mean_and_the_interval_for_one_set() -> None:
    rng = np.random.default_rng(2)
    n, new, alpha, sets = 40, 200, 0.1, 1500
    limits = [calibration.threshold(rng.normal(size=n), alpha) for _ in range(sets)]
    counts = np.array([(rng.normal(size=new) > limit).sum() for limit in limits])
    assert counts.mean() / new == pytest.approx(4 / 41, abs=0.004)
    low, high = calibration.false_calls_interval(n, alpha, new, level=0.90)
    inside = ((counts >= low) & (counts <= high)).mean()
    assert 0.89 <= inside <= 0.94
    # as wide as the simulated spread, not wider
    assert (low, high) == pytest.approx(np.quantile(counts, [0.05, 0.95]), abs=2)


def test_the_interval_of_no_new_parts_and_of_alpha_one() -> None:
    assert calibration.false_calls_interval(40, 0.1, 0) == (0, 0)
    assert calibration.false_calls_interval(40, 1.0, 7) == (7, 7)
