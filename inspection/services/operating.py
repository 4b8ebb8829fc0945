"""What limits mean: how many good parts fail, how many defects pass, what both cost.

Pure functions over scores; where the scores come from is `score_sources`' business, and what a
promise is worth is said by the calibration (`ml_adapter`). Limits lie on calibration scores:
between two of them nothing changes that so few pictures could show.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from inspection import ml_adapter
from inspection.models import OperatingPoint

LEVEL = 0.95  # of every interval except the promise's
PROMISE_LEVEL = 0.90
PER = 1000  # parts that false calls and costs are told for
FINE_STEPS = 40
BINS = 56
BEYOND = 2.5  # times the range of the normals: where the last bar of a histogram begins


@dataclass(frozen=True)
class Rate:
    """`hits` of `of`, with the interval that so few can show; no value without any."""

    hits: int
    of: int
    low: float
    high: float

    @property
    def value(self) -> float | None:
        return self.hits / self.of if self.of else None


def rate(hits: int, of: int, level: float = LEVEL) -> Rate:
    """A share with its exact interval (Clopper & Pearson 1934)."""
    if of == 0:
        return Rate(0, 0, 0.0, 1.0)
    tail = (1 - level) / 2
    low = 0.0 if hits == 0 else _beta_quantile(tail, hits, of - hits + 1)
    high = 1.0 if hits == of else _beta_quantile(1 - tail, hits + 1, of - hits)
    return Rate(hits, of, low, high)


def _beta_quantile(share: float, a: float, b: float) -> float:
    """Where the Beta(a, b) distribution reaches `share`, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if beta_below(middle, a, b) < share else (low, middle)
    return (low + high) / 2


