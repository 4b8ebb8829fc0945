"""What other systems are told, written in the transaction of its cause (docs/adr/0010-exchange.md).

An event is written only where an endpoint wants it, with one delivery for each; the process of
`manage.py exchange` takes it from there. Nothing here talks to a network.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

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
from .verdict_facts import FACTS_OF, results_of, sequence_key, verdict_facts

Facts = dict[str, Any]
Targets = list[tuple[Endpoint, str]]
AT_ONCE = 500  # parts whose facts are held at once
DEFAULT_PORTS = {"https": 443, "http": 80}


def emit(
    type: EventType,
    *,
    product: UUID | None,
    sequence_key: str,
    facts: Callable[[], Facts],
    listening: Sequence[Endpoint] | None = None,
    callback_url: str = "",
) -> OutboxEvent | None:
    """Write an event for every endpoint that wants it; None where none does.

    `facts` is asked only then. Events with the same `sequence_key` reach an endpoint in the
    order of their keys. `listening`: every endpoint that is on, where the caller knows them;
    `callback_url`: an address of the submission's own.
    """
    found = enabled_endpoints() if listening is None else listening
    targets = _targets(type, product, found, callback_url)
    if not targets:
        return None
    event = _event(type, product, sequence_key, facts())
    event.save(force_insert=True)
    Delivery.objects.bulk_create(_deliveries(event, targets))
    return event


def _targets(
    type: EventType, product: UUID | None, listening: Sequence[Endpoint], callback_url: str
) -> Targets:
    targets = [(endpoint, "") for endpoint in wanting(type, product, listening)]
    if callback_url:
        targets += _callback(callback_url, product, listening, targets)
    return targets


def _event(type: EventType, product: UUID | None, sequence_key: str, facts: Facts) -> OutboxEvent:
    return OutboxEvent(type=type, product_id=product, sequence_key=sequence_key, payload=facts)


def _deliveries(event: OutboxEvent, targets: Targets) -> list[Delivery]:
    return [
        Delivery(endpoint=endpoint, event=event, sequence_key=event.sequence_key, address=address)
        for endpoint, address in targets
    ]


def enabled_endpoints() -> list[Endpoint]:
    """Whoever listens at all."""
    return list(Endpoint.objects.filter(disabled_at=None))


def wanting(type: EventType, product: UUID | None, listening: Iterable[Endpoint]) -> list[Endpoint]:
    """Those that want events of this type and product."""
    return [
        one
        for one in listening
        if one.product_id in (None, product) and (not one.event_types or type in one.event_types)
    ]


def callback_endpoint(url: str, product: UUID | None) -> Endpoint | None:
    """The webhook endpoint that may deliver to `url` and signs for it: one that is on, of the
    same scheme, host and port, for this product or for all; None where there is none."""
    return _at_origin_of(url, product, enabled_endpoints())


def _at_origin_of(url: str, product: UUID | None, listening: Iterable[Endpoint]) -> Endpoint | None:
    wanted = origin(url)
    found = [
        one
        for one in listening
        if one.kind == Endpoint.Kind.WEBHOOK
        and one.product_id in (None, product)
        and wanted is not None
        and origin(one.address) == wanted
    ]
    return min(found, key=lambda one: (one.product_id is None, one.name), default=None)


def origin(url: str) -> tuple[str, str, int] | None:
    """Scheme, host and port of an http or https address; None for anything else."""
    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORTS[parts.scheme]
    except (ValueError, KeyError):
        return None
    if not parts.hostname or parts.username is not None or parts.password is not None:
        return None
    return parts.scheme, parts.hostname, port


def _callback(
    url: str, product: UUID | None, listening: Iterable[Endpoint], told: Targets
) -> Targets:
    """Where a callback goes, unless that endpoint is told at the same address already. One whose
    endpoint was switched off since the submission was taken is told nothing."""
    endpoint = _at_origin_of(url, product, listening)
    if endpoint is None or (endpoint.address == url and (endpoint, "") in told):
        return []
    return [(endpoint, url)]


def inspections_completed(keys: Iterable[UUID]) -> None:
    """Parts of production that have a verdict now, whichever. One query where nobody listens."""
    listening = enabled_endpoints()
    if not listening:
        return
    rows = Inspection.objects.filter(pk__in=list(keys), purpose=Purpose.PRODUCTION)
    parts = iter(rows.select_related(*FACTS_OF).order_by("id"))
    while some := list(islice(parts, AT_ONCE)):
        _completed(some, listening)


def _completed(parts: list[Inspection], listening: Sequence[Endpoint]) -> None:
    """As `emit`, but a batch that is cancelled ends thousands of parts at once."""
    results = results_of(parts)
    events, deliveries = [], []
    for inspection in parts:
        product, key = inspection.viewpoint.product_id, sequence_key(inspection)
        submission = getattr(inspection, "submission", None)
        url = submission.callback_url if submission else ""
        targets = _targets(EventType.INSPECTION_COMPLETED, product, listening, url)
        if targets:
            facts = verdict_facts(inspection, results.get(inspection.pk, []))
            events.append(_event(EventType.INSPECTION_COMPLETED, product, key, facts))
            deliveries += _deliveries(events[-1], targets)
    OutboxEvent.objects.bulk_create(events)
    Delivery.objects.bulk_create(deliveries)


def review_recorded(inspection: Inspection, review: Review) -> None:
    """Somebody judged a part, or took a judgement back."""
    if inspection.purpose != Purpose.PRODUCTION:
        return
    listening = enabled_endpoints()
    if not listening:
        return
    row = Inspection.objects.select_related(*FACTS_OF).get(pk=inspection.pk)

    def facts() -> Facts:
        said = {
            "id": str(review.pk),
            "state": review.state,
            "reason_code": review.reason_code.code if review.reason_code else None,
            "comment": review.comment,
            "author": review.author.get_username(),
            "badge": review.author.badge,
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
        listening=listening,
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

    def facts() -> Facts:
        version = ModelVersion.objects.filter(training_run=run).first()
        return {
            "id": str(run.pk),
            "number": run.number,
            "product": run.viewpoint.product.code,
            "viewpoint": run.viewpoint.code,
            "state": run.state,
            "error": run.error,
            "model_revision": version.revision if version else None,
        }

    emit(
        EventType.RUN_FINISHED,
        product=run.viewpoint.product_id,
        sequence_key=f"run:{run.pk}",
        facts=facts,
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
