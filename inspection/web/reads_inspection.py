"""What the page of one inspection tells besides its picture: what happened to the unit, what
people said, and where the part stands among what was found."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.http import QueryDict
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from inspection import policies
from inspection.models import Escape, Inspection, Look, ReasonCode, Review, ReviewState, Verdict
from inspection.querysets import wanted_inspections

from . import words
from .access import Rights
from .filters import Filters

MOST_HISTORY = 30
MOST_REVIEWS = 30


@dataclass(frozen=True)
class Event:
    """One line of a unit's history."""

    inspection: Inspection
    sign: words.Sign
    reviewed: words.Sign | None
    here: bool


def history(inspection: Inspection) -> list[Event]:
    """Everything that was asked about the unit, newest first; without a unit, what was scored
    again from the same inspection."""
    root = inspection.origin_id or inspection.pk
    same = Q(pk=root) | Q(origin=root)
    if inspection.unit_id:
        same |= Q(unit=inspection.unit_id, viewpoint__product=inspection.viewpoint.product_id)
    rows = (
        Inspection.objects.filter(same)
        .select_related("model_version", "viewpoint", "reviewed_by", "review_reason", "station")
        .order_by("-id")[:MOST_HISTORY]
    )
    return [_event(row, inspection) for row in rows]


def _event(row: Inspection, shown: Inspection) -> Event:
    reviewed = words.review_sign(row.review_state)
    return Event(
        inspection=row,
        sign=words.verdict_sign(row.verdict, row.disposition),
        reviewed=None if reviewed is words.NOT_VERIFIED else reviewed,
        here=row.pk == shown.pk,
    )


def escapes(inspection: Inspection) -> list[Escape]:
    if not inspection.unit_id:
        return []
    found = Escape.objects.filter(unit=inspection.unit_id, withdrawn_at=None)
    return list(found.select_related("reason_code", "reported_by").order_by("-found_at"))


def judgement(inspection: Inspection, rights: Rights, user_id: UUID) -> dict[str, Any]:
    """The reviews, and what the person may say now."""
    said = inspection.reviews.select_related("author", "reason_code", "undone_by")
    reviews = list(said.order_by("-id")[:MOST_REVIEWS])
    for review in reviews:
        review.sign = words.review_sign(review.state)  # type: ignore[attr-defined]
        review.undone = hasattr(review, "undone_by")  # type: ignore[attr-defined]
    standing = next((one for one in reviews if _stands(one)), None)
    may_undo = standing and (standing.author_id == user_id or rights.manage)
    return {
        "reviews": reviews,
        "next_states": _next_states(inspection) if rights.review else [],
        "undo": standing if standing and rights.review and may_undo else None,
        "reasons": _reasons(inspection) if rights.review else [],
    }


def _stands(review: Review) -> bool:
    undone = hasattr(review, "undone_by")
    return review.look == Look.FIRST and review.undoes_id is None and not undone


# The two that an inspector gives hundreds of times have keys of their own.
KEYS = {ReviewState.CONFIRMED: "c", ReviewState.REJECTED: "r"}

# What the states say of a part that the machine passed.
PASSED_WORDS = {ReviewState.CONFIRMED: _("Missed defect"), ReviewState.REJECTED: _("No defect")}


def _next_states(inspection: Inspection) -> list[dict[str, Any]]:
    if not policies.can_be_reviewed(inspection):
        return []
    allowed = policies.NEXT_STATES[ReviewState(inspection.review_state)]
    said = PASSED_WORDS if inspection.verdict == Verdict.PASSED else {}
    return [
        {
            "state": state,
            "sign": words.review_sign(state),
            "word": said.get(state, words.review_sign(state).word),
            "key": KEYS.get(state, ""),
        }
        for state in ReviewState
        if state in allowed and state != ReviewState.NOT_VERIFIED
    ]


def _reasons(inspection: Inspection) -> list[ReasonCode]:
    codes = ReasonCode.objects.filter(product=inspection.viewpoint.product_id, retired_at=None)
    return list(codes.order_by("code"))


def among_found(inspection: Inspection, filters: Filters) -> dict[str, Any]:
    """The neighbours in what the Defects page lists, for a person who came from there."""
    if filters.problems:
        return {"before": None, "after": None}
    found = wanted_inspections(filters.wanted, below=inspection.pk)
    keys = found.values_list("pk", flat=True)
    newer, older = keys.filter(id__gt=inspection.pk), keys.filter(id__lt=inspection.pk)
    return {"before": newer.reverse().first(), "after": older.first()}


def came_from(params: QueryDict, inspection: Inspection, filters: Filters | None) -> dict[str, str]:
    """Where "back" leads, and what the addresses of the neighbours carry on."""
    if filters is not None:
        page = f"{reverse('defects')}?{filters.query()}"
        return {"back": page, "carry": f"from=defects&{filters.query()}"}
    carry = f"verdict={params.get('verdict', '')}&order={params.get('order', '')}"
    back = reverse("batch", args=[inspection.batch_id]) if inspection.batch_id else ""
    return {"back": f"{back}?{carry}" if back else "", "carry": carry}
