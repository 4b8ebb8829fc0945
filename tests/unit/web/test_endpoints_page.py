"""Settings, endpoints: who sees which, a secret that is shown once, the log and its buttons."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from inspection.models import Delivery, DeliveryAttempt, Endpoint, User
from inspection.services import endpoints, webhook_signing
from tests.factories.exchange import DeliveryFactory, EndpointFactory
from tests.factories.membership import MembershipFactory
from tests.factories.product import ProductFactory
from tests.factories.unit import UnitFactory
from tests.factories.user import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db
PAGE = "/settings/endpoints/"


def signed_in(user: User) -> Client:
    client = Client()
    assert client.login(username=user.username, password=PASSWORD)
    return client


@pytest.fixture
def client() -> Client:
    return signed_in(UserFactory(role="administrator"))


def text(answer: Any) -> str:
    assert answer.status_code == 200
    return str(answer.content.decode())


def test_a_webhook_is_added_and_its_secret_shown_once(client: Client) -> None:
    asked = {
        "name": "MES line 3",
        "address": "https://mes.example/hook",
        "event_types": ["inspection.completed", "review.recorded"],
    }
    made = client.post(f"{PAGE}new/webhook/", asked)
    endpoint = Endpoint.objects.get()
    (secret,) = webhook_signing.in_force(endpoint.secrets)
    assert secret in text(made)
    assert "no-store" in made["Cache-Control"]
    assert endpoint.event_types == asked["event_types"]
    for page in (f"{PAGE}{endpoint.pk}/", PAGE, f"{PAGE}{endpoint.pk}/edit/"):
        assert secret not in text(client.get(page))
    rotated = text(client.post(f"{PAGE}{endpoint.pk}/rotate/"))
    endpoint.refresh_from_db()
    assert webhook_signing.in_force(endpoint.secrets)[0] in rotated
    assert secret not in rotated


def test_a_refusal_stands_at_its_field_and_what_was_typed_stays(client: Client) -> None:
    asked = {"name": "MES", "address": "ftp://mes", "event_types": ["batch.completed"]}
    page = client.post(f"{PAGE}new/webhook/", asked)
    assert page.context["form"].errors.keys() == {"address"}
    assert 'value="batch.completed" checked' in text(page)
    assert not Endpoint.objects.exists()


def test_the_fields_of_a_broker_are_kept_and_its_password_is_never_shown(client: Client) -> None:
    asked = {
        "name": "Plant broker",
        "address": "amqps://broker.plant.example",
        "option-handle": "Kintsugi.Inspection.L1",
        "option-address": "/exchange/cfx/kintsugi",
        "option-heartbeat_s": "30",
        "option-reply_address": "/amq/queue/{handle}",
        "option-password": "very secret",
    }
    answer = client.post(f"{PAGE}new/cfx/", asked)
    endpoint = Endpoint.objects.get()
    assert answer.headers["location"] == f"{PAGE}{endpoint.pk}/"
    assert endpoint.options["heartbeat_s"] == 30
    assert endpoint.secrets == [{"secret": "very secret", "until": None}]
    assert "very secret" not in text(client.get(f"{PAGE}{endpoint.pk}/edit/"))
    assert "Kintsugi.Inspection.L1" in text(client.get(f"{PAGE}{endpoint.pk}/"))
    again = {**asked, "option-password": "", "option-heartbeat_s": "40"}
    client.post(f"{PAGE}{endpoint.pk}/edit/", again)
    endpoint.refresh_from_db()
    assert endpoint.options["heartbeat_s"] == 40
    assert endpoint.secrets[0]["secret"] == "very secret", "empty keeps it"
    refused = client.post(f"{PAGE}new/cfx/", {**asked, "name": "x", "option-handle": "no"})
    assert refused.context["form"].errors.keys() == {"option-handle"}


def test_the_list_says_how_each_does(client: Client) -> None:
    trouble = EndpointFactory(name="Trouble", last_error="The receiver answered 503.")
    EndpointFactory(name="Off", disabled_at=timezone.now(), disabled_because="moved")
    now = timezone.now()
    EndpointFactory(name="Well", lease_expires_at=now + timedelta(minutes=1), connected_at=now)
    EndpointFactory(name="Alone")
    for state in ("waiting", "waiting", "given_up", "delivered"):
        DeliveryFactory(endpoint=trouble, state=state)
    found = {one.endpoint.name: one for one in client.get(PAGE).context["standings"]}
    assert {name: one.word for name, one in found.items()} == {
        "Trouble": "trouble", "Off": "off", "Well": "connected", "Alone": "idle",
    }  # fmt: skip
    assert (found["Trouble"].waiting, found["Trouble"].given_up) == (2, 1)
    page = text(client.get(PAGE))
    assert "The receiver answered 503." in page
    assert "moved" in page


def test_the_list_asks_as_often_for_many_as_for_one(
    client: Client, django_assert_max_num_queries: Any
) -> None:
    for _ in range(10):
        DeliveryFactory()
    with django_assert_max_num_queries(12):
        client.get(PAGE)


def test_the_log_is_narrowed(client: Client) -> None:
    endpoint = EndpointFactory()
    unit = UnitFactory(serial_number="SN-7")
    mine = DeliveryFactory(endpoint=endpoint, key=f"unit:{unit.pk}")
    old = DeliveryFactory(endpoint=endpoint, state="given_up", event__type="run.finished")
    Delivery.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(days=3))
    DeliveryFactory(key=f"unit:{unit.pk}")

    def rows(**asked: str) -> list[Delivery]:
        found = client.get(f"{PAGE}{endpoint.pk}/", asked).context["rows"]
        assert {serial for _, serial in found} <= {"S1"}
        return [one for one, _ in found]

    assert rows() == [old, mine]
    assert rows(state="given_up") == rows(type="run.finished") == [old]
    assert rows(about="SN-7") == rows(about=str(mine.event_id)) == [mine]
    assert rows(since=timezone.localdate().isoformat()) == [mine]
    assert rows(after=str(old.pk)) == [mine]
    for nonsense in ({"state": "x"}, {"type": "x"}, {"about": "SN-8"}, {"after": "x"}):
        assert rows(**nonsense) == []


def test_a_delivery_shows_its_tries_and_goes_again(client: Client) -> None:
    delivery = DeliveryFactory(state="given_up", attempt=1)
    DeliveryAttempt.objects.create(
        delivery=delivery, number=1, status_code=500, error="The receiver answered 500.",
        answer="<script>alert(1)</script>",
    )  # fmt: skip
    address = f"/settings/deliveries/{delivery.pk}/"
    page = text(client.get(address))
    assert "The receiver answered 500." in page
    assert "&quot;serial_number&quot;: &quot;S1&quot;" in page
    assert "<script>alert(1)</script>" not in page
    assert client.post(f"{address}replay/").status_code == 302
    delivery.refresh_from_db()
    assert delivery.state == "waiting"
    Delivery.objects.update(next_attempt_at=timezone.now() + timedelta(hours=2), attempt=3)
    client.post(f"{address}now/")
    delivery.refresh_from_db()
    assert delivery.next_attempt_at <= timezone.now()


def test_buttons_do_what_they_say(client: Client) -> None:
    endpoint = EndpointFactory()
    page = f"{PAGE}{endpoint.pk}/"
    answer = client.post(f"{page}test/")
    assert answer.headers["location"] == reverse("delivery", args=[Delivery.objects.get().pk])
    Delivery.objects.update(state="given_up")
    day = timezone.localdate().isoformat()
    refused = client.post(f"{page}replay/", {"since": day, "until": "soon"}, follow=True)
    assert "Choose until when." in text(refused)
    for days in ({"since": "0001-01-01", "until": day}, {"since": day, "until": "9999-12-31"}):
        assert "Choose " in text(client.post(f"{page}replay/", days, follow=True))
        assert client.get(page, days).status_code == 200
    assert Delivery.objects.get().state == "given_up"
    said = client.post(f"{page}replay/", {"since": day, "until": day}, follow=True)
    assert "1 event is on its way again." in text(said)
    client.post(f"{page}disable/")
    assert not Endpoint.objects.get().enabled
    client.post(f"{page}enable/")
    assert Endpoint.objects.get().enabled
    assert client.post(f"{page}fly/").status_code == 404
    client.post(f"{page}delete/")
    assert not Endpoint.objects.exists()


def test_everything_of_some_days_is_sent_again_from_the_page(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = EndpointFactory()
    page = f"{PAGE}{endpoint.pk}/"
    made = [DeliveryFactory(endpoint=endpoint, state="delivered") for _ in range(3)]
    old = DeliveryFactory(
        endpoint=endpoint, state="delivered", created_at=timezone.now() - timedelta(days=4)
    )
    assert 'name="until"' in client.get(page).content.decode()
    today = timezone.localdate()
    asked = {"since": today.isoformat(), "until": today.isoformat(), "state": "delivered"}
    monkeypatch.setattr(endpoints, "MOST_REPLAYED", 2)
    said = client.post(f"{page}replay/", asked).content.decode()
    assert "2 events are on their way again." in said
    assert "There are more: send again when these have arrived." in said
    assert 'value="delivered" selected' in said, "the form asks for the same"
    # What was sent is delivered by now: the form goes on with the rest all the same.
    Delivery.objects.filter(state="waiting").update(state="delivered")
    asked["shown_at"] = re.findall(r'name="shown_at" value="([^"]+)"', said)[0]
    said = text(client.post(f"{page}replay/", asked, follow=True))
    assert "1 event is on its way again." in said
    Delivery.objects.filter(pk__in=[m.pk for m in made]).update(state="waiting")
    assert "There are more" not in said
    assert {one.state for one in Delivery.objects.filter(pk__in=[m.pk for m in made])} == {
        "waiting"
    }
    assert Delivery.objects.get(pk=old.pk).state == "delivered"
    tomorrow = (today + timedelta(days=2)).isoformat()
    refused = client.post(f"{page}replay/", {**asked, "since": tomorrow}, follow=True)
    assert "The end must come after the beginning." in text(refused)
    refused = client.post(f"{page}replay/", {**asked, "state": "waiting"}, follow=True)
    assert "what waits is on its way already" in text(refused)


def test_what_one_may_not_change_does_not_exist() -> None:
    product = ProductFactory()
    own = EndpointFactory(product=product, name="own")
    of_all = EndpointFactory(name="of all")
    engineer = signed_in(MembershipFactory(product=product, role="engineer").user)
    viewer = signed_in(MembershipFactory(product=product, role="viewer").user)
    page = text(engineer.get(PAGE))
    assert "own" in page
    assert "of all" not in page
    for client, endpoint, status in (
        (engineer, own, 200), (engineer, of_all, 404), (viewer, own, 404), (viewer, of_all, 404),
    ):  # fmt: skip
        delivery = DeliveryFactory(endpoint=endpoint, state="delivered")
        for address in (f"{PAGE}{endpoint.pk}/", f"{PAGE}{endpoint.pk}/edit/",
                        f"/settings/deliveries/{delivery.pk}/"):  # fmt: skip
            assert client.get(address).status_code == status, address
        if status == 404:
            for address in (f"{PAGE}{endpoint.pk}/delete/", f"{PAGE}{endpoint.pk}/rotate/",
                            f"/settings/deliveries/{delivery.pk}/replay/"):  # fmt: skip
                assert client.post(address).status_code == 404
    asked = {"name": "x", "address": "https://mes.example/"}
    assert viewer.post(f"{PAGE}new/webhook/", asked).status_code == 200
    engineer.post(f"{PAGE}new/webhook/", asked)
    assert not Endpoint.objects.filter(name="x").exists(), "for all products it is not theirs"
    engineer.post(f"{PAGE}new/webhook/", {**asked, "product": str(product.pk)})
    assert Endpoint.objects.get(name="x").product == product
