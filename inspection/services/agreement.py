"""How well the model and the inspectors agree (attribute agreement analysis).

Everything is asked of one table: what one of two said, against what the other said, who is
taken as the reference. Only decisions of record count. Passed parts are reviewed only where
chance drew them for an audit, each with a known probability, so each stands for the inverse of
it; passed parts that somebody picked by hand stand for nothing and are left out.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Count, OuterRef, Q, QuerySet, Subquery, UUIDField

from inspection.models import (
    Disposition,
    Inspection,
    Look,
    Review,
    ReviewState,
    User,
    Verdict,
)

ENOUGH_AUDITS = 30  # below this many, a miss rate says more about chance than about the model
DEFECT = (
    ReviewState.CONFIRMED,
    ReviewState.ACCEPTED,  # there is one, and it may stay
    ReviewState.REPAIRED,
    ReviewState.CLOSED,
)
LOOKED_AT = 500  # second looks among which those that differ are looked for
GOOD, MARGINAL, POOR = "good", "marginal", "poor"
# (good, marginal): from this on upwards, or up to this, as acceptance bands of an MSA say it.
AT_LEAST = {"kappa": (0.75, 0.40), "effectiveness": (0.90, 0.80)}
AT_MOST = {"miss_rate": (0.02, 0.05), "false_alarm_rate": (0.05, 0.10)}


@dataclass(frozen=True)
class Rate:
    """A figure with what it was computed from. `value` None: it cannot be said, `why` says so."""

    name: str
    value: float | None
    of: int
    why: str = ""

    @property
    def band(self) -> str:
        """good, marginal or poor; empty where there is no value."""
        if self.value is None:
            return ""
        if self.name in AT_LEAST:
            good, marginal = AT_LEAST[self.name]
            return GOOD if self.value >= good else MARGINAL if self.value >= marginal else POOR
        good, marginal = AT_MOST[self.name]
        return GOOD if self.value <= good else MARGINAL if self.value <= marginal else POOR


@dataclass
class Table:
    """What a rater said against the reference: `bad_bad` is "both: a defect", `good_bad` is
    "the rater: good, the reference: a defect", a miss. Parts, and in `weights` how many parts
    they stand for."""

    parts: dict[tuple[bool, bool], int] = field(default_factory=lambda: defaultdict(int))
    weights: dict[tuple[bool, bool], float] = field(default_factory=lambda: defaultdict(float))
    audits: int | None = None  # passed parts drawn for an audit; None: there is no sampling

    def add(self, said_bad: bool, is_bad: bool, n: int = 1, weight: float = 1.0) -> None:
        self.parts[said_bad, is_bad] += n
        self.weights[said_bad, is_bad] += n * weight

    @property
    def n(self) -> int:
        return sum(self.parts.values())

    @property
    def bad(self) -> int:
        """Parts that the reference calls defective."""
        return self.parts[True, True] + self.parts[False, True]

    @property
    def good(self) -> int:
        return self.parts[True, False] + self.parts[False, False]

    def rows(self) -> list[dict[str, Any]]:
        """As a page shows it: a row per what was said."""
        return [
            {"said": said, "bad": self.parts[said, True], "good": self.parts[said, False]}
            for said in (True, False)
        ]

    # --- the figures -----------------------------------------------------------------------

    def kappa(self) -> Rate:
        """κ = (Po − Pe) / (1 − Pe)."""
        total = sum(self.weights.values())
        if why := self._unknown(total):
            return Rate("kappa", None, self.n, why)
        w = self.weights
        observed = (w[True, True] + w[False, False]) / total
        said_bad, is_bad = w[True, True] + w[True, False], w[True, True] + w[False, True]
        expected = (said_bad * is_bad + (total - said_bad) * (total - is_bad)) / total**2
        if expected >= 1.0:  # both said the same of every part
            return Rate("kappa", None, self.n, ONE_KIND)
        return Rate("kappa", (observed - expected) / (1 - expected), self.n)

    def effectiveness(self) -> Rate:
        """Decisions that agree with the reference ÷ all."""
        agree = self.weights[True, True] + self.weights[False, False]
        return self._rate("effectiveness", agree, sum(self.weights.values()), self.n)

    def miss_rate(self) -> Rate:
        """Defective parts that were called good ÷ defective parts."""
        missed = self.weights[False, True]
        return self._rate("miss_rate", missed, missed + self.weights[True, True], self.bad)

    def false_alarm_rate(self) -> Rate:
        """Good parts that were called defective ÷ good parts."""
        alarms = self.weights[True, False]
        return self._rate(
            "false_alarm_rate", alarms, alarms + self.weights[False, False], self.good
        )

    def rates(self) -> list[Rate]:
        return [self.kappa(), self.effectiveness(), self.miss_rate(), self.false_alarm_rate()]

    def _rate(self, name: str, part: float, whole: float, of: int) -> Rate:
        if why := self._unknown(whole):
            return Rate(name, None, of, why)
        return Rate(name, part / whole, of)

    def _unknown(self, whole: float) -> str:
        """Why a figure cannot be said; empty if it can. Who reviews rejects alone learns
        nothing of the parts that passed."""
        if not self.n:
            return NOTHING
        if self.audits is not None and self.audits < ENOUGH_AUDITS:
            return FEW_AUDITS
        return "" if whole else NONE_OF_THEM


NOTHING, NONE_OF_THEM, ONE_KIND, FEW_AUDITS = "nothing", "none", "one_kind", "few_audits"


@dataclass
class Person:
    """What one inspector said, against the model."""

    name: str
    table: Table = field(default_factory=Table)


@dataclass
class Pair:
    """What two inspectors said of the same parts, neither knowing of the other."""

    first: str
    second: str
    table: Table = field(default_factory=Table)


@dataclass(frozen=True)
class Span:
    """Which inspections are asked. `stations` None: any, and pictures from none."""

    products: tuple[UUID, ...]
    since: datetime
    until: datetime
    stations: tuple[UUID, ...] | None = None

    def condition(self, at: str = "") -> Q:
        """On rows whose inspection is at `at`."""
        wanted: dict[str, Any] = {
            "viewpoint__product__in": self.products,
            "completed_at__gte": self.since,
            "completed_at__lt": self.until,
            "is_record": True,
        }
        if self.stations is not None:
            wanted["station__in"] = self.stations
        return Q(**{f"{at}{name}": value for name, value in wanted.items()})


def model_and_inspectors(span: Span) -> tuple[Table, list[Person]]:
    """The model against what inspectors said (they are the reference), and each of them."""
    drawn = Q(audit_rate__isnull=False) | Q(verdict=Verdict.FAILED)
    reviewed = Inspection.objects.filter(span.condition()).exclude(
        review_state=ReviewState.NOT_VERIFIED
    )
    rows = (
        reviewed.filter(drawn | Q(disposition=Disposition.NEEDS_REVIEW))
        .order_by()
        .values("verdict", "disposition", "review_state", "audit_rate", "reviewed_by")
        .annotate(n=Count("pk"))
    )
    everybody = Table(audits=0)
    people: dict[UUID | None, Table] = defaultdict(lambda: Table(audits=0))
    for row in rows:
        for table in (everybody, people[row["reviewed_by"]]):
            _count(table, row)
    names = {user.pk: str(user) for user in User.objects.filter(pk__in=[k for k in people if k])}
    persons = [Person(names[key] if key else "–", table) for key, table in people.items()]
    return everybody, sorted(persons, key=lambda one: -one.table.n)


def _count(table: Table, row: Any) -> None:
    audit = row["verdict"] == Verdict.PASSED and row["disposition"] == Disposition.AUTO
    weight = 1 / row["audit_rate"] if audit else 1.0
    if audit and table.audits is not None:
        table.audits += row["n"]
    table.add(row["verdict"] == Verdict.FAILED, row["review_state"] in DEFECT, row["n"], weight)


def second_looks(span: Span) -> QuerySet[Any]:
    """Second looks, newest first, each with `first_state` and `first_author` of the first look
    that it was drawn for, whatever was said later."""
    drawn = Review.objects.filter(
        inspection=OuterRef("inspection"),
        look=Look.FIRST,
        second_look_rate__isnull=False,
        undone_by=None,
    ).order_by("id")
    looks: QuerySet[Any] = Review.objects.filter(
        span.condition("inspection__"), look=Look.SECOND, undoes=None, undone_by=None
    )
    looks = looks.annotate(
        first_state=Subquery(drawn.values("state")[:1]),
        first_author=Subquery(drawn.values("author")[:1], output_field=UUIDField()),
    )
    return looks.filter(first_state__isnull=False).order_by("-id")


def between_inspectors(span: Span) -> tuple[Table, list[Pair]]:
    """Second looks against first looks (the reference): all of them, and each two people."""
    looks = second_looks(span)
    rows = (
        looks.order_by()
        .values("first_state", "first_author", "state", "author")
        .annotate(n=Count("pk"))
    )
    everybody = Table()
    found: dict[tuple[UUID, UUID], Table] = defaultdict(Table)
    for row in rows:
        for table in (everybody, found[row["first_author"], row["author"]]):
            table.add(row["state"] in DEFECT, row["first_state"] in DEFECT, row["n"])
    keys = {key for pair in found for key in pair}
    names = {user.pk: str(user) for user in User.objects.filter(pk__in=keys)}
    pairs = [Pair(names[one], names[other], table) for (one, other), table in found.items()]
    return everybody, sorted(pairs, key=lambda pair: -pair.table.n)


def differing(span: Span, most: int) -> list[Any]:
    """At most so many of the newest second looks that say otherwise than the first, among the
    newest LOOKED_AT, each with its `first_author` as a person."""
    looks = second_looks(span).select_related("inspection__unit", "author")[:LOOKED_AT]
    found = [one for one in looks if (one.state in DEFECT) != (one.first_state in DEFECT)][:most]
    people = User.objects.in_bulk([one.first_author for one in found])
    for one in found:
        one.first_author = people.get(one.first_author)
    return found
