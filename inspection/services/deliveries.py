"""What is on its way to other systems: which delivery is next, and what became of it.

Only the process that holds an endpoint (`endpoint_lease`) delivers to it; what it writes names
its token.
"""

import random
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from inspection.ids import first_id_of
from inspection.models import Delivery, DeliveryAttempt, Endpoint, OutboxEvent
from inspection.querysets import CLOCKS_DIFFER

from .foreign_text import storable

# Standard Webhooks 1.0.0: after a first try, these waits; then given up.
DELAYS = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    *(timedelta(hours=hours) for hours in (2, 5, 10, 14, 20, 24)),
)
JITTER = 0.1  # a share of each wait, so that what failed together is not tried together again
LARGEST_GROUP = 50
MOST_FORGOTTEN = 20_000  # at one go

_chance = random.SystemRandom()
State = Delivery.State


def happened(since: datetime | None, until: datetime | None) -> Q:
    """Deliveries of that time, `until` not included. Their keys say it too, but for clocks that
    differ: with them the log of an endpoint is read from the right place."""
    found = Q()
    if since:
        found &= Q(created_at__gte=since, pk__gte=first_id_of(since - CLOCKS_DIFFER))
    if until:
        found &= Q(created_at__lt=until, pk__lt=first_id_of(until + CLOCKS_DIFFER))
    return found


@dataclass(frozen=True)
class Outcome:
    """What one try came to."""

    delivered: bool
    error: str = ""
    status_code: int | None = None
    answer: str = ""  # how the answer begins
    final: bool = False  # no further try makes sense
    gone: bool = False  # the endpoint wants nothing any more: it is disabled

    @classmethod
    def ok(cls, *, status_code: int | None = None, answer: str = "") -> "Outcome":
        """The other side has it."""
        return cls(True, status_code=status_code, answer=answer)

    @classmethod
    def failed(
        cls, error: str, *, status_code: int | None = None, answer: str = "", final: bool = False
    ) -> "Outcome":
        """It is tried again later, unless `final`."""
        return cls(False, error, status_code, answer, final)


def due(
    endpoint: Endpoint,
    *,
    limit: int = LARGEST_GROUP,
    busy: Collection[UUID] = (),
    busy_keys: Collection[tuple[str, str]] = (),
) -> list[Delivery]:
    """What may go out now, in the order of the events, with its event.

    Nothing of a sequence key is returned while an earlier one of it waits for its next try;
    deliver those of one (address, sequence_key) one after the other, and stop at a failure.
    `busy`, `busy_keys`: deliveries and (address, sequence_key) that are being worked on.
    """
    now = timezone.now()
    waiting = Delivery.objects.filter(endpoint=endpoint, state=State.WAITING)
    held_up = waiting.filter(
        sequence_key=OuterRef("sequence_key"),
        address=OuterRef("address"),
        event__lt=OuterRef("event"),
        next_attempt_at__gt=now,
    )
    rows = waiting.filter(Q(sequence_key="") | ~Exists(held_up), next_attempt_at__lte=now)
    rows = rows.exclude(pk__in=busy)
    for address, key in busy_keys:
        rows = rows.exclude(address=address, sequence_key=key)
    # The events by themselves: joined, the database may walk through all that were ever sent.
    return list(rows.prefetch_related("event").order_by("event_id", "id")[:limit])


def settle(
    delivery: Delivery,
    outcome: Outcome,
    *,
    token: UUID,
    took_ms: int,
    delays: Collection[timedelta] = DELAYS,
) -> bool:
    """Write what a try came to; False, and nothing written, when the endpoint is not held by
    `token` any more or somebody else moved the delivery."""
    number = delivery.attempt + 1
    now = timezone.now()
    fields = _after(outcome, number, list(delays), now)
    with transaction.atomic():
        if not _unmoved(delivery, token).update(attempt=number, **fields):
            return False
        DeliveryAttempt.objects.create(
            delivery=delivery,
            number=number,
            status_code=outcome.status_code,
            duration_ms=took_ms,
            error=storable(outcome.error, 300),
            answer=storable(outcome.answer, 300),
        )
    return True


def _unmoved(delivery: Delivery, token: UUID) -> QuerySet[Delivery]:
    held = Endpoint.objects.filter(pk=delivery.endpoint_id, token=token)
    return Delivery.objects.filter(
        pk=delivery.pk,
        state=State.WAITING,
        attempt=delivery.attempt,
        next_attempt_at=delivery.next_attempt_at,
        endpoint__in=held,
    )


def _after(
    outcome: Outcome, number: int, delays: list[timedelta], now: datetime
) -> dict[str, object]:
    if outcome.delivered:
        return {"state": State.DELIVERED, "delivered_at": now}
    if outcome.final or outcome.gone or number > len(delays):
        return {"state": State.GIVEN_UP}
    wait = delays[number - 1]
    return {"next_attempt_at": now + wait * (1 + JITTER * _chance.random())}


def forget_old() -> int:
    """Delete events that nobody waits for any more, with their log, after EXCHANGE_KEPT_DAYS;
    returns how many."""
    before = first_id_of(timezone.now() - timedelta(days=settings.EXCHANGE_KEPT_DAYS))
    waiting = Delivery.objects.filter(event=OuterRef("pk"), state=State.WAITING)
    old = OutboxEvent.objects.filter(~Exists(waiting), pk__lt=before).order_by("id")
    keys = list(old.values_list("pk", flat=True)[:MOST_FORGOTTEN])
    for at in range(0, len(keys), 500):
        OutboxEvent.objects.filter(pk__in=keys[at : at + 500]).delete()
    return len(keys)