def beta_below(x: float, a: float, b: float) -> float:
    """P(Beta(a, b) ≤ x), the regularised incomplete beta function, by its continued fraction
    (Lentz's method; Press et al., Numerical Recipes, 6.4)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_below(1 - x, b, a)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(log_front + a * math.log(x) + b * math.log1p(-x)) / a
    tiny, c, d, fraction = 1e-300, 1.0, 0.0, 1.0
    for i in range(2000):
        m = i // 2
        if i == 0:
            term = 1.0
        elif i % 2 == 0:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        else:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1 / ((1 + term * d) or tiny)
        c = (1 + term / c) or tiny
        fraction *= c * d
        if abs(c * d - 1) < 1e-12:
            break
    return front * (fraction - 1)


# --- limits on the grid of the calibration ------------------------------------------------


@dataclass(frozen=True)
class Step:
    """A limit that the calibration allows: at most `alpha` of good parts score above it."""

    alpha: float
    threshold: float


def alpha_at(calibration: Sequence[float], threshold: float) -> float:
    """The lowest rate that can be promised for scores above `threshold`.

    `calibration` is sorted. A part above it has p ≤ (1 + #{calibration > threshold}) / (n + 1).
    """
    above = len(calibration) - bisect_right(calibration, threshold)
    return (1 + above) / (len(calibration) + 1)


def steps(calibration: Sequence[float]) -> list[Step]:
    """The limits that a slider may stop at, from the tightest promise to “half of all fail”:
    every calibration part at first, then in steps of about 5 %. Ties are one step."""
    scores = sorted(calibration)
    found: list[Step] = []
    for rank in _ranks(len(scores)):
        threshold = scores[-rank]
        if not found or threshold < found[-1].threshold:
            found.append(Step(alpha_at(scores, threshold), threshold))
    return found


def _ranks(n: int) -> list[int]:
    most, ranks, rank = max(1, n // 2), [], 1
    while rank <= min(most, n):
        ranks.append(rank)
        rank += 1 if rank < FINE_STEPS else max(1, rank // 20)
    return ranks


def step_for(calibration: Sequence[float], alpha: float) -> Step:
    """The limit of a promised rate. Raises ValueError where so few pictures cannot promise it."""
    scores = sorted(calibration)
    threshold = ml_adapter.threshold(scores, alpha)
    return Step(alpha_at(scores, threshold), threshold)


# --- what follows from limits -------------------------------------------------------------


@dataclass(frozen=True)
class FalseCalls:
    """Of `PER` new good parts, how many one calibration will fail: mean and interval."""

    alpha: float
    low: int
    high: int

    @property
    def expected(self) -> float:
        return self.alpha * PER


def false_calls(n: int, alpha: float) -> FalseCalls:
    """The beta-binomial promise of `n` calibration pictures at rate `alpha`."""
    low, high = ml_adapter.false_calls_interval(n, alpha, PER, PROMISE_LEVEL)
    return FalseCalls(alpha, low, high)


def missed(defects: Sequence[float], threshold_review: float) -> Rate:
    """How many known defects would pass with nobody looking."""
    return rate(sum(score <= threshold_review for score in defects), len(defects))


@dataclass(frozen=True)
class Cost:
    """Money per `PER` parts, with the range that the intervals of both errors span."""

    value: float
    low: float
    high: float
    escapes: float
    overkill: float


def cost(
    calls: FalseCalls,
    misses: Rate,
    *,
    defect_rate: float | None,
    cost_escape: float | None,
    cost_overkill: float | None,
) -> Cost | None:
    """What escapes and overkill cost per 1000 parts; None while anything about it is unknown."""
    if defect_rate is None or cost_escape is None or cost_overkill is None or not misses.of:
        return None
    bad, good = defect_rate, 1 - defect_rate
    escapes = PER * bad * (misses.value or 0.0) * cost_escape
    overkill = good * calls.expected * cost_overkill
    low = PER * bad * misses.low * cost_escape + good * calls.low * cost_overkill
    high = PER * bad * misses.high * cost_escape + good * calls.high * cost_overkill
    return Cost(escapes + overkill, low, high, escapes, overkill)


@dataclass(frozen=True)
class Figures:
    """Everything that one pair of limits means."""

    fail: Step
    review: Step
    calls: FalseCalls
    looks: float
    misses: Rate
    costs: Cost | None


def figures(
    calibration: Sequence[float],
    defects: Sequence[float],
    fail: Step,
    review: Step,
    *,
    defect_rate: float | None,
    cost_escape: float | None,
    cost_overkill: float | None,
) -> Figures:
    """`looks` is the share of good parts that a person is asked about."""
    calls = false_calls(len(calibration), fail.alpha)
    misses = missed(defects, review.threshold)
    costs = cost(
        calls,
        misses,
        defect_rate=defect_rate,
        cost_escape=cost_escape,
        cost_overkill=cost_overkill,
    )
    return Figures(fail, review, calls, max(0.0, review.alpha - fail.alpha), misses, costs)


def point_as_steps(calibration: Sequence[float], point: OperatingPoint) -> tuple[Step, Step]:
    """The limits in force, (fail, review), with what the calibration can promise for them."""
    scores = sorted(calibration)
    return (
        Step(alpha_at(scores, point.threshold_fail), point.threshold_fail),
        Step(alpha_at(scores, point.threshold_review), point.threshold_review),
    )


# --- histogram ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Bin:
    low: float
    high: float
    normals: int
    defects: int


def scale(normals: Sequence[float], defects: Sequence[float]) -> tuple[float, float]:
    """From the lowest score to the highest, or to where defects are far out anyway."""
    everything = [*normals, *defects]
    low, top = min(everything), max(everything)
    spread = (max(normals) - min(normals)) or abs(max(normals)) or 1.0
    high = min(top, max(normals) + BEYOND * spread)
    return low, high if high > low else low + spread


def histogram(normals: Sequence[float], defects: Sequence[float]) -> list[Bin]:
    """Counts in `BINS` equal bins of `scale`; the last one holds everything beyond as well."""
    low, high = scale(normals, defects)
    width = (high - low) / BINS
    counts = [[0] * BINS, [0] * BINS]
    for row, scores in zip(counts, (normals, defects), strict=True):
        for score in scores:
            row[min(BINS - 1, max(0, int((score - low) / width)))] += 1
    return [
        Bin(low + i * width, low + (i + 1) * width, counts[0][i], counts[1][i]) for i in range(BINS)
    ]
