"""How events leave by one kind of endpoint: the interface, and where each kind is found.

`manage.py exchange` holds an endpoint by a lease and gives it a thread. In that thread a
courier lives like this:

    courier = Courier(endpoint)     # no network yet
    courier.open()                  # connect and say hello; Away when nobody is there
    while held:
        courier.deliver(delivery)   # for each that is due, in order per unit
        courier.idle()              # every POLL_S at most, also between groups of deliveries:
                                    # heartbeats, incoming requests
    courier.close()                 # always, after Away and LeaseLost too; raises nothing

Rules that a courier can rely on:
- `delivery.event` is loaded: `type`, `payload`, `pk` (the message's identity over every retry
  and replay), `created_at`. `delivery.address` is a callback's own, else empty.
- Of one `sequence_key` the next delivery is handed over only after the one before it was
  settled. Where one fails, the later ones of its key wait; other keys go on.
- With `parallel = 1` every method is called from one thread. With more, `deliver` is called
  from that many pool threads at once, with different keys; the other methods from one.
- When the endpoint's address, options or secrets change, the courier is closed and a new one
  made. When it is disabled, or the lease is lost, it is closed. What is being delivered is
  finished before; what was due after it is not begun.

Rules that a courier must keep:
- Return from `deliver` and `idle` within PATIENCE_S seconds, whatever the other side does.
- Raise Away when the other side as a whole cannot be reached (a broker that is down): nothing
  is counted against the delivery, the courier is closed, and opened again after 1, 2, 4 … 30 s,
  for as long as it takes. Only where `open` goes well and one and the same delivery ends in Away
  five times in a row, it counts as a failed try, and what is behind it goes on. `Outcome.failed`
  is for what the other side says of this delivery: it is tried again after each of `delays`, then
  given up.
- `Outcome.ok` only after the other side took responsibility (2xx, settled, PUBACK).
"""

from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from typing import ClassVar

from inspection.models import Delivery, Endpoint
from inspection.services.deliveries import DELAYS, Outcome

__all__ = ["COURIERS", "PATIENCE_S", "POLL_S", "Away", "Courier", "NoCourier", "Outcome", "make"]

POLL_S = 0.5  # how often an idle endpoint looks for something to deliver
PATIENCE_S = 20.0  # what one call of a courier may take at most


class Away(Exception):
    """The other side cannot be reached; the message says why, for the page of the endpoint."""


class NoCourier(Exception):
    """This installation cannot speak that kind; the message says what to install."""


class Courier:
    """One kind of endpoint. Subclass, then name the class in COURIERS."""

    parallel: ClassVar[int] = 1
    delays: ClassVar[tuple[timedelta, ...]] = DELAYS

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    def open(self) -> None:
        """Connect. Raises Away."""

    def deliver(self, delivery: Delivery) -> Outcome:
        """Send one event and wait until the other side took it. Raises Away."""
        raise NotImplementedError

    def idle(self) -> None:
        """Whatever must go on while nothing is delivered. Raises Away."""

    def close(self) -> None:
        """Say goodbye and let go of everything."""


@dataclass(frozen=True)
class _Place:
    module: str
    name: str
    extra: str = ""  # what pip must install for it


COURIERS: dict[str, _Place] = {
    Endpoint.Kind.WEBHOOK: _Place("inspection.exchange.webhook", "WebhookCourier"),
    Endpoint.Kind.CFX: _Place("inspection.exchange.cfx.courier", "CfxCourier", "cfx"),
    Endpoint.Kind.MQTT: _Place("inspection.exchange.mqtt.courier", "MqttCourier", "mqtt"),
}


def make(endpoint: Endpoint) -> Courier:
    """The courier of an endpoint. Raises NoCourier where its library is not installed."""
    place = COURIERS[endpoint.kind]
    try:
        found: type[Courier] = getattr(import_module(place.module), place.name)
    except ImportError as error:
        remedy = f"Install it: pip install 'kintsugi[{place.extra}]'." if place.extra else ""
        raise NoCourier(f"{endpoint.get_kind_display()} needs {error.name}. {remedy}") from error
    return found(endpoint)
