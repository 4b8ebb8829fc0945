"""What the Today page reads: sums instead of inspections, in a fixed number of questions."""

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Count, F, Q, QuerySet, Sum
from django.db.models.functions import TruncDay
from django.utils import timezone

from inspection import policies
from inspection.models import (
    TO_VERIFY,
    DatasetImage,
    DefectTally,
    DriftAlert,
    Escape,
    HourlyTally,
    Inspection,
    ModelVersion,
    User,
)
from inspection.services import kpi_facts, kpis, review_queue
from inspection.services.kpis import Sums

from .filters import NONE
from .reads_verify import queue_in
from .scope import Scope

OPPORTUNITIES = F("inspected") * F("viewpoint__product__opportunities_per_unit")
# In the order of the fields of `Sums`.
SUMMED = {
    f"sum_{name}": Sum(OPPORTUNITIES if name == "opportunities" else name)
    for name in Sums.__dataclass_fields__
}
BY_HOUR = 2  # days; longer periods are shown by day
COMPARED = 90  # days; longer periods are not compared with the one before
STREAMS_OF = timedelta(days=14)


@dataclass(frozen=True)
class Bucket:
    """One hour or day of the trend."""

    begin: datetime
    sums: Sums


@dataclass(frozen=True)
class Trend:
    """Every hour or day of the period, also those in which nothing was inspected; the sums of
    all of it; and those of as many days right before it, None where that is too long ago to
    compare with."""

    buckets: list[Bucket]
    sums: Sums
    before: Sums | None


def trend(scope: Scope) -> Trend:
    """One question for all: putting twenty sums into SQL takes longer than adding them up.

    Hours are put together here: in the night in which the clock is set back, the database
    cannot tell the second hour of a name from the first.
    """
    compared = scope.days <= COMPARED
    begin = scope.since - timedelta(days=scope.days) if compared else scope.since
    day = TruncDay("hour", tzinfo=timezone.get_default_timezone())
    rows = (
        HourlyTally.objects.filter(hour__gte=begin, hour__lt=scope.until, **scope.narrowed)
        .annotate(at=F("hour") if by_hour(scope) else day)
        .order_by()
        .values_list("at")
        .annotate(**SUMMED)
    )
    found = [(at, Sums(*map(int, sums))) for at, *sums in rows]
    inside = [(at, sums) for at, sums in found if at >= scope.since]
    earlier = kpis.total(sums for at, sums in found if at < scope.since)
    whole = kpis.total(sums for _, sums in inside)
    return Trend(_buckets(_times(scope), inside), whole, earlier if compared else None)


def by_hour(scope: Scope) -> bool:
    return scope.days <= BY_HOUR


def _buckets(times: list[datetime], found: list[tuple[datetime, Sums]]) -> list[Bucket]:
    """What was found, each in the last hour or day that had begun by then."""
    zone, sums = timezone.get_default_timezone(), [Sums() for _ in times]
    for at, share in found:
        sums[bisect_right(times, at) - 1] += share
    return [Bucket(at.astimezone(zone), one) for at, one in zip(times, sums, strict=True)]


