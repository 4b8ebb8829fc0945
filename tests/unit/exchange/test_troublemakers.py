"""Receivers and brokers whose answers must not hold up everything behind them for ever."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest
from django.db import DataError
from django.utils import timezone
from pytest_django import Settings

from inspection.exchange import couriers, holder, webhook
from inspection.exchange.couriers import Away, Courier, Outcome
from inspection.models import Delivery, DeliveryAttempt, Endpoint, Notification
from inspection.services import endpoints
from tests.factories.exchange import DeliveryFactory, EndpointFactory
from tests.factories.user import UserFactory
from tests.processes import wait_for
from tests.receivers import Handler, receiver
from tests.unit.exchange.test_holder import exchange, waiting
from webapp.networks import networks

pytestmark = pytest.mark.django_db(transaction=True)
State = Delivery.State


@pytest.fixture(autouse=True)
def quick(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.WEBHOOK_ALLOWED_CIDRS = networks(["127.0.0.1/32"])
    monkeypatch.setattr(holder, "POLL_S", 0.05)
    monkeypatch.setattr(holder, "LONGEST_WAIT_S", 0.2)
    monkeypatch.setattr(Courier, "delays", [timedelta(hours=1)] * 9)  # never while a test looks on


class Calls(Courier):
    """A courier that does what a function says."""

    def __init__(self, endpoint: Endpoint, does: Any) -> None:
        super().__init__(endpoint)
        self._does = does

    def deliver(self, delivery: Delivery) -> Outcome:
        outcome: Outcome = self._does(delivery, self.endpoint)
        return outcome


def deliver_by(monkeypatch: pytest.MonkeyPatch, does: Any, parallel: int = 1) -> None:
    kind = type("Of", (Calls,), {"parallel": parallel})
    monkeypatch.setattr(couriers, "make", lambda endpoint: kind(endpoint, does))


# --- answers that no database keeps --------------------------------------------------------


@pytest.mark.parametrize("status", [200, 500])
def test_an_answer_with_a_nul_is_counted_and_kept_without_it(status: int) -> None:
    def answer(handler: Handler) -> None:
        handler.send_response(status)
        handler.send_header("content-length", "5")
        handler.end_headers()
        handler.wfile.write(b"no\x00pe")

    with receiver(answer) as there:
        DeliveryFactory(endpoint=EndpointFactory(address=there.url))
        with exchange():
            wait_for(DeliveryAttempt.objects.exists, 30, "the try is written down")
            time.sleep(0.3)
        assert len(there.got) == 1
    attempt = DeliveryAttempt.objects.get()
    assert (attempt.number, attempt.status_code, attempt.answer) == (1, status, "nope")


def test_an_error_with_a_nul_is_shown_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    said = [Outcome.failed("re\x00fused \ud800")]

    def refuse(_delivery: Delivery, _endpoint: Endpoint) -> Outcome:
        if said:
            return said.pop()
        raise Away("go\x00ne")

    deliver_by(monkeypatch, refuse)
    endpoint = EndpointFactory()
    DeliveryFactory(endpoint=endpoint)
    with exchange():
        wait_for(lambda: Endpoint.objects.get().last_error == "refused ?", 30, "the refusal")
        DeliveryFactory(endpoint=endpoint)
        wait_for(lambda: Endpoint.objects.get().last_error == "gone", 30, "that it is away")
    assert DeliveryAttempt.objects.get().error == "refused ?"


def test_whatever_else_the_database_refuses_counts_as_a_try(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(_delivery: Delivery, _endpoint: Endpoint) -> Outcome:
        raise DataError("value out of range")

    deliver_by(monkeypatch, refused)
    DeliveryFactory()
    with exchange():
        wait_for(DeliveryAttempt.objects.exists, 30, "the try is counted")
    assert "value out of range" in DeliveryAttempt.objects.get().error
    assert Delivery.objects.get().next_attempt_at > timezone.now()


# --- brokers that hang up ------------------------------------------------------------------


@contextmanager
def mqtt_broker(poison: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """Takes everybody and acknowledges everything, but hangs up at a message with `poison`.
    Its port, and what it acknowledged."""
    took: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def exactly(peer: socket.socket, size: int) -> bytes:
        found = b""
        while len(found) < size:
            piece = peer.recv(size - len(found))
            if not piece:
                raise ConnectionError
            found += piece
        return found

    def serve(peer: socket.socket) -> None:
        with peer:
            while True:
                kind = exactly(peer, 1)[0]
                size, shift = 0, 0
                while (byte := exactly(peer, 1)[0]) & 0x80:
                    size, shift = size | (byte & 0x7F) << shift, shift + 7
                body = exactly(peer, size | byte << shift)
                if kind >> 4 == 1:  # CONNECT
                    peer.sendall(b"\x20\x02\x00\x00")
                elif kind >> 4 == 3:  # PUBLISH at QoS 1: topic, then the number to acknowledge
                    if poison in body:
                        return
                    topic = int.from_bytes(body[:2])
                    took.append(body)
                    peer.sendall(b"\x40\x02" + body[2 + topic : 4 + topic])
                elif kind >> 4 == 12:  # PINGREQ
                    peer.sendall(b"\xd0\x00")

    def serve_well(peer: socket.socket) -> None:
        with suppress(OSError):
            serve(peer)

    def accept() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve_well, args=(peer,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1], took
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def test_an_event_at_which_the_broker_hangs_up_does_not_hold_up_the_others() -> None:
    pytest.importorskip("paho.mqtt.client", reason="the extra mqtt is not installed")
    with mqtt_broker(b"POISON") as (port, took):
        endpoint = EndpointFactory(
            kind=Endpoint.Kind.MQTT, address=f"mqtt://127.0.0.1:{port}", options={"prefix": "p"}
        )
        bad = DeliveryFactory(endpoint=endpoint, event__payload={"serial_number": "POISON"})
        good = DeliveryFactory(endpoint=endpoint, event__payload={"serial_number": "GOOD"})
        with exchange():
            wait_for(lambda: waiting() == 1, 30, "what waits behind it is delivered")
    assert any(b"GOOD" in one for one in took)
    good.refresh_from_db()
    assert (good.state, good.attempt) == (State.DELIVERED, 1)
    attempt = DeliveryAttempt.objects.get(delivery=bad)
    assert attempt.number == 1
    assert attempt.error.startswith("The connection ended 5 times at this event")


def test_losses_while_the_broker_is_down_are_nobodys_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened, lost = [], []

    class Flapping(Courier):
        def open(self) -> None:
            opened.append(1)
            if len(opened) % 4 == 0:
                raise Away("down")

        def deliver(self, delivery: Delivery) -> Outcome:
            lost.append(delivery.pk)
            raise Away("hung up")

    monkeypatch.setattr(couriers, "make", Flapping)
    DeliveryFactory()
    with exchange():
        wait_for(lambda: len(lost) > 12, 30, "many losses, never five without an outage between")
    assert not DeliveryAttempt.objects.exists()


def test_one_that_lets_us_in_and_hangs_up_is_tried_ever_more_rarely(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def hang_up(_delivery: Delivery, _endpoint: Endpoint) -> Outcome:
        raise Away("hung up")

    deliver_by(monkeypatch, hang_up)
    waits: list[float] = []
    back_off = holder.Holder._back_off
    monkeypatch.setattr(holder, "LONGEST_WAIT_S", 30.0)

    def noted(self: holder.Holder) -> float:
        waits.append(back_off(self))
        return 0.01

    monkeypatch.setattr(holder.Holder, "_back_off", noted)
    DeliveryFactory()
    with exchange():
        wait_for(lambda: len(waits) >= 5, 30, "five losses")
    assert waits[:4] == [1, 2, 4, 8]


# --- off and edited ------------------------------------------------------------------------


@pytest.mark.parametrize("parallel", [1, 4])
@pytest.mark.parametrize("change", ["off", "edit"])
def test_what_is_handed_over_already_stops_when_somebody_changes_the_endpoint(
    monkeypatch: pytest.MonkeyPatch, parallel: int, change: str
) -> None:
    went_to: list[str] = []
    changed = threading.Event()

    def slowly(_delivery: Delivery, endpoint: Endpoint) -> Outcome:
        went_to.append(endpoint.address)
        time.sleep(0.1)
        if len(went_to) >= 3:
            changed.wait(60)
        return Outcome.ok()

    deliver_by(monkeypatch, slowly, parallel)
    endpoint = EndpointFactory(address="https://old.example/")
    for _ in range(30):
        DeliveryFactory(endpoint=endpoint, key="unit:1")
    with exchange() as house:
        wait_for(lambda: len(went_to) >= 3, 30, "some are delivered")
        if change == "off":
            endpoints.disable(None, endpoint)
        else:
            Endpoint.objects.update(address="https://new.example/")
        changed.set()
        if change == "off":
            wait_for(lambda: not house.holders, 30, "nobody holds it")
        else:
            wait_for(lambda: "https://new.example/" in went_to, 30, "the next goes there")
    assert went_to.count("https://old.example/") <= 10
    assert ("https://new.example/" in went_to) == (change == "edit")


def test_several_that_are_refused_for_good_at_once_tell_the_engineers_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(webhook, "TIMEOUT_S", 60.0)
    engineer = UserFactory(role="administrator")
    together = threading.Barrier(8, timeout=30)

    def gone(handler: Handler) -> None:
        together.wait()
        handler.send_response(410)
        handler.send_header("content-length", "0")
        handler.end_headers()

    with receiver(gone) as there:
        endpoint = EndpointFactory(address=there.url)
        for _ in range(8):
            DeliveryFactory(endpoint=endpoint)
        with exchange() as house:
            wait_for(lambda: not house.holders and not waiting(), 30, "all came back with 410")
    assert Notification.objects.filter(user=engineer).count() == 1


def test_nothing_is_looked_for_while_nobody_could_deliver_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks, ended = [], threading.Event()
    due = holder.deliveries.due

    def counted(*given: Any, **named: Any) -> list[Delivery]:
        looks.append(1)
        return due(*given, **named)

    def hang(_delivery: Delivery, _endpoint: Endpoint) -> Outcome:
        ended.wait(60)
        return Outcome.ok()

    monkeypatch.setattr(holder.deliveries, "due", counted)
    deliver_by(monkeypatch, hang, parallel=2)
    endpoint = EndpointFactory()
    for _ in range(3):
        DeliveryFactory(endpoint=endpoint)
    with exchange():
        wait_for(lambda: looks, 30, "it looked")
        time.sleep(0.5)  # long enough for many looks
        assert len(looks) == 1
        ended.set()
        wait_for(lambda: not waiting(), 30, "the rest follows")
