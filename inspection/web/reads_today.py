"""What the Today page reads: sums instead of inspections, in a fixed number of questions."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Count, Q, QuerySet

from inspection import policies
from inspection.models import (
    TO_VERIFY,
    DatasetImage,
    DriftAlert,
    Escape,
    HourlyTally,
    Inspection,
    ModelVersion,
    User,
)
from inspection.services import drift_streams, kpi_facts, kpis, review_queue, tally_sums
from inspection.services.drift_streams import Stream
from inspection.services.kpis import Sums
from inspection.services.tally_sums import Bucket, Side, Span

from .filters import NONE
from .reads_verify import queue_in
from .scope import Scope

BY_HOUR = 2  # days; longer periods are shown by day
COMPARED = 90  # days; longer periods are not compared with the one before


@dataclass(frozen=True)
class Trend:
    """Every hour or day of the period, also those in which nothing was inspected; the sums of
    all of it; and those of as many days right before it, None where that is too long ago to
    compare with."""

    buckets: list[Bucket]
    sums: Sums
    before: Sums | None


def trend(scope: Scope) -> Trend:
    """One question for the period and the one before."""
    compared = scope.days <= COMPARED
    begin = scope.since - timedelta(days=scope.days) if compared else scope.since
    hours = by_hour(scope)
    found = tally_sums.sums_by(Span(begin, scope.until, scope.narrowed), by_hour=hours)
    inside = [(at, sums) for at, sums in found if at >= scope.since]
    earlier = kpis.total(sums for at, sums in found if at < scope.since)
    whole = kpis.total(sums for _, sums in inside)
    times = tally_sums.begins(scope.since, scope.until, by_hour=hours)
    return Trend(tally_sums.buckets(times, inside), whole, earlier if compared else None)


def by_hour(scope: Scope) -> bool:
    return scope.days <= BY_HOUR


def span(scope: Scope) -> Span:
    return Span(scope.since, scope.until, scope.narrowed)


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
    ordered = tally_sums.by_reason(span(scope))
    kept = [(code, text, n, 0) for code, text, n in ordered[:most]]
    if rest := ordered[most:]:
        kept.append(("", "", sum(n for _code, _text, n in rest), len(rest)))
    longest, total = max((bar[2] for bar in kept), default=0), sum(bar[2] for bar in kept)
    so_far, bars = 0, []
    for code, text, n, others in kept:
        so_far += n
        bars.append(Bar(code, text, n, n / longest, so_far / total, others))
    return bars


def places(scope: Scope) -> dict[Side, dict[int, tuple[int, int]]]:
    """Calls and confirmed defects by cell, for each viewpoint; the one with most calls first."""
    return tally_sums.by_place(span(scope))


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


# What the page says of a model: every further column takes time to ask for.
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


def active_models(scope: Scope, most: int) -> list[ModelVersion]:
    """At most so many of the models that judge."""
    found = ModelVersion.objects.filter(
        viewpoint__product__in=[one for one in scope.products if one.archived_at is None],
        state=ModelVersion.State.ACTIVE,
    )
    told = found.select_related("viewpoint__product").only(*OF_A_MODEL)
    return list(told.order_by("viewpoint__product__code", "viewpoint__code")[:most])


def streams(scope: Scope) -> list[Stream]:
    """Those in which parts passed lately, the busiest first."""
    return drift_streams.streams(span(scope))


def open_alerts(scope: Scope) -> list[DriftAlert]:
    return drift_streams.open_alerts(scope.narrowed)


def last_hour(scope: Scope) -> datetime | None:
    """When something was counted last, whatever the period."""
    found = HourlyTally.objects.filter(**scope.narrowed).order_by("-hour")
    return found.values_list("hour", flat=True).first()
