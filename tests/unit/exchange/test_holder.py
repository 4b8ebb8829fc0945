"""The process of `manage.py exchange` as threads here: order, tries, leases, real receivers."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.utils import timezone
from pytest_django import Settings

from inspection.exchange import couriers, holder, webhook
from inspection.exchange.couriers import Away, Courier, NoCourier, Outcome
from inspection.exchange.house import House
from inspection.ids import first_id_of
from inspection.models import AuditEvent, Delivery, DeliveryAttempt, Endpoint, Notification
from inspection.services import deliveries, endpoint_lease, endpoints
from tests.factories.exchange import DeliveryFactory, EndpointFactory
from tests.factories.user import UserFactory
from tests.processes import wait_for
from tests.receivers import Handler, hang, receiver
from tests.threads import at_once
from tests.unit.exchange.reference import is_signed_by
from webapp.networks import networks

pytestmark = pytest.mark.django_db(transaction=True)
State = Delivery.State


@pytest.fixture(autouse=True)
def loopback_is_listed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.WEBHOOK_ALLOWED_CIDRS = networks(["127.0.0.1/32"])
    monkeypatch.setattr(holder, "POLL_S", 0.05)
    monkeypatch.setattr(Courier, "delays", [timedelta(hours=1)] * 9)  # never while a test looks on


@contextmanager
def exchange() -> Iterator[House]:
    """A house at work in a thread, as the command runs it."""
    house, stop = House(), threading.Event()
    thread = threading.Thread(target=house.run, args=(stop.is_set,))
    thread.start()
    try:
        yield house
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()


def waiting() -> int:
    return Delivery.objects.filter(state=State.WAITING).count()


def make_due() -> None:
    Delivery.objects.filter(state=State.WAITING).update(next_attempt_at=timezone.now())


# --- webhooks from end to end ------------------------------------------------------------


def test_events_reach_their_receivers_and_the_log_says_so() -> None:
    with receiver() as one, receiver() as two, exchange():
        first, second = EndpointFactory(address=one.url), EndpointFactory(address=two.url)
        for _ in range(3):
            DeliveryFactory(endpoint=first)
        elsewhere = DeliveryFactory(endpoint=second)
        wait_for(lambda: waiting() == 0, 30, "everything is delivered")
    assert len(one.got) == 3
    assert two.ids == [str(elsewhere.event_id)]
    assert all(is_signed_by(first.secrets[0]["secret"], got) for got in one.got)
    assert not any(is_signed_by(second.secrets[0]["secret"], got) for got in one.got)
    delivery = Delivery.objects.get(pk=elsewhere.pk)
    assert (delivery.state, delivery.attempt) == (State.DELIVERED, 1)
    assert delivery.delivered_at is not None
    attempt = DeliveryAttempt.objects.get(delivery=delivery)
    assert (attempt.number, attempt.status_code, attempt.answer, attempt.error) == (
        1,
        200,
        "ok",
        "",
    )
    assert attempt.duration_ms is not None


def test_the_order_per_unit_holds_when_the_first_fails() -> None:
    def refuse_once(handler: Handler) -> None:
        status = 500 if len(handler.receiver.got) == 1 else 200
        handler.send_response(status)
        handler.send_header("content-length", "0")
        handler.end_headers()

    with receiver(refuse_once) as there:
        endpoint = EndpointFactory(address=there.url)
        unit = [DeliveryFactory(endpoint=endpoint, key="unit:1") for _ in range(3)]
        with exchange():
            wait_for(lambda: there.got, 30, "the first is tried")
            wait_for(lambda: DeliveryAttempt.objects.exists(), 30, "and refused")
            other = DeliveryFactory(endpoint=endpoint, key="unit:2")
            wait_for(lambda: len(there.got) == 2, 30, "another unit goes on")
            time.sleep(0.5)  # long enough for many looks
            assert there.ids == [str(unit[0].event_id), str(other.event_id)]
            make_due()
            wait_for(lambda: waiting() == 0, 30, "the rest follows")
    expected = [unit[0], other, *unit]
    assert there.ids == [str(one.event_id) for one in expected]


def test_a_hanging_receiver_of_one_unit_does_not_hold_up_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(webhook, "TIMEOUT_S", 60.0)

    def hang_for_one(handler: Handler) -> None:
        if handler.path.endswith("slow"):
            hang(handler)
        handler.send_response(200)
        handler.send_header("content-length", "0")
        handler.end_headers()

    with receiver(hang_for_one) as there:
        endpoint = EndpointFactory(address=there.url)
        DeliveryFactory(endpoint=endpoint, address=f"http://127.0.0.1:{there.port}/slow")
        for _ in range(30):
            DeliveryFactory(endpoint=endpoint)
        began = time.monotonic()
        with exchange():
            wait_for(lambda: waiting() == 1, 30, "all but the hanging one are delivered")
            assert time.monotonic() - began < 45
            there.ended.set()


def test_a_receiver_that_is_gone_ends_its_endpoint() -> None:
    engineer = UserFactory(role="administrator")
    with receiver(410) as there:
        endpoint = EndpointFactory(address=there.url, name="Old MES")
        DeliveryFactory(endpoint=endpoint, key="unit:1")
        DeliveryFactory(endpoint=endpoint, key="unit:1")
        with exchange() as house:
            wait_for(lambda: Endpoint.objects.get().disabled_at, 30, "it is switched off")
            wait_for(lambda: not house.holders, 30, "nobody holds it")
    assert len(there.got) == 1
    endpoint.refresh_from_db()
    assert (endpoint.enabled, endpoint.token) == (False, None)
    assert sorted(Delivery.objects.values_list("state", flat=True)) == ["given_up", "waiting"]
    event = AuditEvent.objects.get(action="endpoint.disabled")
    assert (event.actor, event.after["because"]) == (None, "its receiver answered 410 Gone")
    assert Notification.objects.get(user=engineer).title == "Old MES is switched off"


def test_an_edited_endpoint_is_delivered_to_at_its_new_address() -> None:
    with receiver() as old, receiver() as new, exchange():
        endpoint = EndpointFactory(address=old.url)
        DeliveryFactory(endpoint=endpoint)
        wait_for(lambda: waiting() == 0, 30, "the first is delivered")
        endpoints.edit(None, endpoint, name="Renamed", address=new.url)
        DeliveryFactory(endpoint=endpoint)
        wait_for(lambda: waiting() == 0, 30, "the second is delivered")
    assert (len(old.got), len(new.got)) == (1, 1)


def test_a_replay_is_the_same_message_and_verifies() -> None:
    with receiver(404) as there:
        endpoint = EndpointFactory(address=there.url)
        delivery = DeliveryFactory(endpoint=endpoint, state=State.GIVEN_UP, attempt=10)
        there.answer = 200
        endpoints.replay(None, delivery)
        with exchange():
            wait_for(lambda: waiting() == 0, 30, "it is delivered")
        endpoints.replay(None, Delivery.objects.get())
        with exchange():
            wait_for(lambda: waiting() == 0, 30, "it is delivered again")
    assert there.ids == [str(delivery.event_id)] * 2
    assert there.got[0].body == there.got[1].body
    assert all(is_signed_by(endpoint.secrets[0]["secret"], got) for got in there.got)


# --- couriers of brokers -----------------------------------------------------------------


class Broker:
    """The other side of a courier for tests: may be down; remembers who said what."""

    def __init__(self) -> None:
        self.up, self.took = True, []
        self.opened = self.closed = self.idled = 0
        self.threads: set[str] = set()
        self.refuses: set[Any] = set()


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    there = Broker()

    class BrokerCourier(Courier):
        def open(self) -> None:
            there.threads.add(threading.current_thread().name)
            if not there.up:
                raise Away("the broker is down")
            there.opened += 1

        def deliver(self, delivery: Delivery) -> Outcome:
            there.threads.add(threading.current_thread().name)
            if not there.up:
                raise Away("the broker went down")
            if delivery.event_id in there.refuses:
                return Outcome.failed("rejected")
            there.took.append(delivery.event_id)
            return Outcome.ok()

        def idle(self) -> None:
            there.idled += 1

        def close(self) -> None:
            there.closed += 1

    def make(endpoint: Endpoint) -> Courier:
        return BrokerCourier(endpoint)

    monkeypatch.setattr(couriers, "make", make)
    monkeypatch.setattr(holder, "LONGEST_WAIT_S", 0.2)
    return there


def events_in_order() -> list[Any]:
    return list(Delivery.objects.order_by("event_id").values_list("event_id", flat=True))


def test_a_broker_gets_all_units_in_order_from_one_thread(broker: Broker) -> None:
    endpoint = EndpointFactory(kind=Endpoint.Kind.CFX)
    for n in range(120):
        DeliveryFactory(endpoint=endpoint, key=f"unit:{n % 7}")
    with exchange():
        wait_for(lambda: waiting() == 0, 30, "all are delivered")
        wait_for(lambda: broker.idled > 3, 30, "it is asked what else goes on")
        endpoint.refresh_from_db()
        assert endpoint.connected_at is not None
    keys = dict(Delivery.objects.values_list("event_id", "sequence_key"))
    for unit in set(keys.values()):
        told = [event for event in broker.took if keys[event] == unit]
        assert told == [event for event in events_in_order() if keys[event] == unit]
    assert len(broker.took) == 120
    assert len(broker.threads) == 1
    assert (broker.opened, broker.closed) == (1, 1)


def test_a_broker_that_is_down_costs_no_try(broker: Broker) -> None:
    endpoint = EndpointFactory(kind=Endpoint.Kind.CFX)
    broker.up = False
    DeliveryFactory(endpoint=endpoint)
    with exchange():
        why = wait_for(lambda: Endpoint.objects.get().last_error, 30, "its page says why")
        assert why == "the broker is down"
        assert Endpoint.objects.get().connected_at is None
        broker.up = True
        wait_for(lambda: waiting() == 0, 30, "it is delivered when the broker is back")
    assert DeliveryAttempt.objects.get().number == 1
    assert Endpoint.objects.get().last_error == ""


def test_what_a_broker_refuses_holds_up_its_unit_only(broker: Broker) -> None:
    endpoint = EndpointFactory(kind=Endpoint.Kind.CFX)
    bad, after = (DeliveryFactory(endpoint=endpoint, key="unit:1") for _ in range(2))
    broker.refuses.add(bad.event_id)
    other = DeliveryFactory(endpoint=endpoint, key="unit:2")
    with exchange():
        wait_for(lambda: broker.took, 30, "the other unit is delivered")
        wait_for(lambda: broker.idled > 5, 30, "some looks later")
    assert broker.took == [other.event_id]
    assert not after.attempts.exists()


def test_a_kind_that_is_not_installed_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = couriers._Place("inspection.exchange.no_such_module", "Nothing", "cfx")
    monkeypatch.setitem(couriers.COURIERS, Endpoint.Kind.CFX, place)
    endpoint = EndpointFactory(kind=Endpoint.Kind.CFX)
    with pytest.raises(NoCourier):
        couriers.make(endpoint)
    with exchange():
        why = wait_for(lambda: Endpoint.objects.get().last_error, 30, "its page says why")
    assert "pip install 'kintsugi[cfx]'" in why


# --- leases ------------------------------------------------------------------------------


def test_an_endpoint_is_held_by_one_of_many(settings: Settings) -> None:
    for _ in range(4):
        EndpointFactory()
    EndpointFactory(disabled_at=timezone.now())
    held = [one for some in at_once([endpoint_lease.hold_free] * 8) for one in some]
    assert len(held) == len({one.pk for one in held}) == 4
    assert endpoint_lease.hold_free() == []
    one = held[0]
    Endpoint.objects.filter(pk=one.pk).update(lease_expires_at=timezone.now() - timedelta(1))
    assert [again.pk for again in endpoint_lease.hold_free()] == [one.pk]
    assert not endpoint_lease.renew(one.pk, endpoint_lease.token_of(one)), "it has another holder"


def test_who_lost_the_lease_stops_and_writes_nothing() -> None:
    with receiver(hang) as there:
        endpoint = EndpointFactory(address=there.url)
        first, _ = (DeliveryFactory(endpoint=endpoint, key="unit:1") for _ in range(2))
        with exchange() as house:
            wait_for(lambda: there.got, 30, "the first is on its way")
            Endpoint.objects.update(
                token=uuid4(), lease_expires_at=timezone.now() + timedelta(minutes=5)
            )
            there.answer = 200
            there.ended.set()
            wait_for(lambda: not house.holders, 30, "the thread ended")
    assert len(there.got) == 1
    first.refresh_from_db()
    assert (first.state, first.attempt) == (State.WAITING, 0)
    assert not DeliveryAttempt.objects.exists()
    assert Endpoint.objects.get().token is not None, "the other's lease is left alone"


def test_when_it_stops_it_lets_go() -> None:
    EndpointFactory()
    with exchange():
        wait_for(lambda: Endpoint.objects.get().token, 30, "it is held")
    assert Endpoint.objects.get().token is None


# --- what is due, what becomes of it -----------------------------------------------------


def held(**fields: Any) -> tuple[Endpoint, Any]:
    endpoint = EndpointFactory(token=uuid4(), **fields)
    return endpoint, endpoint.token


def settle(delivery: Delivery, token: Any, outcome: Outcome) -> Delivery:
    assert deliveries.settle(delivery, outcome, token=token, took_ms=7)
    return Delivery.objects.get(pk=delivery.pk)


def test_tries_are_as_far_apart_as_the_standard_says_then_given_up() -> None:
    endpoint, token = held()
    delivery = DeliveryFactory(endpoint=endpoint)
    waits = []
    for _ in range(10):
        before = timezone.now()
        delivery = settle(delivery, token, Outcome.failed("500"))
        waits.append((delivery.next_attempt_at - before).total_seconds())
    hours = [2, 5, 10, 14, 20, 24]
    expected = [5, 300, 1800, *(h * 3600 for h in hours)]
    for wait_s, least in zip(waits, expected, strict=False):
        assert least <= wait_s <= 1.1 * least + 1
    assert (delivery.state, delivery.attempt) == (State.GIVEN_UP, 10)
    assert list(delivery.attempts.values_list("number", flat=True)) == list(range(1, 11))


def test_waits_differ_by_chance() -> None:
    endpoint, token = held()
    made = [DeliveryFactory(endpoint=endpoint, attempt=5) for _ in range(8)]
    now = timezone.now()
    waits = [settle(one, token, Outcome.failed("500")).next_attempt_at - now for one in made]
    assert len({round(one.total_seconds() / 60) for one in waits}) > 2


def test_after_one_is_given_up_the_next_of_its_unit_goes() -> None:
    endpoint, token = held()
    first, second = (DeliveryFactory(endpoint=endpoint, key="unit:1") for _ in range(2))
    settle(first, token, Outcome.failed("500"))
    assert deliveries.due(endpoint) == [], "it waits for the first"
    Delivery.objects.filter(pk=first.pk).update(attempt=9, next_attempt_at=timezone.now())
    first.refresh_from_db()
    assert deliveries.due(endpoint) == [first, second]
    settle(first, token, Outcome.failed("500"))
    assert deliveries.due(endpoint) == [second]


def test_what_is_due_comes_in_the_order_of_the_events() -> None:
    endpoint, other = EndpointFactory(), EndpointFactory()
    made = [DeliveryFactory(endpoint=endpoint, key=f"unit:{n % 2}") for n in range(4)]
    DeliveryFactory(endpoint=other)
    Delivery.objects.filter(pk=made[0].pk).update(state=State.DELIVERED)
    assert deliveries.due(endpoint) == made[1:]
    assert deliveries.due(endpoint, limit=2) == made[1:3]
    assert deliveries.due(endpoint, busy=[made[2].pk], busy_keys=[("", "unit:1")]) == []


def test_without_a_sequence_key_nothing_waits_for_another() -> None:
    endpoint, token = held()
    first, second = (DeliveryFactory(endpoint=endpoint, key="") for _ in range(2))
    settle(first, token, Outcome.failed("500"))
    assert deliveries.due(endpoint) == [second]


def test_a_callback_does_not_wait_for_another_address() -> None:
    endpoint, token = held()
    own = DeliveryFactory(endpoint=endpoint, key="unit:1")
    callback = DeliveryFactory(endpoint=endpoint, event=own.event, address="https://a.example/")
    settle(own, token, Outcome.failed("500"))
    assert deliveries.due(endpoint) == [callback]


def test_what_became_of_a_try_is_written_once() -> None:
    endpoint, token = held()
    delivery = DeliveryFactory(endpoint=endpoint)
    said = at_once([lambda: deliveries.settle(delivery, Outcome.ok(), token=token, took_ms=1)] * 8)
    assert sorted(said) == [False] * 7 + [True]
    assert DeliveryAttempt.objects.count() == 1


def test_old_events_are_forgotten_but_not_those_that_wait(settings: Settings) -> None:
    endpoint = EndpointFactory()
    long_ago = timezone.now() - timedelta(days=settings.EXCHANGE_KEPT_DAYS, minutes=1)
    _, waits = (
        DeliveryFactory(endpoint=endpoint, event__id=UUID(int=first_id_of(long_ago).int + number))
        for number in range(2)
    )
    fresh = DeliveryFactory(endpoint=endpoint)
    Delivery.objects.exclude(pk=waits.pk).update(state=State.DELIVERED)
    assert deliveries.forget_old() == 1
    assert set(Delivery.objects.all()) == {waits, fresh}
