"""Split-conformal calibration: from scores to p-values and thresholds with a stated error rate.

Given n calibration scores of normals that the model never saw, a new score s has

    p(s) = (1 + #{calibration scores ≥ s}) / (n + 1)

and, while new normals are exchangeable with those of the calibration, P(p ≤ α) ≤ α for a normal
(Vovk, Gammerman & Shafer 2005). That holds in the mean over calibration sets; for one set the
count of false calls is beta-binomial (`false_calls_interval`).

Decisions: `p ≤ α` and `score > threshold(calibration, α)` are the same event, ties included.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


def p_values(scores: ArrayLike, calibration_scores: ArrayLike) -> FloatArray:
    """Conformal p-value of each score. `scores`: (N,) → (N,), each in [1/(n+1), 1].

    Raises ValueError without calibration scores or where a number is not finite: a p-value made
    from a NaN would read as a verdict.
    """
    calibration = _checked(calibration_scores, "calibration scores")
    values = np.asarray(scores, np.float64)
    if not np.isfinite(values).all():
        raise ValueError("scores must be finite numbers")
    at_least = calibration.size - np.searchsorted(calibration, values, side="left")
    p: FloatArray = (1 + at_least) / (calibration.size + 1)
    return p


def threshold(calibration_scores: ArrayLike, alpha: float) -> float:
    """The score above which (strictly) p ≤ alpha.

    It is the j-th largest calibration score, j = ⌊α(n+1)⌋: at most j − 1 calibration scores
    reach a score above it, so p ≤ j/(n+1) ≤ α; a score equal to it is reached by j or more, so
    p ≥ (j+1)/(n+1) > α. For alpha = 1 every score fails and the threshold is −∞.
    Raises ValueError where alpha is not attainable with so few normals (`check_alpha`).
    """
    calibration = _checked(calibration_scores, "calibration scores")
    check_alpha(alpha, calibration.size)
    rank = _rank(alpha, calibration.size)
    return -math.inf if rank > calibration.size else float(calibration[-rank])


def smallest_alpha(n: int) -> float:
    """The smallest error rate that n calibration normals can promise: 1/(n + 1)."""
    if n < 1:
        raise ValueError("at least one calibration normal is needed")
    return 1 / (n + 1)


def needed_normals(alpha: float) -> int:
    """The fewest calibration normals with which alpha can be promised: ⌈1/α⌉ − 1, at least 1."""
    _check_range(alpha)
    n = max(1, math.ceil(1 / alpha) - 1)
    # the division rounds: settle the last step by the very comparison that decides elsewhere
    while smallest_alpha(n) > alpha:
        n += 1
    while n > 1 and smallest_alpha(n - 1) <= alpha:
        n -= 1
    return n


def check_alpha(alpha: float, n: int) -> None:
    """Raise ValueError, naming the number of normals needed, if n cannot promise alpha."""
    _check_range(alpha)
    if smallest_alpha(n) > alpha:
        raise ValueError(
            f"A false-call rate of {alpha:g} needs at least {needed_normals(alpha)} "
            f"calibration normals; there are {n}, which can promise {smallest_alpha(n):.3g}."
        )


def false_calls_interval(
    n: int, alpha: float, new_normals: int, level: float = 0.90
) -> tuple[int, int]:
    """Central interval for how many of `new_normals` good parts one calibration will fail.

    With j = ⌊α(n+1)⌋ and continuous scores the share that one calibration set fails is
    Beta(j, n + 1 − j), so the count is beta-binomial. With ties there are fewer false calls.
    Returns (low, high), both counts included, holding at least `level` of the probability.
    """
    check_alpha(alpha, n)
    if new_normals < 0 or not 0 < level < 1:
        raise ValueError("new_normals must not be negative and level must lie in (0, 1)")
    rank = _rank(alpha, n)
    if rank > n:
        return new_normals, new_normals
    cumulative = np.cumsum(_beta_binomial(new_normals, rank, n + 1 - rank))
    tail = (1 - level) / 2
    low = int(np.searchsorted(cumulative, tail, side="right"))
    high = int(np.searchsorted(cumulative, 1 - tail, side="left"))
    return low, min(high, new_normals)


def _beta_binomial(trials: int, a: int, b: int) -> FloatArray:
    """Probabilities of 0..trials successes, (trials + 1,)."""
    log_gamma = math.lgamma
    constant = log_gamma(trials + 1) + log_gamma(a + b) - log_gamma(a) - log_gamma(b)
    logs = [
        constant
        - log_gamma(k + 1)
        - log_gamma(trials - k + 1)
        + log_gamma(k + a)
        + log_gamma(trials - k + b)
        - log_gamma(trials + a + b)
        for k in range(trials + 1)
    ]
    return np.exp(np.asarray(logs, np.float64))


def _rank(alpha: float, n: int) -> int:
    """The largest j with j/(n+1) ≤ alpha, by the same rounded division as `p_values`."""
    rank = math.floor(alpha * (n + 1))
    while (rank + 1) / (n + 1) <= alpha:
        rank += 1
    while rank / (n + 1) > alpha:
        rank -= 1
    return rank


def _check_range(alpha: float) -> None:
    if not 0 < alpha <= 1:
        raise ValueError(f"alpha must lie in (0, 1], not {alpha}")


def _checked(scores: ArrayLike, name: str) -> FloatArray:
    values = np.sort(np.asarray(scores, np.float64))
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"{name} must be a list of at least one number")
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite numbers")
    return values
