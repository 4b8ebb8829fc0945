"""Endpoints: who may change them, what is refused, secrets, replays, and what is on record."""

import time
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone
from pytest_django import Settings

from inspection.errors import NotAllowed, UserError, WrongState
from inspection.ids import first_id_of
from inspection.models import AuditEvent, Delivery, DeliveryAttempt, Endpoint, EventType, User
from inspection.services import deliveries, delivery_log, endpoints, webhook_signing
from inspection.services.endpoints import REPLAYED
from tests.factories.exchange import DeliveryFactory, EndpointFactory
from tests.factories.membership import MembershipFactory
from tests.factories.product import ProductFactory
from tests.factories.user import UserFactory
from tests.threads import at_once
from webapp.networks import networks

pytestmark = pytest.mark.django_db
URL = "https://mes.example/hook"
State = Delivery.State


@pytest.fixture
def administrator() -> User:
    return UserFactory(role="administrator")


def make(user: User | None = None, **fields: Any) -> tuple[Endpoint, str]:
    return endpoints.create(user, **{"kind": "webhook", "name": "MES", "address": URL, **fields})


def an_hour() -> dict[str, datetime]:
    """That has gone by."""
    now = timezone.now()
    return {"since": now - timedelta(hours=1), "until": now}


def last_event() -> AuditEvent:
    found = AuditEvent.objects.order_by("id").last()
    assert found is not None
    return found


def test_a_webhook_gets_a_secret_that_is_told_once_and_audited_without_it(
    administrator: User,
) -> None:
    endpoint, secret = make(administrator, event_types=[EventType.BATCH_COMPLETED])
    assert webhook_signing.in_force(endpoint.secrets) == [secret]
    assert secret.startswith("whsec_")
    event = last_event()
    assert (event.action, event.actor) == ("endpoint.created", administrator)
    assert event.after["event_types"] == ["batch.completed"]
    for one in AuditEvent.objects.all():
        assert secret not in str(one.before) + str(one.after)


@pytest.mark.parametrize("role", ["viewer", "inspector", "engineer", "administrator"])
def test_for_all_products_it_takes_an_administrator_for_one_its_engineer(role: str) -> None:
    product = ProductFactory()
    everywhere, here = UserFactory(role=role), MembershipFactory(product=product, role=role).user
    endpoint, _ = make(name="of all")
    own, _ = make(name="of one", product=product)
    changes = [
        lambda user, one: endpoints.edit(user, one, name="x", address=URL),
        endpoints.rotate_secret,
        endpoints.disable,
        endpoints.send_test,
        endpoints.delete,
        lambda user, one: endpoints.replay(user, DeliveryFactory(endpoint=one, state="delivered")),
        lambda user, one: endpoints.replay_many(user, one, state="given_up", **an_hour()),
        lambda user, one: endpoints.try_now(user, DeliveryFactory(endpoint=one)),
    ]
    for change in changes[:-4] if role == "administrator" else changes:
        if role != "administrator":
            with pytest.raises(NotAllowed):
                change(everywhere, endpoint)
        with pytest.raises(NotAllowed):
            change(here, endpoint)
        if role in ("viewer", "inspector"):
            with pytest.raises(NotAllowed):
                change(here, own)
    may = role in ("engineer", "administrator")
    assert set(endpoints.visible(here)) == ({own} if may else set())
    seen = {own, endpoint} if role == "administrator" else {own} if may else set()
    assert set(endpoints.visible(everywhere)) == seen
    if may:
        make(here, name="another", product=product)
        endpoints.rotate_secret(here, own)
    with pytest.raises(NotAllowed):
        make(here, name="all again")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"kind": "pigeon"}, "kind"),
        ({"name": " "}, "name"),
        ({"name": "n" * 81}, "name"),
        ({"address": "mes.example"}, "address"),
        ({"address": "ftp://mes.example"}, "address"),
        ({"address": "https://"}, "address"),
        ({"address": "https://mes.example:99999/"}, "address"),
        ({"address": "https://me:secret@mes.example/"}, "address"),
        ({"address": "http://mes.example/"}, "address"),
        ({"address": "https://127.0.0.1/"}, "address"),
        ({"address": "https://[::1]/"}, "address"),
        ({"address": "https://169.254.169.254/latest/"}, "address"),
        ({"event_types": ["part.eaten"]}, "event_types"),
        ({"kind": "cfx", "address": "amqps://broker", "options": {}}, "handle"),
    ],
)
def test_what_could_never_work_is_refused_at_its_field(
    settings: Settings, fields: dict[str, Any], field: str
) -> None:
    settings.WEBHOOK_ALLOWED_CIDRS = ()
    with pytest.raises(UserError) as refused:
        make(**fields)
    assert refused.value.field == field
    assert not Endpoint.objects.exists()


