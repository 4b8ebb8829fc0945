"""What other systems are told, written in the transaction of its cause (docs/adr/0010-exchange.md).

An event is written only where an endpoint wants it, with one delivery for each; the process of
`manage.py exchange` takes it from there. Nothing here talks to a network.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any
from uuid import UUID

from django.db.models import Q

from inspection.models import (
    Batch,
    Delivery,
    DriftAlert,
    Endpoint,
    EventType,
    Inspection,
    ModelVersion,
    OutboxEvent,
    Purpose,
    Review,
    TrainingRun,
)

from .batch_facts import batch_facts
from .verdict_facts import FACTS_OF, sequence_key, verdict_facts

Facts = dict[str, Any]


def emit(
    type: EventType,
    *,
    product: UUID | None,
    sequence_key: str,
    facts: Callable[[], Facts],
    callbacks: Iterable[tuple[Endpoint, str]] = (),
) -> OutboxEvent | None:
    """Write an event for every endpoint that wants it; None where none does.

    `facts` is asked only then. Events with the same `sequence_key` reach an endpoint in the
    order of their keys. `callbacks`: endpoints with an address of the submission's own.
    """
    targets = [(endpoint, "") for endpoint in wanting(type, product)] + list(callbacks)
    if not targets:
        return None
    event = OutboxEvent.objects.create(
        type=type, product_id=product, sequence_key=sequence_key, payload=facts()
    )
    Delivery.objects.bulk_create(
        Delivery(endpoint=endpoint, event=event, sequence_key=sequence_key, address=address)
        for endpoint, address in targets
    )
    return event


def wanting(type: EventType, product: UUID | None) -> list[Endpoint]:
    """The endpoints that are on and want events of this type and product."""
    found = Endpoint.objects.filter(Q(product=None) | Q(product=product), disabled_at=None)
    return [one for one in found if not one.event_types or type in one.event_types]


def inspections_completed(keys: Iterable[UUID]) -> None:
    """Parts of production that have a verdict now, whichever."""
    rows = Inspection.objects.filter(pk__in=list(keys), purpose=Purpose.PRODUCTION)
    for inspection in rows.select_related(*FACTS_OF).order_by("id"):
        emit(
            EventType.INSPECTION_COMPLETED,
            product=inspection.viewpoint.product_id,
            sequence_key=sequence_key(inspection),
            facts=partial(verdict_facts, inspection),
        )


def review_recorded(inspection: Inspection, review: Review) -> None:
    """Somebody judged a part, or took a judgement back."""
    if inspection.purpose != Purpose.PRODUCTION:
        return
    row = Inspection.objects.select_related(*FACTS_OF).get(pk=inspection.pk)

    def facts() -> Facts:
        said = {
            "id": str(review.pk),
            "state": review.state,
            "reason_code": review.reason_code.code if review.reason_code else None,
            "comment": review.comment,
            "author": review.author.get_username(),
            "look": review.look,
            "undoes": str(review.undoes_id) if review.undoes_id else None,
            "created_at": review.created_at.isoformat(),
        }
        return {"review": said, "inspection": verdict_facts(row)}

    emit(
        EventType.REVIEW_RECORDED,
        product=row.viewpoint.product_id,
        sequence_key=sequence_key(row),
        facts=facts,
    )


def batch_completed(batch: Batch) -> None:
    """Every part of a sealed batch has a verdict."""
    emit(
        EventType.BATCH_COMPLETED,
        product=batch.viewpoint.product_id,
        sequence_key=f"batch:{batch.pk}",
        facts=lambda: batch_facts(batch),
    )


def run_finished(run: TrainingRun) -> None:
    """A training run ended: done, failed or cancelled."""
    version = ModelVersion.objects.filter(training_run=run).first()
    emit(
        EventType.RUN_FINISHED,
        product=run.viewpoint.product_id,
        sequence_key=f"run:{run.pk}",
        facts=lambda: {
            "id": str(run.pk),
            "number": run.number,
            "product": run.viewpoint.product.code,
            "viewpoint": run.viewpoint.code,
            "state": run.state,
            "error": run.error,
            "model_revision": version.revision if version else None,
        },
    )


def model_promoted(version: ModelVersion, before: ModelVersion | None, reason: str) -> None:
    """Another model judges from now on: by promotion, rollback, or as the first one."""
    emit(
        EventType.MODEL_PROMOTED,
        product=version.viewpoint.product_id,
        sequence_key=f"viewpoint:{version.viewpoint_id}",
        facts=lambda: {
            "product": version.viewpoint.product.code,
            "viewpoint": version.viewpoint.code,
            "recipe": {"name": version.viewpoint.recipe_name, "revision": version.revision},
            "replaces": before.revision if before else None,
            "reason": reason,
        },
    )


def drift_alert(alert: DriftAlert) -> None:
    """Scores of parts that pass left their limits."""
    emit(
        EventType.DRIFT_ALERT,
        product=alert.viewpoint.product_id,
        sequence_key=f"viewpoint:{alert.viewpoint_id}",
        facts=lambda: {
            "id": str(alert.pk),
            "product": alert.viewpoint.product.code,
            "viewpoint": alert.viewpoint.code,
            "station_id": alert.station.code if alert.station else None,
            "model_revision": alert.model_version.revision,
            "value": alert.value,
            "low": alert.low,
            "high": alert.high,
            "began_at": alert.began_at.isoformat(),
        },
    )
