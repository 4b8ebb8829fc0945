"""The figures of the quality manager, from sums over decisions of record (docs/kpis.md).

Pure: no queries. A figure without a denominator, or one that nobody can know, has no value;
it is never 0.
"""

import math
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

Z95 = 1.959963984540054  # of the normal distribution: 95 % on two sides
ENOUGH_AUDITS = 30
PPM = 1_000_000
SIGMAS = 3.0  # Shewhart's limits
WHOLE = 100  # audit weights are kept in hundredths


class Why(StrEnum):
    """Why a figure has no value."""

    NOTHING = "nothing"  # the denominator is 0
    UNKNOWN = "unknown"  # nobody ever reported what it counts
    FEW_AUDITS = "few_audits"  # fewer than ENOUGH_AUDITS


@dataclass(frozen=True)
class Sums:
    """What `HourlyTally` holds, added up; `opportunities` are units times what the product has."""

    inspected: int = 0
    passed: int = 0
    failed: int = 0
    review: int = 0
    confirmed: int = 0
    rejected: int = 0
    accepted: int = 0
    repaired: int = 0
    closed: int = 0
    waiting: int = 0
    missed: int = 0
    audited: int = 0
    audited_bad: int = 0
    audit_weight: int = 0
    audit_weight_bad: int = 0
    audit_weight_squares: int = 0
    opportunities: int = 0

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(*map(operator.add, vars(self).values(), vars(other).values()))

    @property
    def called(self) -> int:
        """Failed, or sent to a person."""
        return self.failed + self.review

    @property
    def defects(self) -> int:
        """Parts that a person found defective, whatever became of them."""
        return self.confirmed + self.accepted + self.repaired + self.closed

    @property
    def caught(self) -> int:
        """Defects among what the machine called."""
        return self.defects - self.missed

    @property
    def good_at_last(self) -> int:
        """Parts that went on without repair: passed and not found defective, false calls, and
        defects accepted as they are. What still waits for a person is not good yet."""
        return self.inspected - self.waiting - self.confirmed - self.repaired - self.closed


@dataclass(frozen=True)
class Figure:
    """A figure with what it is made of. `value` is a ratio, times a million where it is ppm."""

    value: float | None
    numerator: float
    denominator: float
    why: Why | None = None
    low: float | None = None
    high: float | None = None


def total(many: Iterable[Sums]) -> Sums:
    columns = zip(*(vars(one).values() for one in many), strict=True)
    return Sums(*map(sum, columns))  # a year of days one by one takes six times as long


def ratio(numerator: float, denominator: float, scale: float = 1.0) -> Figure:
    if denominator <= 0:
        return Figure(None, numerator, denominator, Why.NOTHING)
    return Figure(scale * numerator / denominator, numerator, denominator)


def fpy_raw(s: Sums) -> Figure:
    """First-pass yield of the machine: passed by itself ÷ inspected."""
    return ratio(s.passed, s.inspected)


def fpy_verified(s: Sums) -> Figure:
    """First-pass yield after review; a part that waits for a person has not passed yet."""
    return ratio(s.good_at_last, s.inspected)


def false_call_ppm(s: Sums) -> Figure:
    """DefectRejected ÷ inspected opportunities × 10⁶."""
    return ratio(s.rejected, s.opportunities, PPM)


def false_called_units(s: Sums) -> Figure:
    return ratio(s.rejected, s.inspected)


def overkill(s: Sums) -> Figure:
    """Good parts called ÷ good parts. Good: false calls, and passes that nobody found bad."""
    return ratio(s.rejected, s.rejected + s.passed - s.missed)


def dpmo(s: Sums) -> Figure:
    """Defects found in process ÷ opportunities × 10⁶; a defective part counts one defect."""
    return ratio(s.defects, s.opportunities, PPM)


def escape_rate(s: Sums, downstream: int | None) -> Figure:
    """Found downstream ÷ (found here + found downstream). None: escapes were never reported
    for these products, so nobody knows."""
    if downstream is None:
        return Figure(None, 0, s.defects, Why.UNKNOWN)
    return ratio(downstream, s.defects + downstream)


def bad_among_passed(s: Sums) -> Figure:
    """Share of passed parts that are defective, estimated from random audits.

    Each audited part is weighed by its inverse sampling probability (Hájek's estimator); the
    interval is Wilson's with the effective number of audits, (Σw)² / Σw² (Kish).
    """
    if s.audited < ENOUGH_AUDITS:
        return Figure(None, s.audited_bad, s.audited, Why.FEW_AUDITS)
    share = s.audit_weight_bad / s.audit_weight
    effective = s.audit_weight**2 / s.audit_weight_squares
    low, high = wilson(share * effective, effective)
    return Figure(share, s.audited_bad, s.audited, low=low, high=high)


def underkill(s: Sums) -> Figure:
    """Bad parts passed ÷ bad parts, both with what the audits say of all passed parts."""
    share = bad_among_passed(s)
    if share.value is None:
        return share
    if not s.caught and not share.numerator:
        return Figure(None, 0, 0, Why.NOTHING)

    def rate(bad: float) -> float:
        passed = bad * s.passed
        return passed / (s.caught + passed) if s.caught + passed else 0.0

    passed = share.value * s.passed
    return Figure(
        rate(share.value),
        passed,
        s.caught + passed,
        low=rate(share.low or 0.0),
        high=rate(share.high or 0.0),
    )


def differ(a: Figure, b: Figure) -> bool:
    """Whether two shares differ by more than chance: a two-sided z test of 95 %."""
    if a.denominator <= 0 or b.denominator <= 0:
        return False
    pooled = (a.numerator + b.numerator) / (a.denominator + b.denominator)
    variance = pooled * (1 - pooled) * (1 / a.denominator + 1 / b.denominator)
    gap = abs(a.numerator / a.denominator - b.numerator / b.denominator)
    return variance > 0 and gap > Z95 * math.sqrt(variance)


def wilson(hits: float, n: float, z: float = Z95) -> tuple[float, float]:
    """Wilson's score interval of a proportion `hits` / `n`; (0, 1) where n is 0."""
    if n <= 0:
        return 0.0, 1.0
    p, z2 = hits / n, z * z
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True)
class Limits:
    """One subgroup of a p-chart: its share, and what chance alone would allow it."""

    n: int
    hits: int
    share: float | None
    low: float | None
    high: float | None

    @property
    def outside(self) -> bool:
        if self.share is None or self.low is None or self.high is None:
            return False
        return not self.low <= self.share <= self.high


def p_chart(groups: Sequence[tuple[int, int]]) -> tuple[float | None, list[Limits]]:
    """(centre line, subgroups) of `(n, hits)`: limits p̄ ± 3·√(p̄(1 − p̄)/n), within 0 and 1.

    Montgomery, Introduction to Statistical Quality Control, ch. 7. An empty subgroup has none.
    """
    n = sum(size for size, _ in groups)
    if not n:
        return None, [Limits(0, 0, None, None, None) for _ in groups]
    centre = sum(hits for _, hits in groups) / n
    return centre, [_limits(centre, size, hits) for size, hits in groups]


def _limits(centre: float, n: int, hits: int) -> Limits:
    if not n:
        return Limits(0, 0, None, None, None)
    half = SIGMAS * math.sqrt(centre * (1 - centre) / n)
    return Limits(n, hits, hits / n, max(0.0, centre - half), min(1.0, centre + half))