def test_an_administrators_list_lets_plain_http_in(settings: Settings) -> None:
    settings.WEBHOOK_ALLOWED_CIDRS = networks(["10.20.0.0/16"])
    make(address="http://10.20.1.1:8080/x")
    make(name="by name", address="http://mes.plant/")
    with pytest.raises(UserError, match="not public"):
        make(name="other", address="http://10.21.1.1/")


def test_a_name_is_taken_once() -> None:
    make()
    other, _ = make(name="Other")
    with pytest.raises(UserError, match="already"):
        make()
    with pytest.raises(UserError, match="already"):
        endpoints.edit(None, other, name="MES", address=URL)


def test_secrets_change_with_an_overlap_and_several_may_sign() -> None:
    endpoint, first = make()
    second = endpoints.rotate_secret(None, endpoint, overlap_hours=1)
    third = endpoints.rotate_secret(None, endpoint, overlap_hours=48)
    endpoint.refresh_from_db()
    now = timezone.now()

    def signing(hours: float) -> list[str]:
        return webhook_signing.in_force(endpoint.secrets, now + timedelta(hours=hours))

    assert signing(0) == [third, second, first]
    assert signing(2) == [third, second], "an earlier end is not put off"
    assert signing(49) == [third]
    fourth = endpoints.rotate_secret(None, endpoint, overlap_hours=0)
    endpoint.refresh_from_db()
    assert webhook_signing.in_force(endpoint.secrets) == [fourth]
    with pytest.raises(UserError, match="0 to 720"):
        endpoints.rotate_secret(None, endpoint, overlap_hours=721)


def test_off_and_on_again() -> None:
    endpoint, _ = make()
    endpoints.disable(None, endpoint, "maintenance")
    endpoint.refresh_from_db()
    assert (endpoint.enabled, endpoint.disabled_because) == (False, "maintenance")
    with pytest.raises(WrongState):
        endpoints.send_test(None, endpoint)
    endpoints.enable(None, endpoint)
    assert Endpoint.objects.get().enabled
    with pytest.raises(WrongState, match="on already"):
        endpoints.enable(None, endpoint)
    actions = list(AuditEvent.objects.order_by("id").values_list("action", flat=True))
    assert actions == ["endpoint.created", "endpoint.disabled", "endpoint.enabled"]


def test_one_delivery_again_with_all_its_tries() -> None:
    delivery = DeliveryFactory(state=State.GIVEN_UP, attempt=10)
    endpoints.replay(None, delivery)
    assert (delivery.state, delivery.attempt) == (State.WAITING, 0)
    assert deliveries.due(delivery.endpoint) == [delivery]
    with pytest.raises(WrongState, match="on its way already"):
        endpoints.replay(None, delivery)


def test_one_that_waits_is_hurried() -> None:
    delivery = DeliveryFactory(next_attempt_at=timezone.now() + timedelta(hours=5))
    assert deliveries.due(delivery.endpoint) == []
    endpoints.try_now(None, delivery)
    assert deliveries.due(delivery.endpoint) == [delivery]
    Delivery.objects.update(state=State.DELIVERED)
    with pytest.raises(WrongState):
        endpoints.try_now(None, delivery)


