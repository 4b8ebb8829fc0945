"""Reads that more than one caller needs: which inspections somebody wants to see.

Every condition meets an index that carries the key, so that a page of the newest is read from
its end; `tests/unit/web/test_defects_plans.py` asks PostgreSQL whether it does.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from inspection.ids import first_id_of
from inspection.models import Disposition, Inspection, ReviewState, Unit, Verdict

AUTO, NEEDS_REVIEW = Q(disposition=Disposition.AUTO), Q(disposition=Disposition.NEEDS_REVIEW)

# What pages call a verdict, as conditions.
VERDICTS: dict[str, Q] = {
    "pass": Q(verdict=Verdict.PASSED) & AUTO,
    "fail": Q(verdict=Verdict.FAILED) & AUTO,
    "review": Q(verdict__in=(Verdict.PASSED, Verdict.FAILED)) & NEEDS_REVIEW,
    "error": Q(verdict__in=(Verdict.ERROR, Verdict.SKIPPED)),
}

# Failed or in doubt, and nobody has looked yet.
WAITING = Q(review_state=ReviewState.NOT_VERIFIED) & (
    Q(verdict=Verdict.FAILED) | (NEEDS_REVIEW & ~Q(verdict=""))
)

# Keys are made by the clock of a web process, ends are written by the clock of a worker.
CLOCKS_DIFFER = timedelta(hours=1)

# So many units are named to the database one by one; more are left to its own plan.
MOST_UNITS = 2000


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What an inspection must be like. None, and an empty text, leave it open.

    Collections name keys: the inspection must belong to one of them, so an empty collection is
    met by none. `since` and `until` are about when the verdict came, `until` is not included.
    """

    viewpoints: tuple[UUID, ...] | None = None
    stations: tuple[UUID, ...] | None = None
    lots: tuple[UUID, ...] | None = None
    reasons: tuple[UUID, ...] | None = None
    since: datetime | None = None
    until: datetime | None = None
    work_order: str = ""
    serial: str = ""
    position: int | None = None
    verdict: str = ""
    review: str = ""
    score_min: float | None = None
    score_max: float | None = None
    cell: int | None = None
    record: bool = False


def wanted_inspections(wanted: Wanted) -> QuerySet[Inspection]:
    """The inspections that fit, newest first."""
    found = Inspection.objects.filter(**_columns(wanted), **_members(wanted))
    if wanted.verdict:
        found = found.filter(VERDICTS[wanted.verdict])
    if wanted.review:
        waiting = wanted.review == "waiting"
        found = found.filter(WAITING if waiting else Q(review_state=wanted.review))
    if wanted.serial:
        found = found.filter(unit__in=_units(wanted.serial))
    if wanted.record:
        found = found.filter(is_record=True)
    return found.order_by("-id")


def _columns(wanted: Wanted) -> dict[str, Any]:
    asked = {
        "work_order": wanted.work_order or None,
        "unit__position_number": wanted.position,
        "score__gte": wanted.score_min,
        "score__lte": wanted.score_max,
        "cell": wanted.cell,
        "completed_at__gte": wanted.since,
        "completed_at__lt": wanted.until,
        # Implied by the line above: with it the index of the keys starts at the right place.
        "id__lt": first_id_of(wanted.until + CLOCKS_DIFFER) if wanted.until else None,
    }
    return {name: value for name, value in asked.items() if value is not None}


def _members(wanted: Wanted) -> dict[str, Any]:
    """One key is asked for by equality: then its index gives the rows in order."""
    asked = {
        "viewpoint": wanted.viewpoints,
        "station": wanted.stations,
        "lot": wanted.lots,
        "review_reason": wanted.reasons,
    }
    return {
        name if len(keys) == 1 else f"{name}__in": keys[0] if len(keys) == 1 else keys
        for name, keys in asked.items()
        if keys is not None
    }


def _units(serial: str) -> Any:
    """The units whose serial number begins so: by their keys where they are few, since how many
    they are is more than the planner can guess from a prefix."""
    named = Unit.objects.filter(serial_number__startswith=serial).order_by()
    few = list(named.values_list("pk", flat=True)[: MOST_UNITS + 1])
    return few if len(few) <= MOST_UNITS else named.values("pk")


def bounded_count(found: QuerySet[Any], most: int) -> int:
    """How many rows there are, but never more than `most` + 1 are looked at."""
    return found[: most + 1].count()
