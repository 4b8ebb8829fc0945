"""What an event of the outbox is in CFX: one envelope or a few, always the same ones."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings

from inspection.models import EventType, ImageResult, Look, OutboxEvent

from . import bodies
from .envelopes import Body, Envelope, named

INSPECTED = "CFX.Production.TestAndInspection.UnitsInspected"
STARTED = "CFX.Production.WorkStarted"
COMPLETED = "CFX.Production.WorkCompleted"
FAULT = "CFX.ResourcePerformance.FaultOccurred"
RECIPE = "CFX.Production.RecipeActivated"
TOLD = (EventType.INSPECTION_COMPLETED, EventType.REVIEW_RECORDED, EventType.MODEL_PROMOTED)


def envelopes(event: OutboxEvent, source: str, target: str | None) -> list[Envelope]:
    """In the order in which they are sent; none where CFX has no word for the event.

    Identities come from the event's key, so a retry or a replay says the same again under the
    same identity. The one that carries the result has the event's own key.
    """
    made = _Made(event, source, target)
    facts = event.payload
    if event.type == EventType.INSPECTION_COMPLETED:
        return _inspection(made, facts)
    if event.type == EventType.REVIEW_RECORDED:
        # A second look changes no state, so there is none that its author could have given.
        first = facts["review"]["look"] != Look.SECOND
        return [_review(made, facts["inspection"], facts["review"])] if first else []
    if event.type == EventType.MODEL_PROMOTED:
        return [made.main(RECIPE, bodies.recipe_activated(facts), event.created_at)]
    return []


def picture_addresses(inspection: str) -> list[str]:
    """Where a person with permission sees the pictures, by their number; none where the
    product does not know its own address (PUBLIC_URL)."""
    if not settings.PUBLIC_URL:
        return []
    keys = ImageResult.objects.filter(inspection=UUID(inspection)).order_by("picture__index")
    base = settings.PUBLIC_URL.rstrip("/")
    return [f"{base}/files/results/{key}/view" for key in keys.values_list("pk", flat=True)]


class _Made:
    """Envelopes of one event."""

    def __init__(self, event: OutboxEvent, source: str, target: str | None) -> None:
        self.event, self._source, self._target = event, source, target

    def main(self, name: str, body: Body, at: datetime) -> Envelope:
        return Envelope(name, body, self._source, self.event.pk, at, self._target)

    def beside(self, name: str, body: Body, at: datetime) -> Envelope:
        key = named(self.event.pk, name)
        return Envelope(name, body, self._source, key, at, self._target)


def _inspection(made: _Made, facts: dict[str, Any]) -> list[Envelope]:
    began, ended = _moment(facts["captured_at"] or facts["created_at"]), _ended(facts)
    inspected = bodies.units_inspected(facts, pictures=picture_addresses(facts["id"]))
    told = [
        made.beside(STARTED, bodies.work_started(facts), began),
        made.main(INSPECTED, inspected, ended),
        made.beside(COMPLETED, bodies.work_completed(facts), ended),
    ]
    if facts["result"] == "Error":
        fault = named(made.event.pk, "fault")
        told.insert(2, made.beside(FAULT, bodies.fault_occurred(facts, fault), ended))
    return told


def _review(made: _Made, facts: dict[str, Any], review: dict[str, Any]) -> Envelope:
    pictures = picture_addresses(facts["id"])
    body = bodies.units_inspected(facts, pictures=pictures, review=review)
    return made.main(INSPECTED, body, _moment(review["created_at"]))


def _ended(facts: dict[str, Any]) -> datetime:
    return _moment(facts["completed_at"] or facts["updated_at"])


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