def test_everything_given_up_since_a_day_goes_again_in_order() -> None:
    endpoint = EndpointFactory()
    now = timezone.now()
    old = DeliveryFactory(endpoint=endpoint, state="given_up", created_at=now - timedelta(days=9))
    recent = [DeliveryFactory(endpoint=endpoint, state="given_up") for _ in range(3)]
    DeliveryFactory(endpoint=endpoint, state="delivered")
    DeliveryFactory(state="given_up")
    span = {"since": now - timedelta(days=1), "until": timezone.now()}
    assert endpoints.replay_many(None, endpoint, state="given_up", **span) == (3, False)
    assert deliveries.due(endpoint) == recent
    old.refresh_from_db()
    assert old.state == State.GIVEN_UP
    assert last_event().after["count"] == 3


def test_the_same_replay_asked_again_sends_nothing_twice() -> None:
    """Neither while it waits, nor after it was tried once more."""
    endpoint, token = EndpointFactory(), uuid4()
    Endpoint.objects.filter(pk=endpoint.pk).update(token=token)
    of = {state: DeliveryFactory(endpoint=endpoint, state=state) for state in REPLAYED}
    span = an_hour()
    for state, delivery in of.items():
        for _ in range(2):
            count, more = endpoints.replay_many(None, endpoint, state=state, **span)
        assert (count, more) == (0, False)
        delivery.refresh_from_db()
        assert delivery.state == State.WAITING
        outcome = deliveries.Outcome.ok()
        if state == State.GIVEN_UP:
            outcome = deliveries.Outcome.failed("no", final=True)
        assert deliveries.settle(delivery, outcome, token=token, took_ms=1)
        delivery.refresh_from_db()
        assert delivery.state == state
        assert endpoints.replay_many(None, endpoint, state=state, **span) == (0, False)
    later = {**span, "until": timezone.now()}
    assert endpoints.replay_many(None, endpoint, state=State.DELIVERED, **later) == (1, False)


def test_what_its_own_tries_reached_after_the_outage_is_sent_again() -> None:
    """A delivery is given up three days after its event: its last try lies after any `until`."""
    happened = timezone.now() - sum(deliveries.DELAYS, timedelta()) - timedelta(hours=1)
    endpoint = EndpointFactory()
    delivery = DeliveryFactory(
        endpoint=endpoint, state=State.GIVEN_UP, id=first_id_of(happened), created_at=happened
    )
    last = timezone.now() - timedelta(minutes=5)
    DeliveryAttempt.objects.create(
        delivery=delivery, number=len(deliveries.DELAYS) + 1, created_at=last
    )
    night = {"since": happened - timedelta(hours=6), "until": happened + timedelta(hours=6)}
    assert endpoints.replay_many(None, endpoint, state=State.GIVEN_UP, **night) == (1, False)
    Delivery.objects.update(state=State.GIVEN_UP)
    assert endpoints.replay_many(None, endpoint, state=State.GIVEN_UP, **night) == (0, False)


def test_a_replay_is_bounded_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "MOST_REPLAYED", 2)
    endpoint = EndpointFactory()
    made = [DeliveryFactory(endpoint=endpoint, state="delivered") for _ in range(3)]
    span = an_hour()
    assert endpoints.replay_many(None, endpoint, state="delivered", **span) == (2, True)
    assert deliveries.due(endpoint) == made[:2], "the oldest first"
    with pytest.raises(WrongState) as refused:
        endpoints.replay_many(None, endpoint, state="delivered", **span)
    assert refused.value.code == "still_replaying"
    assert last_event().after["count"] == 2, "nothing is written down of what was refused"
    Delivery.objects.filter(pk=made[0].pk).update(state=State.DELIVERED)
    assert endpoints.replay_many(None, endpoint, state="delivered", **span) == (1, False)
    assert endpoints.replay_many(None, endpoint, state="delivered", **span) == (0, False)
    after = last_event().after
    assert (after["state"], after["count"]) == ("delivered", 1)
    assert after["until"] == span["until"].isoformat()


