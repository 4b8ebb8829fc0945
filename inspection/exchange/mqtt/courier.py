"""The courier of an MQTT endpoint."""

from contextlib import suppress

from django.utils import timezone

from inspection.errors import UserError
from inspection.exchange.couriers import Away, Courier, Outcome
from inspection.models import Delivery, Endpoint, Station

from . import topics
from .link import Link, Lost
from .options import MqttOptions


class MqttCourier(Courier):
    """Holds the connection of one endpoint; says at its status topic that it is there."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self._link: Link | None = None
        self._prefix = ""

    def open(self) -> None:
        try:
            options = MqttOptions.of(self.endpoint)
        except UserError as error:
            raise Away(f"{error.field}: {error.message}") from error
        self._prefix = options.prefix
        try:
            self._link = Link(options)
            self._link.open()
            self._say("online")
        except (Lost, OSError) as error:  # OSError: a certificate file that is not there
            raise Away(str(error)) from error

    def deliver(self, delivery: Delivery) -> Outcome:
        event = delivery.event
        topic = topics.topic(self._prefix, event, _line(topics.station_of(event)))
        try:
            self._link_now().publish(topic, topics.payload(event))
        except Lost as error:
            raise Away(str(error)) from error
        return Outcome.ok(answer=f"acknowledged: {topic}")

    def idle(self) -> None:
        try:
            self._link_now().check()
        except Lost as error:
            raise Away(str(error)) from error

    def close(self) -> None:
        link, self._link = self._link, None
        if link is None:
            return
        with suppress(Lost):  # then the last will says it
            link.publish(topics.status_topic(self._prefix), topics.status("offline"), retain=True)
        link.close()

    def _say(self, state: str) -> None:
        said = topics.status(state, since=timezone.now().isoformat())
        self._link_now().publish(topics.status_topic(self._prefix), said, retain=True)

    def _link_now(self) -> Link:
        if self._link is None:
            raise Lost("not connected")
        return self._link


def _line(station: str) -> str:
    """The line that a station stands in, as it is now."""
    if not station:
        return ""
    found = Station.objects.filter(code=station).values_list("line", flat=True).first()
    return found or ""
