"""Sums over decisions of record, kept exact: each change is written in the same transaction
as its cause. Pages read these rows instead of millions of inspections."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import connection, transaction
from django.db.models import (
    BigIntegerField,
    Case,
    Count,
    F,
    FloatField,
    IntegerField,
    Model,
    Q,
    QuerySet,
    Sum,
    Value,
    When,
)
from django.db.models.functions import Cast, Coalesce, ExtractMinute, Floor, TruncHour

from inspection.models import (
    DEFECT_STATES,
    DefectTally,
    Disposition,
    HourlyTally,
    Inspection,
    ReviewState,
    Verdict,
)

Number = int | float
Row = dict[str, Any]

BATCH = 2000
HOUR, QUARTER = 60, 15  # minutes that a row sums up
YEARS = range(2020, 2038)  # whose clocks say which of the two


def step() -> int:
    """An hour; a quarter of one where the plant's days do not begin with an hour of UTC, as in
    India, Nepal or Adelaide: else its days would not be sums of rows."""
    return _step_of(settings.TIME_ZONE)


@cache
def _step_of(zone: str) -> int:
    clock = ZoneInfo(zone)
    months = (datetime(year, month, 1, tzinfo=clock) for year in YEARS for month in range(1, 13))
    offsets = (at.utcoffset() or timedelta() for at in months)
    return QUARTER if any(offset % timedelta(hours=1) for offset in offsets) else HOUR


@dataclass(frozen=True)
class Counted:
    """What one decision of record adds to the sums: taken before a change and after it."""

    viewpoint_id: UUID
    station_id: UUID | None
    model_version_id: UUID
    completed_at: datetime
    verdict: str
    disposition: str
    score: float | None
    cell: int | None
    review_state: str
    reason_id: UUID | None
    audit_rate: float | None

    @classmethod
    def of(cls, inspection: Inspection) -> "Counted | None":
        """None for what is listed but never counted: retests, re-scores, trials, errors."""
        if not inspection.is_record or inspection.completed_at is None:
            return None
        return cls(
            viewpoint_id=inspection.viewpoint_id,
            station_id=inspection.station_id,
            model_version_id=inspection.model_version_id,
            completed_at=inspection.completed_at,
            verdict=inspection.verdict,
            disposition=inspection.disposition,
            score=inspection.score,
            cell=inspection.cell,
            review_state=inspection.review_state,
            reason_id=inspection.review_reason_id,
            audit_rate=inspection.audit_rate,
        )

    @property
    def hour(self) -> datetime:
        return _begin(self.completed_at)

    @property
    def called(self) -> bool:
        """Whether the machine did not let the part pass by itself."""
        return self.verdict == Verdict.FAILED or self.disposition == Disposition.NEEDS_REVIEW

    @property
    def defective(self) -> bool:
        return self.review_state in DEFECT_STATES

    @property
    def audited(self) -> bool:
        seen = self.review_state != ReviewState.NOT_VERIFIED
        return not self.called and self.audit_rate is not None and seen

    def hourly(self) -> tuple[Row, dict[str, Number]]:
        """(columns that name the row, what is added to its sums)."""
        row = {
            "viewpoint_id": self.viewpoint_id,
            "station_id": self.station_id,
            "model_version_id": self.model_version_id,
            "hour": self.hour,
        }
        doubtful = self.disposition == Disposition.NEEDS_REVIEW
        state, called = self.review_state, self.called
        weight = hundredths(self.audit_rate) if self.audited and self.audit_rate else 0
        score = self.score if self.verdict == Verdict.PASSED else None
        return row, {
            "inspected": 1,
            "passed": not called,
            "failed": self.verdict == Verdict.FAILED and not doubtful,
            "review": doubtful,
            "confirmed": state == ReviewState.CONFIRMED,
            "rejected": state == ReviewState.REJECTED and called,
            "accepted": state == ReviewState.ACCEPTED,
            "repaired": state == ReviewState.REPAIRED,
            "closed": state == ReviewState.CLOSED,
            "waiting": state == ReviewState.NOT_VERIFIED and called,
            "missed": self.defective and not called,
            "audited": self.audited,
            "audited_bad": self.audited and self.defective,
            "audit_weight": weight,
            "audit_weight_bad": weight * self.defective,
            "audit_weight_squares": weight * weight,
            "scores": score is not None,
            "score_sum": score or 0.0,
            "score_squares": (score or 0.0) ** 2,
        }

    def by_place(self) -> tuple[Row, dict[str, Number]]:
        """As `hourly`, for the sums by reason and by place on the part."""
        row = {
            "viewpoint_id": self.viewpoint_id,
            "station_id": self.station_id,
            "hour": self.hour,
            "reason_code_id": self.reason_id,
            "cell": self.cell,
        }
        return row, {"calls": self.called, "confirmed": self.defective}


def hundredths(rate: float) -> int:
    """How many parts a part stands for that was drawn with probability `rate`, times 100."""
    return math.floor(100.0 / rate + 0.5)


def moved(before: Counted | None, after: Counted | None) -> None:
    """Move one inspection's share of the sums from what it was to what it is.

    In the transaction of the cause. None: it did not count, or does not.
    """
    moved_all([(before, after)])


def moved_all(changes: Iterable[tuple[Counted | None, Counted | None]]) -> None:
    """As `moved`, for many changes of one transaction. The rows are written in the order of
    their keys, so that two transactions never wait for each other."""
    hourly: dict[str, tuple[Row, dict[str, Number]]] = {}
    by_place: dict[str, tuple[Row, dict[str, Number]]] = {}
    for before, after in changes:
        for counted, sign in ((before, -1), (after, 1)):
            if counted is not None:
                _collect(hourly, _hour_key, counted.hourly(), sign)
                _collect(by_place, _place_key, counted.by_place(), sign)
    for key in sorted(hourly):
        _add(HourlyTally, key, *hourly[key])
    for key in sorted(by_place):
        _add(DefectTally, key, *by_place[key])


def _collect(
    into: dict[str, tuple[Row, dict[str, Number]]],
    name: Any,
    share: tuple[Row, dict[str, Number]],
    sign: int,
) -> None:
    row, adds = share
    _, sums = into.setdefault(name(row), (row, dict.fromkeys(adds, 0)))
    for column, by in adds.items():
        sums[column] += sign * by


def _hour_key(row: Mapping[str, Any]) -> str:
    parts = (row["viewpoint_id"], row["station_id"], row["model_version_id"])
    return ":".join([*map(_text, parts), _time(row["hour"])])


def _place_key(row: Mapping[str, Any]) -> str:
    parts = (row["viewpoint_id"], row["station_id"], row["reason_code_id"])
    return ":".join([*map(_text, parts), _text(row["cell"]), _time(row["hour"])])


def _time(hour: datetime) -> str:
    """Ten digits; twelve of a quarter, so that a key says what its row sums up."""
    return f"{hour:%Y%m%d%H}" if step() == HOUR else f"{hour:%Y%m%d%H%M}"


def _begin(moment: datetime) -> datetime:
    """Of the row that counts what was completed at that moment, in UTC."""
    utc = moment.astimezone(UTC)
    return utc.replace(minute=utc.minute - utc.minute % step(), second=0, microsecond=0)


def _text(part: UUID | int | None) -> str:
    return "-" if part is None else part.hex if isinstance(part, UUID) else str(part)


def _add(model: type[Model], key: str, row: Row, sums: dict[str, Number]) -> None:
    """Increments in the database, never a value that was read: two at once both count."""
    adds = {column: F(column) + by for column, by in sums.items() if by}
    found: QuerySet[Any] = model._default_manager.filter(key=key)
    if not adds or found.update(**adds):
        return
    # Whoever comes second finds the row there, and adds to it.
    model._default_manager.bulk_create([model(key=key, **row)], ignore_conflicts=True)
    found.update(**adds)


# --- all of it again ---------------------------------------------------------------------

CALLED = Q(verdict=Verdict.FAILED) | Q(disposition=Disposition.NEEDS_REVIEW)
DEFECTIVE = Q(review_state__in=DEFECT_STATES)
AUDITED = ~CALLED & Q(audit_rate__isnull=False) & ~Q(review_state=ReviewState.NOT_VERIFIED)
SCORED = Q(verdict=Verdict.PASSED, score__isnull=False)
DOUBTFUL = Q(disposition=Disposition.NEEDS_REVIEW)
COUNTS: dict[str, Q] = {
    "inspected": Q(),
    "passed": ~CALLED,
    "failed": Q(verdict=Verdict.FAILED) & ~DOUBTFUL,
    "review": DOUBTFUL,
    "confirmed": Q(review_state=ReviewState.CONFIRMED),
    "rejected": Q(review_state=ReviewState.REJECTED) & CALLED,
    "accepted": Q(review_state=ReviewState.ACCEPTED),
    "repaired": Q(review_state=ReviewState.REPAIRED),
    "closed": Q(review_state=ReviewState.CLOSED),
    "waiting": Q(review_state=ReviewState.NOT_VERIFIED) & CALLED,
    "missed": DEFECTIVE & ~CALLED,
    "audited": AUDITED,
    "audited_bad": AUDITED & DEFECTIVE,
    "scores": SCORED,
}


@transaction.atomic
def recount(since: datetime | None = None) -> dict[str, int]:
    """Make the sums anew from the inspections themselves: all, or from the hour of `since` on.
    All anyway where they were kept for a zone of another step.

    Returns how many rows of each kind there are now. Others may go on meanwhile: what they
    add waits for this transaction and is added to its rows.
    """
    _wait_for_writers()
    inspections = Inspection.objects.filter(is_record=True, completed_at__isnull=False).order_by()
    hourly, by_place = HourlyTally.objects.all(), DefectTally.objects.all()
    if since is not None and not _of_another_step():
        begin = _begin(since)
        inspections = inspections.filter(completed_at__gte=begin)
        hourly, by_place = hourly.filter(hour__gte=begin), by_place.filter(hour__gte=begin)
    hourly.delete()
    by_place.delete()
    part = Floor(ExtractMinute("completed_at", tzinfo=UTC) / Value(float(step())))
    rows = inspections.annotate(
        hour=TruncHour("completed_at", tzinfo=UTC), part=Cast(part, IntegerField())
    )
    return {
        "hours": _write(HourlyTally, _hour_key, _hours(rows)),
        "places": _write(DefectTally, _place_key, _places(rows)),
    }


def count_if_needed() -> bool:
    """Make the sums where there are decisions of record and no sum at all, or where the plant's
    clock was set to a zone of another step: rows of hours say nothing of a day of India."""
    counted = HourlyTally.objects.exists() and not _of_another_step()
    if counted or not Inspection.objects.filter(is_record=True).exists():
        return False
    recount()
    return True


def _of_another_step() -> bool:
    """Whether a row is kept whose key is that of the other step."""
    digits = 12 if step() == HOUR else 10
    other = Q(key__regex=f":[0-9]{{{digits}}}$")
    kept: tuple[type[Model], ...] = (HourlyTally, DefectTally)
    return any(model._default_manager.filter(other).exists() for model in kept)


def _wait_for_writers() -> None:
    """Until nobody has a change of the sums that is not committed. On SQLite, a transaction
    is alone anyway."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            for model in (HourlyTally, DefectTally):
                table = connection.ops.quote_name(model._meta.db_table)
                cursor.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")


