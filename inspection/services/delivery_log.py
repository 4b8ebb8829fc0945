"""Reads for the pages and the API of endpoints: how each stands, and what became of events."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Count, Min, Q, QuerySet
from django.utils import timezone

from inspection.models import Delivery, Endpoint, EventType, Unit, User

from .deliveries import happened
from .endpoint_lease import is_connected
from .endpoints import TEST_EVENT, visible

State = Delivery.State
TYPES = (*EventType.values, TEST_EVENT)


@dataclass(frozen=True)
class Standing:
    """An endpoint and how it does. `oldest`: since when the first of what waits does."""

    endpoint: Endpoint
    waiting: int
    given_up: int
    oldest: datetime | None

    @property
    def word(self) -> str:
        """off | trouble | idle (nobody holds it) | connected."""
        if not self.endpoint.enabled:
            return "off"
        if self.endpoint.last_error:
            return "trouble"
        return "connected" if is_connected(self.endpoint) else "idle"


def standings(endpoints: Iterable[Endpoint]) -> list[Standing]:
    """How each of them stands, in two queries more. What was delivered, which is nearly all
    there is, is not looked at."""
    found = list(endpoints)
    rows = Delivery.objects.filter(endpoint__in=found).order_by().values_list("endpoint")
    waits = rows.filter(state=State.WAITING).annotate(Count("pk"), Min("created_at"))
    waiting = {key: (count, oldest) for key, count, oldest in waits}
    given_up = dict(rows.filter(state=State.GIVEN_UP).annotate(Count("pk")))
    standings = []
    for one in found:
        count, oldest = waiting.get(one.pk, (0, None))
        standings.append(Standing(one, count, given_up.get(one.pk, 0), oldest))
    return standings


def narrowed(
    rows: QuerySet[Delivery],
    *,
    state: str = "",
    type: str = "",
    about: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
) -> QuerySet[Delivery]:
    """Deliveries by what a person asks; what makes no sense finds nothing. `about`: the key of
    an event, or a serial number."""
    if state:
        rows = rows.filter(state=state if state in State.values else "-")
    if type:
        rows = rows.filter(event__type=type if type in TYPES else "-")
    if about:
        rows = rows.filter(_about(about))
    return rows.filter(happened(since, until))


def _about(text: str) -> Q:
    try:
        return Q(event=UUID(text))
    except ValueError:
        units = Unit.objects.filter(serial_number=text).values_list("pk", flat=True)[:50]
        # The event's: of a delivery's own there is an index over what waits only.
        return Q(event__sequence_key__in=[f"unit:{key}" for key in units])


def deliveries_of(user: User) -> QuerySet[Delivery]:
    """What the user may read: deliveries of endpoints that they may change."""
    return Delivery.objects.filter(endpoint__in=visible(user)).select_related(
        "event", "endpoint__product"
    )


def is_late(delivery: Delivery) -> bool:
    """It is due, and nobody tries it: no process runs, or an earlier event of its unit waits."""
    return delivery.state == State.WAITING and delivery.next_attempt_at < timezone.now()
