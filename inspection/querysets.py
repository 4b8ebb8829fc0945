"""Reads that more than one caller needs: which inspections somebody wants to see.

Every condition meets an index that carries the key, so that a page of the newest is read from
its end; `tests/unit/web/test_defects_plans.py` asks PostgreSQL whether it does.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Case, CharField, Q, QuerySet, Value, When
from django.db.models.functions import Cast

from inspection.ids import first_id_of
from inspection.models import (
    DEFECT_STATES,
    TO_VERIFY,
    WAITS_FOR_A_PERSON,
    Disposition,
    Inspection,
    ReviewState,
    Unit,
    Verdict,
)

AUTO, NEEDS_REVIEW = Q(disposition=Disposition.AUTO), Q(disposition=Disposition.NEEDS_REVIEW)

# What pages call a verdict, as conditions.
VERDICTS: dict[str, Q] = {
    "pass": Q(verdict=Verdict.PASSED) & AUTO,
    "fail": Q(verdict=Verdict.FAILED) & AUTO,
    "review": Q(verdict__in=(Verdict.PASSED, Verdict.FAILED)) & NEEDS_REVIEW,
    "error": Q(verdict__in=(Verdict.ERROR, Verdict.SKIPPED)),
}

# What figures count by, wider or narrower than one verdict.
CALLED = Q(verdict=Verdict.FAILED) | (Q(verdict=Verdict.PASSED) & NEEDS_REVIEW)
CALLS: dict[str, Q] = {
    "called": CALLED,
    "not_failed": Q(verdict=Verdict.PASSED),
    "audit": VERDICTS["pass"] & Q(audit_rate__isnull=False),
}
VERDICTS_AND_CALLS = VERDICTS | CALLS

# What pages say of reviews besides the states themselves.
REVIEWS: dict[str, Q] = {
    "waiting": WAITS_FOR_A_PERSON,
    "queue": TO_VERIFY,
    "defect": Q(review_state__in=DEFECT_STATES),
    # As `kpis.Sums.good_at_last`: false calls and accepted defects, and passes that nobody doubts.
    "good": Q(review_state__in=(ReviewState.REJECTED, ReviewState.ACCEPTED))
    | (Q(review_state=ReviewState.NOT_VERIFIED) & VERDICTS["pass"]),
}

# Keys are made by the clock of a web process, ends are written by the clock of a worker.
CLOCKS_DIFFER = timedelta(hours=1)

# Of the newest units this many are looked at, and with this share of them fitting, the newest
# inspections are soon found by walking down from the newest.
PROBED, COMMON = 500, 0.05

# Newest first by a text that has no index and sorts alike: no plan walks down the keys.
BY_TEXT = Cast("pk", CharField()).desc()


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What an inspection must be like. None, and an empty text, leave it open.

    Collections name keys: the inspection must belong to one of them, so an empty collection is
    met by none; None for a key asks for those that have none. `since` and `until` are about when
    the verdict came, `until` is not included. `verdict` is a word of VERDICTS or CALLS, `review`
    one of REVIEWS or a state, `result` what the row says, as a program is told it.
    `purpose` has no index of its own: programs ask it beside another condition.
    """

    viewpoints: tuple[UUID, ...] | None = None
    stations: tuple[UUID | None, ...] | None = None
    models: tuple[UUID, ...] | None = None
    units: tuple[UUID, ...] | None = None
    lots: tuple[UUID, ...] | None = None
    reasons: tuple[UUID | None, ...] | None = None
    since: datetime | None = None
    until: datetime | None = None
    work_order: str = ""
    purpose: str = ""
    serial: str = ""
    panel: str = ""
    position: int | None = None
    verdict: str = ""
    result: str = ""
    disposition: str = ""
    review: str = ""
    score_min: float | None = None
    score_max: float | None = None
    cell: int | None = None
    record: bool | None = None


def wanted_inspections(wanted: Wanted, below: UUID | None = None) -> QuerySet[Inspection]:
    """The inspections that fit, newest first; `below`: the key from which somebody reads on.

    Ask for keys first and for whole rows by key, as `reads_defects` does: then joins are made
    for a page and not for all that is sorted.
    """
    found = Inspection.objects.filter(**_columns(wanted), **_members(wanted))
    if wanted.verdict:
        found = found.filter(VERDICTS_AND_CALLS[wanted.verdict])
    if wanted.review:
        found = found.filter(REVIEWS.get(wanted.review, Q(review_state=wanted.review)))
    if wanted.record is not None:
        found = found.filter(is_record=wanted.record)
    if units := _unit(wanted):
        found = found.filter(unit__in=Unit.objects.filter(**units).order_by().values("pk"))
        if not _common(units, below):
            return found.order_by(BY_TEXT)
    return found.order_by(BY_TEXT if _rarer_than_it_looks(wanted) else "-id")


def _rarer_than_it_looks(wanted: Wanted) -> bool:
    """Where a planner takes for independent what is not: nearly all that is called was looked
    at, and nearly every defect was given a reason. It would walk down all inspections for the
    few; these come from their own index, and are sorted."""
    without_reason = wanted.review == "defect" and wanted.reasons == (None,)
    return wanted.review == "queue" or without_reason


def changed_inspections(wanted: Wanted, since: datetime) -> QuerySet[Inspection]:
    """Those that fit and got a verdict or a review at `since` or later, in the order in which
    they changed: who lost something asks by this, and never by their newest first."""
    return wanted_inspections(wanted).filter(updated_at__gte=since).order_by("updated_at", "id")


def _unit(wanted: Wanted) -> dict[str, Any]:
    asked = {
        "serial_number__startswith": wanted.serial or None,
        "panel_id": wanted.panel or None,
        "position_number": wanted.position,
    }
    return {name: value for name, value in asked.items() if value is not None}


def _common(units: dict[str, Any], below: UUID | None) -> bool:
    """Whether units that fit are frequent among the newest.

    Serial numbers grow with time, which a planner does not know: it would walk down a year of
    inspections in their order and find the first that fits at the bottom. Where they are rare
    the order is therefore asked for BY_TEXT, which leaves one plan: from the units to their
    inspections, then sort.
    """
    newest = Unit.objects.order_by("-id")
    if below is not None:
        newest = newest.filter(id__lt=below)
    fits = Case(When(**units, then=Value(1)), default=Value(0))
    seen = newest.annotate(fits=fits).values_list("fits", flat=True)[:PROBED]
    return sum(seen) >= COMMON * PROBED


def _columns(wanted: Wanted) -> dict[str, Any]:
    asked = {
        "work_order": wanted.work_order or None,
        "purpose": wanted.purpose or None,
        "verdict": wanted.result or None,
        "disposition": wanted.disposition or None,
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
        "model_version": wanted.models,
        "unit": wanted.units,
        "lot": wanted.lots,
        "review_reason": wanted.reasons,
    }
    return {
        name if len(keys) == 1 else f"{name}__in": keys[0] if len(keys) == 1 else keys
        for name, keys in asked.items()
        if keys is not None
    }


def bounded_count(found: QuerySet[Any], most: int) -> int:
    """How many rows there are, but never more than `most` + 1 are looked at."""
    return found[: most + 1].count()