def _hours(rows: QuerySet[Any]) -> QuerySet[Any]:
    weight = Cast(Floor(Value(100.0) / F("audit_rate") + Value(0.5)), BigIntegerField())
    rows = rows.annotate(w=Case(When(AUDITED, then=weight), default=0))
    by = ("viewpoint_id", "station_id", "model_version_id", "hour", "part")
    return rows.values(*by).annotate(
        **{name: Count("pk", filter=which) for name, which in COUNTS.items()},
        audit_weight=Sum("w", output_field=BigIntegerField()),
        audit_weight_bad=Coalesce(Sum("w", filter=DEFECTIVE, output_field=BigIntegerField()), 0),
        audit_weight_squares=Sum(F("w") * F("w"), output_field=BigIntegerField()),
        score_sum=_sum_of(F("score")),
        score_squares=_sum_of(F("score") * F("score")),
    )


def _sum_of(value: Any) -> Coalesce:
    return Coalesce(Sum(value, filter=SCORED), Value(0.0), output_field=FloatField())


def _places(rows: QuerySet[Any]) -> QuerySet[Any]:
    by = ("viewpoint_id", "station_id", "hour", "part", "cell")
    found = rows.filter(CALLED | DEFECTIVE).annotate(reason_code_id=F("review_reason_id"))
    return found.values(*by, "reason_code_id").annotate(
        calls=Count("pk", filter=CALLED), confirmed=Count("pk", filter=DEFECTIVE)
    )


def _write(model: type[Model], name: Any, rows: QuerySet[Any]) -> int:
    written, columns = 0, map(_columns, rows.iterator())
    for batch in _batches(model(key=name(row), **row) for row in columns):
        model._default_manager.bulk_create(batch)
        written += len(batch)
    return written


def _columns(row: Row) -> Row:
    begin = row["hour"] + timedelta(minutes=step() * row["part"])
    kept = {column: value for column, value in row.items() if column not in ("w", "part")}
    return {**kept, "hour": begin}


def _batches(rows: Iterable[Any]) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