@pytest.mark.django_db(transaction=True)
def test_replays_at_the_same_time_share_what_may_be_on_its_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(endpoints, "MOST_REPLAYED", 2)
    endpoint = EndpointFactory()
    for _ in range(6):
        DeliveryFactory(endpoint=endpoint, state="given_up")
    span, count, callers = an_hour(), endpoints._on_their_way_again, iter(range(4))

    def slowly(asked: Endpoint) -> int:
        """Each after the one before has sent its share, but as counted before."""
        found = count(asked)
        time.sleep(0.2 * next(callers))
        return found

    monkeypatch.setattr(endpoints, "_on_their_way_again", slowly)

    def ask() -> int:
        try:
            return endpoints.replay_many(None, endpoint, state=State.GIVEN_UP, **span)[0]
        except WrongState:
            return 0

    assert sorted(at_once([ask] * 4, threads=4)) == [0, 0, 0, 2]
    assert Delivery.objects.filter(state="waiting").count() == 2


@pytest.mark.parametrize(
    ("state", "hours", "code", "field"),
    [
        ("waiting", (-2, -1), "bad_state", "state"),
        ("lost", (-2, -1), "bad_state", "state"),
        ("given_up", (-1, -1), "bad_range", "until"),
        ("given_up", (-1, 1), "not_yet", "until"),
    ],
)
def test_a_replay_that_means_nothing_names_its_field(
    state: str, hours: tuple[int, int], code: str, field: str
) -> None:
    now = timezone.now()
    since, until = (now + timedelta(hours=n) for n in hours)
    with pytest.raises(UserError) as refused:
        endpoints.replay_many(None, EndpointFactory(), state=state, since=since, until=until)
    assert (refused.value.code, refused.value.field) == (code, field)


def test_the_log_of_a_time_is_read_by_its_keys() -> None:
    """No index has the time itself: what lies far from it is not read through."""
    rows = delivery_log.narrowed(Delivery.objects.all(), **an_hour())
    assert str(rows.query).count('"inspection_delivery"."id"') >= 3  # told, from, until


def test_a_test_event_is_for_this_endpoint_alone() -> None:
    endpoint, _ = make(event_types=[EventType.RUN_FINISHED])
    EndpointFactory()
    delivery = endpoints.send_test(None, endpoint)
    assert deliveries.due(endpoint) == [delivery]
    assert Delivery.objects.count() == 1
    assert (delivery.event.type, delivery.event.payload) == ("endpoint.test", {"endpoint": "MES"})


def test_a_deleted_endpoint_takes_its_log_along() -> None:
    delivery = DeliveryFactory()
    endpoints.delete(None, delivery.endpoint)
    assert not Delivery.objects.exists()
    assert last_event().action == "endpoint.deleted"


CFX = {
    "kind": "cfx",
    "name": "Line",
    "address": "amqp://broker.example",
    "options": {"handle": "Kintsugi.Inspection.L1", "address": "/exchange/cfx/kintsugi"},
}


def cfx(user: User | None, name: str, **fields: Any) -> Endpoint:
    """A broker; `fields` beside options that always do."""
    options = {**CFX["options"], **fields.pop("options", {})}  # type: ignore[dict-item]
    return endpoints.create(user, **{**CFX, "name": name, "options": options, **fields})[0]  # type: ignore[arg-type]


def test_reviews_stand_under_ones_own_name_unless_an_administrator_lends_another(
    administrator: User,
) -> None:
    product = ProductFactory()
    engineer = MembershipFactory(product=product, role="engineer").user
    other = UserFactory()
    own = cfx(administrator, "own", product=product)
    mine = {**own.options, "reviewer": engineer.username}
    endpoints.edit(engineer, own, name="own", address=own.address, options=mine)
    borrowed = {**own.options, "reviewer": other.username}
    with pytest.raises(UserError) as refused:
        endpoints.edit(engineer, own, name="own", address=own.address, options=borrowed)
    assert refused.value.field == "reviewer"
    lent = cfx(administrator, "lent", product=product, options={"reviewer": other.username})
    endpoints.edit(engineer, lent, name="lent 2", address=lent.address, options=lent.options)
    slower = {**lent.options, "heartbeat_s": 90}
    with pytest.raises(UserError) as refused:  # the name was lent for what it was
        endpoints.edit(engineer, lent, name="lent 2", address=lent.address, options=slower)
    assert refused.value.code == "not_your_name"
    lent.refresh_from_db()
    assert (lent.name, lent.options["reviewer"]) == ("lent 2", other.username)
    assert lent.options["heartbeat_s"] == 60


