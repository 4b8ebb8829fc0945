"""Endpoints: who may change them, what is refused, secrets, replays, and what is on record."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from inspection.errors import NotAllowed, UserError, WrongState
from inspection.models import AuditEvent, Delivery, Endpoint, EventType, User
from inspection.services import deliveries, endpoints, webhook_signing
from tests.factories.exchange import DeliveryFactory, EndpointFactory
from tests.factories.membership import MembershipFactory
from tests.factories.product import ProductFactory
from tests.factories.user import UserFactory
from webapp.networks import networks

pytestmark = pytest.mark.django_db
URL = "https://mes.example/hook"
State = Delivery.State


@pytest.fixture
def administrator() -> User:
    return UserFactory(role="administrator")


def make(user: User | None = None, **fields: Any) -> tuple[Endpoint, str]:
    return endpoints.create(user, **{"kind": "webhook", "name": "MES", "address": URL, **fields})


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
        lambda user, one: endpoints.replay_given_up(user, one, timezone.now()),
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
    assert endpoints.replay_given_up(None, endpoint, now - timedelta(days=1)) == 3
    assert deliveries.due(endpoint) == recent
    old.refresh_from_db()
    assert old.state == State.GIVEN_UP
    assert last_event().after["count"] == 3


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


def test_reviews_stand_under_ones_own_name_unless_an_administrator_lends_another(
    administrator: User,
) -> None:
    product = ProductFactory()
    engineer = MembershipFactory(product=product, role="engineer").user
    other = UserFactory()

    def cfx(user: User, name: str, reviewer: str) -> Endpoint:
        options = {**CFX["options"], "reviewer": reviewer}  # type: ignore[dict-item]
        fields = {**CFX, "name": name, "options": options, "product": product}
        return endpoints.create(user, **fields)[0]  # type: ignore[arg-type]

    with pytest.raises(UserError) as refused:
        cfx(engineer, "borrowed", other.username)
    assert refused.value.field == "reviewer"
    own = cfx(engineer, "own", engineer.username)
    options = {**own.options, "reviewer": other.username}
    with pytest.raises(UserError):
        endpoints.edit(engineer, own, name="own", address=own.address, options=options)
    lent = cfx(administrator, "lent", other.username)
    endpoints.edit(engineer, lent, name="lent 2", address=lent.address, options=lent.options)
    lent.refresh_from_db()
    assert lent.options["reviewer"] == other.username