def _times(scope: Scope) -> list[datetime]:
    """The begin of each hour, until now, or of each day, in UTC: the plant's clock does not
    count the hours of a day that has 23 or 25."""
    if by_hour(scope):
        begin, end = scope.since.astimezone(UTC), min(scope.until, timezone.now())
        hours = max(0, (end - begin) // timedelta(hours=1)) + 1
        times = (begin + timedelta(hours=n) for n in range(hours))
        return [at for at in times if at < scope.until]
    zone = timezone.get_default_timezone()
    first = scope.since.astimezone(zone).replace(tzinfo=None)
    days = (timezone.make_aware(first + timedelta(days=n), zone) for n in range(scope.days))
    return [day.astimezone(UTC) for day in days]


def _within(rows: QuerySet[Any], scope: Scope) -> QuerySet[Any]:
    return rows.filter(hour__gte=scope.since, hour__lt=scope.until, **scope.narrowed)


@dataclass(frozen=True)
class Bar:
    """One reason of the Pareto, or the `others` that are too many for bars of their own. `share`
    is of the longest bar, `sum_share` of all so far."""

    code: str
    text: str
    n: int
    share: float
    sum_share: float
    others: int = 0

    @property
    def asked(self) -> str:
        """What the list of Defects calls it: a code that reads as its word for none is known
        there in capitals too."""
        return self.code.upper() if self.code == NONE else self.code or NONE


def reasons(scope: Scope, most: int = 8) -> list[Bar]:
    """Confirmed defects by reason, the most frequent first; those without a reason too. The
    last bar is what is left, so that they add up."""
    rows = (
        _within(DefectTally.objects.filter(confirmed__gt=0), scope)
        .order_by()
        .values_list("reason_code__code", "reason_code__text")
        .annotate(n=Sum("confirmed"))
    )
    by_code: dict[str, list[Any]] = {}
    for code, text, n in rows:
        by_code.setdefault(code or "", [text or "", 0])[1] += n
    ordered = sorted(by_code.items(), key=lambda item: -item[1][1])
    kept = [(code, text, n, 0) for code, (text, n) in ordered[:most]]
    if rest := ordered[most:]:
        kept.append(("", "", sum(n for _, (_, n) in rest), len(rest)))
    longest, total = max((bar[2] for bar in kept), default=0), sum(bar[2] for bar in kept)
    so_far, bars = 0, []
    for code, text, n, others in kept:
        so_far += n
        bars.append(Bar(code, text, n, n / longest, so_far / total, others))
    return bars


class Side(NamedTuple):
    """A viewpoint, and whose."""

    viewpoint: UUID
    product: UUID
    code: str
    name: str


def places(scope: Scope) -> dict[Side, dict[int, tuple[int, int]]]:
    """Calls and confirmed defects by cell, for each viewpoint; the one with most calls first."""
    rows = (
        _within(DefectTally.objects.filter(cell__isnull=False), scope)
        .order_by()
        .values_list(*OF_A_SIDE, "cell")
        .annotate(calls=Sum("calls"), confirmed=Sum("confirmed"))
    )
    found: dict[Side, dict[int, tuple[int, int]]] = defaultdict(dict)
    for *side, cell, calls, confirmed in rows:
        if calls or confirmed:
            found[Side(*side)][cell] = (calls, confirmed)
    most = sorted(found, key=lambda side: -sum(calls for calls, _bad in found[side].values()))
    return {side: found[side] for side in most}


OF_A_SIDE = ("viewpoint_id", "viewpoint__product_id", "viewpoint__code", "viewpoint__name")


def good_picture(viewpoint: UUID) -> UUID | None:
    """A picture of a good part, to show places on."""
    items = DatasetImage.objects.filter(
        dataset__viewpoint=viewpoint, dataset__purpose="good", label="", excluded_at=None
    )
    return items.order_by().values_list("image_id", flat=True).first()


def escapes(scope: Scope) -> int | None:
    """How many units were found downstream in the period; None if none was ever reported."""
    return kpi_facts.downstream(scope.products, scope.since, scope.until, scope.chosen_stations)


def reported_escapes(scope: Scope) -> QuerySet[Escape]:
    """Those of the products, line and station, whenever they were found; withdrawn ones too."""
    return kpi_facts.reported(scope.products, scope.chosen_stations)


def found_within(scope: Scope) -> Q:
    """Whether an escape was found in the period."""
    return Q(found_at__gte=scope.since, found_at__lt=scope.until)


@dataclass(frozen=True)
class Waiting:
    """Parts that wait for a person, whenever they were inspected. `may_review`: for this one."""

    called: int
    drawn: int
    may_review: bool


def waiting(user: User, scope: Scope) -> Waiting:
    """As the station counts what `user` may review; for who may review none of these products,
    all that waits at it."""
    roles = policies.Roles(user)
    mine = any(roles.can(policies.REVIEW, product.pk) for product in scope.products)
    rows = (
        review_queue.waiting(user, queue_in(scope))
        if mine
        else Inspection.objects.filter(
            TO_VERIFY, viewpoint__product__archived_at=None, **scope.narrowed
        )
    )
    audits = Count("pk", filter=review_queue.KINDS["audit"])
    found = rows.order_by().aggregate(every=Count("pk"), drawn=audits)
    return Waiting(found["every"] - found["drawn"], found["drawn"], mine)


# What the page says of a model and of an alert: every further column takes time to ask for.
OF_A_MODEL = (
    "number",
    "method",
    "backbone_is_stand_in",
    "promoted_at",
    "created_at",
    "viewpoint__code",
    "viewpoint__name",
    "viewpoint__product__code",
)
OF_AN_ALERT = (
    "viewpoint_id",
    "station_id",
    "model_version_id",
    "began_at",
    "value",
    "low",
    "high",
    "viewpoint__product__name",
    "station__name",
    "station__line",
)


def active_models(scope: Scope, most: int) -> list[ModelVersion]:
    """At most so many of the models that judge."""
    found = ModelVersion.objects.filter(
        viewpoint__product__in=[one for one in scope.products if one.archived_at is None],
        state=ModelVersion.State.ACTIVE,
    )
    told = found.select_related("viewpoint__product").only(*OF_A_MODEL)
    return list(told.order_by("viewpoint__product__code", "viewpoint__code")[:most])


@dataclass(frozen=True)
class Stream:
    """Parts of one viewpoint at one station, judged by one model."""

    viewpoint: UUID
    station: UUID | None
    model: UUID
    product: UUID
    code: str
    side: str
    parts: int

    @property
    def key(self) -> str:
        parts = (self.viewpoint, self.station, self.model)
        return ".".join("" if part is None else part.hex for part in parts)


def streams(scope: Scope) -> list[Stream]:
    """Those in which parts passed lately, the busiest first."""
    since = max(scope.since, scope.until - STREAMS_OF)
    rows = (
        HourlyTally.objects.filter(
            hour__gte=since, hour__lt=scope.until, scores__gt=0, **scope.narrowed
        )
        .order_by()
        .values_list(
            "viewpoint_id",
            "station_id",
            "model_version_id",
            "viewpoint__product_id",
            "viewpoint__code",
            "viewpoint__name",
        )
        .annotate(parts=Sum("scores"))
    )
    return sorted((Stream(*row) for row in rows), key=lambda one: (-one.parts, one.key))


def open_alerts(scope: Scope) -> list[DriftAlert]:
    alerts = DriftAlert.objects.filter(ended_at=None, **scope.narrowed)
    told = alerts.select_related("viewpoint__product", "station").only(*OF_AN_ALERT)
    return list(told.order_by("began_at"))


def last_hour(scope: Scope) -> datetime | None:
    """When something was counted last, whatever the period."""
    found = HourlyTally.objects.filter(**scope.narrowed).order_by("-hour")
    return found.values_list("hour", flat=True).first()
