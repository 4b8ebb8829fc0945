"""What happened in a time: by hour or day, by reason, by place on the part. The page Today and
programs read the same sums of tallies, in a fixed number of questions."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import F, QuerySet, Sum
from django.db.models.functions import TruncDay
from django.utils import timezone

from inspection.models import DefectTally, HourlyTally

from .kpi_facts import SUMMED
from .kpis import Sums

NOTHING = Sums()
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
OF_A_SIDE = ("viewpoint_id", "viewpoint__product_id", "viewpoint__code", "viewpoint__name")


@dataclass(frozen=True)
class Span:
    """From `since` until `until`, which is not included; `narrowed`: conditions on rows that
    have a viewpoint and a station."""

    since: datetime
    until: datetime
    narrowed: Mapping[str, Any]

    def of(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Those of its time and places."""
        return rows.filter(hour__gte=self.since, hour__lt=self.until, **self.narrowed).order_by()


@dataclass(frozen=True)
class Bucket:
    """One hour or day of the trend."""

    begin: datetime
    sums: Sums


def sums_by(span: Span, *, by_hour: bool) -> list[tuple[datetime, Sums]]:
    """Sums of each hour or day in which something was inspected.

    One question for all: putting twenty sums into SQL takes longer than adding them up. Hours are
    put together by `buckets`: in the night in which the clock is set back, the database cannot
    tell the second hour of a name from the first.
    """
    day = TruncDay("hour", tzinfo=timezone.get_default_timezone())
    rows = span.of(HourlyTally.objects.annotate(at=F("hour") if by_hour else day))
    found = rows.values_list("at").annotate(**SUMMED)
    return [(at, Sums(*map(int, sums))) for at, *sums in found]


def buckets(times: list[datetime], found: list[tuple[datetime, Sums]]) -> list[Bucket]:
    """What was found, each in the last hour or day that had begun by then."""
    zone, sums = timezone.get_default_timezone(), [NOTHING] * len(times)
    for at, share in found:
        place = bisect_right(times, at) - 1
        sums[place] = share if sums[place] is NOTHING else sums[place] + share
    return [Bucket(at.astimezone(zone), one) for at, one in zip(times, sums, strict=True)]


def begins(since: datetime, until: datetime, *, by_hour: bool) -> list[datetime]:
    """The begin of each hour, until now, or of each day, in UTC: the plant's clock does not count
    the hours of a day that has 23 or 25. `since` begins an hour or a day."""
    end = min(until, timezone.now())
    if by_hour:
        begin = since.astimezone(UTC)
        hours = max(0, (end - begin) // HOUR) + 1
        return [at for at in (begin + n * HOUR for n in range(hours)) if at < until]
    zone = timezone.get_default_timezone()
    first = since.astimezone(zone).replace(tzinfo=None)
    count = max(0, (end.astimezone(zone).replace(tzinfo=None) - first) // DAY) + 1
    days = (timezone.make_aware(first + n * DAY, zone).astimezone(UTC) for n in range(count))
    return [day for day in days if day < until]


def begin_of(moment: datetime, *, by_hour: bool) -> datetime:
    """When the hour or day of the plant's clock began in which a moment lies."""
    here = moment.astimezone(timezone.get_default_timezone())
    if by_hour:
        return here.replace(minute=0, second=0, microsecond=0)
    return timezone.make_aware(datetime.combine(here.date(), time.min))


def by_reason(span: Span) -> list[tuple[str, str, int]]:
    """(code, text, confirmed defects), the most frequent first; empty: those without a reason."""
    rows = span.of(DefectTally.objects.filter(confirmed__gt=0))
    found = rows.values_list("reason_code__code", "reason_code__text").annotate(n=Sum("confirmed"))
    by_code: dict[str, list[Any]] = {}
    for code, text, n in found:
        by_code.setdefault(code or "", [text or "", 0])[1] += n
    ordered = sorted(by_code.items(), key=lambda item: -item[1][1])
    return [(code, text, n) for code, (text, n) in ordered]


class Side(NamedTuple):
    """A viewpoint, and whose."""

    viewpoint: UUID
    product: UUID
    code: str
    name: str


def by_place(span: Span) -> dict[Side, dict[int, tuple[int, int]]]:
    """Calls and confirmed defects by cell, for each viewpoint; the one with most calls first."""
    rows = span.of(DefectTally.objects.filter(cell__isnull=False))
    sums = rows.values_list(*OF_A_SIDE, "cell").annotate(
        calls=Sum("calls"), confirmed=Sum("confirmed")
    )
    found: dict[Side, dict[int, tuple[int, int]]] = defaultdict(dict)
    for *side, cell, calls, confirmed in sums:
        if calls or confirmed:
            found[Side(*side)][cell] = (calls, confirmed)
    most = sorted(found, key=lambda side: -sum(calls for calls, _bad in found[side].values()))
    return {side: found[side] for side in most}