def test_where_a_broker_is_and_who_signs_in_there_is_an_administrators_to_say(
    administrator: User,
) -> None:
    product = ProductFactory()
    engineer = MembershipFactory(product=product, role="engineer").user
    with pytest.raises(UserError) as refused:
        cfx(engineer, "theirs", product=product, address="amqp://127.0.0.1:22")
    assert (refused.value.code, refused.value.field) == ("administrator_names_brokers", "address")
    broker = cfx(administrator, "ours", product=product, secret="s3cret", options={"user": "k"})
    kept = broker.secrets
    changed = [
        ("amqp://elsewhere.example", broker.options),
        ("amqps://broker.example", broker.options),
        ("amqp://broker.example:5673", broker.options),
        (broker.address, {**broker.options, "user": "admin"}),
        (broker.address, {**broker.options, "virtual_host": "other"}),
    ]
    for address, options in changed:
        for user, secret in ((engineer, ""), (engineer, "mine"), (administrator, "")):
            with pytest.raises(UserError):
                endpoints.edit(
                    user, broker, name="ours", address=address, options=options, secret=secret
                )
        broker.refresh_from_db()
        assert (broker.address, broker.secrets) == ("amqp://broker.example", kept)
    slower = {**broker.options, "heartbeat_s": 90}
    endpoints.edit(engineer, broker, name="ours", address=broker.address, options=slower)
    moved, options = changed[0]
    endpoints.edit(
        administrator, broker, name="ours", address=moved, options=options, secret="again"
    )
    broker.refresh_from_db()
    assert (broker.address, broker.secrets[0]["secret"]) == (moved, "again")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"options": {"user": "k\r\nQUIT"}}, "user"),
        ({"options": {"target": "a\x00b"}}, "target"),
        ({"options": {"heartbeat": 5}}, "heartbeat"),
        ({"secret": "a\nb"}, "secret"),
    ],
)
def test_line_breaks_and_options_that_do_not_exist_are_refused(
    fields: dict[str, Any], field: str
) -> None:
    with pytest.raises(UserError) as refused:
        cfx(None, "x", **fields)
    assert refused.value.field == field


def test_an_edit_does_not_take_back_what_others_changed_meanwhile() -> None:
    endpoint, _ = make()
    read_before = Endpoint.objects.get(pk=endpoint.pk)
    secret = endpoints.rotate_secret(None, endpoint)
    endpoints.edit(None, read_before, name="renamed", address=URL)
    stale = Endpoint.objects.get(pk=endpoint.pk)
    endpoints.edit(None, stale, name="again", address=URL)
    endpoints.rotate_secret(None, read_before)
    endpoint.refresh_from_db()
    assert endpoint.name == "again"
    assert secret in webhook_signing.in_force(endpoint.secrets)


def test_a_busy_endpoint_is_deleted_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "DELETED_AT_ONCE", 2)
    endpoint = EndpointFactory()
    for _ in range(5):
        DeliveryFactory(endpoint=endpoint)
    other = DeliveryFactory()
    endpoints.delete(None, endpoint)
    assert list(Delivery.objects.all()) == [other]
    assert not Endpoint.objects.filter(pk=endpoint.pk).exists()
    actions = AuditEvent.objects.order_by("id").values_list("action", flat=True)
    assert list(actions)[-2:] == ["endpoint.disabled", "endpoint.deleted"]
