"""Conformal p-values and thresholds say the same thing, ties included."""

import itertools
import math
from fractions import Fraction

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


def false_call_rates(n: int, new: int, alpha: float, ties: bool) -> np.ndarray:
    """Share of good parts failed in 2,000 splits of exchangeable scores."""
    rng = np.random.default_rng(5)
    rates = np.empty(2000)
    for split in range(len(rates)):
        # one common shift makes the scores of a split dependent, and they stay exchangeable
        scores = rng.gamma(2.0, size=n + new) + rng.normal()
        if ties:
            scores = np.round(scores)
        rng.shuffle(scores)
        rates[split] = (calibration.p_values(scores[n:], scores[:n]) <= alpha).mean()
    return rates


@pytest.mark.parametrize("alpha", [0.025, 0.05, 0.1, 0.33])
@pytest.mark.parametrize("n", [40, 97])
def test_the_promise_holds_over_splits_and_is_not_vacuous(n: int, alpha: float) -> None:
    rates = false_call_rates(n, 60, alpha, ties=False)
    error = rates.std(ddof=1) / math.sqrt(len(rates))
    assert rates.mean() <= alpha + 3 * error
    assert rates.mean() >= alpha - 1 / (n + 1) - 3 * error


@pytest.mark.parametrize("alpha", [0.025, 0.05, 0.1, 0.33])
def test_ties_make_fewer_false_calls_never_more(alpha: float) -> None:
    tied, free = (false_call_rates(40, 60, alpha, ties) for ties in (True, False))
    error = tied.std(ddof=1) / math.sqrt(len(tied))
    assert tied.mean() <= alpha + 3 * error
    assert tied.mean() < free.mean()
    # where ties cost everything the promise would be empty: they do not at this share
    assert alpha < 0.2 or tied.mean() > alpha / 4


def exact_interval(n: int, alpha: float, new: int, level: float) -> tuple[int, int]:
    """The central interval by exact fractions.

    The count of new normals above the j-th largest of n calibration scores: among all orders of
    n + new scores, k new ones lie above that score in C(j-1+k, k) · C(n-j+new-k, new-k) of the
    C(n+new, new) ways to place them.
    """
    j = math.floor(Fraction(alpha).limit_denominator(10**6) * (n + 1))
    ways = [math.comb(j - 1 + k, k) * math.comb(n - j + new - k, new - k) for k in range(new + 1)]
    assert sum(ways) == math.comb(n + new, new)
    tail = (1 - Fraction(level).limit_denominator(10**6)) / 2 * sum(ways)
    sums = list(itertools.accumulate(ways))
    low = next(k for k, total in enumerate(sums) if total > tail)
    high = next(k for k, total in enumerate(sums) if total >= sum(ways) - tail)
    return low, high


@pytest.mark.parametrize("new", [1, 30, 365])
@pytest.mark.parametrize(("n", "alpha"), [(40, 0.025), (40, 0.1), (97, 0.05), (300, 0.01)])
@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_the_interval_equals_exact_sums(n: int, alpha: float, new: int, level: float) -> None:
    expected = exact_interval(n, alpha, new, level)
    assert calibration.false_calls_interval(n, alpha, new, level) == expected


def test_the_interval_of_no_new_parts_and_of_alpha_one() -> None:
    assert calibration.false_calls_interval(40, 0.1, 0) == (0, 0)
    assert calibration.false_calls_interval(40, 1.0, 7) == (7, 7)
