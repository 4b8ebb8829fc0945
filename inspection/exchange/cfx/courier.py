"""The courier of a CFX endpoint: events out, heartbeats and states beside them, requests in."""

import logging
import time
from datetime import timedelta
from typing import ClassVar
from uuid import UUID

from django.db import InterfaceError, OperationalError
from django.utils import timezone

from inspection.errors import UserError
from inspection.exchange.couriers import Away, Courier, Outcome
from inspection.ids import new_id
from inspection.models import Delivery, Endpoint

from . import bodies
from .envelopes import Body, Envelope, NotCfxError, read
from .events import envelopes
from .link import Link, Lost, Refused
from .options import CfxOptions
from .requests import answer, failure

log = logging.getLogger(__name__)
IDLE_AFTER_S = 60.0  # without a verdict for so long the station stands by


class CfxCourier(Courier):
    """Holds the connection of one endpoint."""

    # A broker that refuses is set up wrongly; somebody mends it within minutes or days.
    delays: ClassVar[tuple[timedelta, ...]] = (
        timedelta(seconds=5),
        timedelta(seconds=30),
        *(timedelta(minutes=minutes) for minutes in (1, 5, 5, 5, 10, 30)),
        *(timedelta(hours=hours) for hours in (2, 5, 10, 14, 20, 24)),
    )

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self._options: CfxOptions | None = None
        self._link: Link | None = None
        self._state = _State()
        self._beat_at = 0.0

    @property
    def options(self) -> CfxOptions:
        """Checked when first needed: what is wrong with them is said like any other trouble."""
        if self._options is None:
            try:
                self._options = CfxOptions.of(self.endpoint)
            except UserError as error:
                raise Away(f"{error.field}: {error.message}") from error
        return self._options

    def open(self) -> None:
        self._link = Link(self.options)
        where = (self.options.network_uri, self.options.request_address)
        try:
            self._link.open()
            self._tell("CFX.EndpointConnected", bodies.connected(self.options.handle, *where))
            self._beat()
        except (Lost, Refused) as error:
            raise Away(str(error)) from error

    def deliver(self, delivery: Delivery) -> Outcome:
        event = delivery.event
        told = envelopes(event, self.options.handle, self.options.target or None)
        try:
            if told:
                self._move_to(bodies.AT_WORK)
                self._link_now().send(told)
        except Lost as error:
            raise Away(str(error)) from error
        except Refused as error:
            return Outcome.failed(str(error))
        return Outcome.ok(answer=f"accepted: {len(told)} messages")

    def idle(self) -> None:
        try:
            self._link_now().receive(self._on_message)
            if time.monotonic() >= self._beat_at:
                self._beat()
            if self._state.rested(IDLE_AFTER_S):
                self._move_to(bodies.IDLE)
        except (Lost, Refused) as error:
            raise Away(str(error)) from error

    def close(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None

    # --- what is said besides events ------------------------------------------------------

    def _beat(self) -> None:
        seconds = self.options.heartbeat_s
        self._beat_at = time.monotonic() + seconds
        self._tell("CFX.Heartbeat", bodies.heartbeat(self.options.handle, seconds))

    def _move_to(self, state: int) -> None:
        moved = self._state.move(state)
        if moved is not None:
            old, seconds = moved
            body = bodies.station_state(old, state, seconds)
            self._tell("CFX.ResourcePerformance.StationStateChanged", body)

    def _tell(self, name: str, body: Body) -> None:
        key: UUID = new_id()
        target = self.options.target or None
        told = Envelope(name, body, self.options.handle, key, timezone.now(), target)
        self._link_now().send([told])

    # --- what comes in --------------------------------------------------------------------

    def _on_message(self, text: bytes, reply_to: str | None) -> None:
        """Answer one message. What cannot be read, or not be answered, is noted and taken off
        the queue: it would come back for ever. Only an outage leaves it there."""
        try:
            asked = read(text)
        except NotCfxError as error:
            log.warning("cfx: %s received what is no CFX message: %s", self.endpoint, error)
            return
        told = self._answer_to(asked)
        if told is not None:
            self._reply(told, self.options.reply_to(asked.source, reply_to))

    def _answer_to(self, asked: Envelope) -> Envelope | None:
        """The answer; where there is none because of a fault of ours or of the request's, who
        asked is told so."""
        try:
            return answer(self.endpoint, self.options, asked)
        except (OperationalError, InterfaceError) as error:
            raise Away(f"the database is away: {type(error).__name__}") from error
        except Exception:  # also what the database is there for and does not take, like a NUL
            log.exception("cfx: %s could not answer a message", self.endpoint)
            return failure(self.options, asked)

    def _reply(self, told: Envelope, address: str) -> None:
        try:
            self._link_now().answer(told, address)
        except Lost:
            raise
        except Refused as error:
            log.warning("cfx: no answer at %s: %s", address, error)
        except Exception:  # a name of who asks that no message carries
            log.exception("cfx: no answer at %r", address)

    def _link_now(self) -> Link:
        if self._link is None:
            raise Lost("not connected")
        return self._link


class _State:
    """What the station is doing, as far as verdicts show."""

    def __init__(self) -> None:
        self._state = bodies.IDLE
        self._since: float | None = None  # None: from before we were here
        self._worked_at = 0.0

    def move(self, state: int) -> tuple[int, float | None] | None:
        """The state before and the seconds spent in it; None where it is in that state."""
        now = time.monotonic()
        if state == bodies.AT_WORK:
            self._worked_at = now
        if state == self._state:
            return None
        old, since = self._state, self._since
        self._state, self._since = state, now
        return old, None if since is None else now - since

    def rested(self, seconds: float) -> bool:
        """Whether it was at work, and not for so long."""
        working = self._state == bodies.AT_WORK
        return working and time.monotonic() - self._worked_at >= seconds
