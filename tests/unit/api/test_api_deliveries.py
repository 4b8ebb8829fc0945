"""What became of events, as programs ask: the log narrowed as the page does, sent again by time."""

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.utils import timezone

from inspection.ids import first_id_of
from inspection.models import AuditEvent, Delivery, Endpoint, EventType
from inspection.services import endpoints
from tests.factories.api_key import Program, key_of
from tests.factories.exchange import DeliveryFactory, EndpointFactory, OutboxEventFactory
from tests.factories.membership import MembershipFactory
from tests.factories.product import ProductFactory
from tests.factories.unit import UnitFactory
from tests.factories.user import UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def endpoint() -> Endpoint:
    return EndpointFactory()


@pytest.fixture
def program() -> Program:
    return Program(key_of(UserFactory(role="administrator"), ["webhooks:read", "webhooks:write"]))


def an_hour() -> dict[str, datetime]:
    now = timezone.now()
    return {"since": now - timedelta(hours=1), "until": now}


def told(span: dict[str, datetime]) -> dict[str, str]:
    return {name: moment.isoformat() for name, moment in span.items()}


def again(program: Program, endpoint: Endpoint, body: dict[str, Any]) -> Any:
    return program.json("POST", f"endpoints/{endpoint.pk}/deliveries/replay", body)


def test_everything_of_a_time_and_state_is_sent_again_once(
    program: Program, endpoint: Endpoint
) -> None:
    given_up = [DeliveryFactory(endpoint=endpoint, state="given_up") for _ in range(3)]
    delivered = DeliveryFactory(endpoint=endpoint, state="delivered")
    elsewhere = DeliveryFactory(state="given_up")
    old = DeliveryFactory(
        endpoint=endpoint, state="given_up", created_at=timezone.now() - timedelta(days=9)
    )
    body = {"state": "given_up", **told(an_hour())}
    answer = again(program, endpoint, body)
    assert answer.status_code == 200, answer.content
    assert answer.json() == {"replayed": 3, "more": False}
    waiting = Delivery.objects.filter(state="waiting").order_by("id")
    assert list(waiting) == given_up
    assert again(program, endpoint, body).json() == {"replayed": 0, "more": False}
    for other in (delivered, elsewhere, old):
        before = other.state
        other.refresh_from_db()
        assert other.state == before
    event = AuditEvent.objects.get(action="endpoint.replayed")
    assert (event.after["state"], event.after["count"]) == ("given_up", 3)


def test_more_than_fits_is_gone_on_with_by_the_same_request(
    program: Program, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "MOST_REPLAYED", 2)
    for _ in range(3):
        DeliveryFactory(endpoint=endpoint, state="delivered")
    body = {"state": "delivered", **told(an_hour())}
    assert again(program, endpoint, body).json() == {"replayed": 2, "more": True}
    refused = again(program, endpoint, body)
    assert refused.status_code == 409
    assert refused.json()["code"] == "still_replaying"
    Delivery.objects.filter(state="waiting").update(state="delivered")
    said = [again(program, endpoint, body).json() for _ in range(2)]
    assert [(one["replayed"], one["more"]) for one in said] == [(1, False), (0, False)]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"state": "waiting"}, "/state"),
        ({"state": None}, "/state"),
        ({"since": "yesterday"}, "/since"),
        ({"until": "2020-01-01T00:00:00Z"}, "/until"),
        ({"until": "2126-01-01T00:00:00Z"}, "/until"),
        ({"type": "review.recorded"}, "/type"),
    ],
)
def test_what_means_nothing_names_its_field(
    program: Program, endpoint: Endpoint, change: dict[str, Any], pointer: str
) -> None:
    delivery = DeliveryFactory(endpoint=endpoint, state="given_up")
    answer = again(program, endpoint, {"state": "given_up", **told(an_hour()), **change})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer
    delivery.refresh_from_db()
    assert delivery.state == "given_up"


def test_it_takes_who_may_change_the_endpoint(endpoint: Endpoint) -> None:
    body = {"state": "given_up", **told(an_hour())}
    product = ProductFactory()
    own = EndpointFactory(product=product)
    engineer = Program(key_of(MembershipFactory(product=product, role="engineer").user))
    inspector = Program(key_of(MembershipFactory(product=product, role="inspector").user))
    assert again(engineer, own, body).status_code == 200
    assert again(engineer, endpoint, body).status_code == 404
    assert again(inspector, own, body).status_code == 404
    reader = Program(key_of(UserFactory(role="administrator"), ["webhooks:read"]))
    assert again(reader, own, body).status_code == 403


def test_the_log_is_narrowed_as_on_its_page(program: Program, endpoint: Endpoint) -> None:
    unit = UnitFactory(serial_number="SN77")
    run = OutboxEventFactory(type=EventType.RUN_FINISHED)
    of_run = DeliveryFactory(endpoint=endpoint, event=run)
    of_part = DeliveryFactory(endpoint=endpoint, key=f"unit:{unit.pk}", state="delivered")
    days_ago = timezone.now() - timedelta(days=9)
    old = DeliveryFactory(endpoint=endpoint, id=first_id_of(days_ago), created_at=days_ago)
    hour = told({"since": timezone.now() - timedelta(hours=1)})
    before = told({"until": timezone.now() - timedelta(days=1)})
    for asked, found in (
        ({"type": "run.finished"}, [of_run]),
        ({"about": "SN77"}, [of_part]),
        ({"about": str(run.pk)}, [of_run]),
        ({"about": "SN78"}, []),
        ({"state": "delivered", "about": "SN77"}, [of_part]),
        (hour, [of_part, of_run]),
        (before, [old]),
    ):
        path = f"endpoints/{endpoint.pk}/deliveries?{urlencode(asked)}"
        rows = program.json("GET", path).json()["results"]
        assert [row["id"] for row in rows] == [str(one.pk) for one in found], asked
    path = f"endpoints/{endpoint.pk}/deliveries?type=rumour"
    assert program.json("GET", path).json()["errors"][0]["pointer"] == "/type"


def test_one_delivery_is_told_with_what_is_sent_and_tried_now(
    program: Program, endpoint: Endpoint
) -> None:
    later = timezone.now() + timedelta(hours=2)
    delivery = DeliveryFactory(endpoint=endpoint, next_attempt_at=later)
    at = f"endpoints/{endpoint.pk}/deliveries/{delivery.pk}"
    assert program.json("GET", at).json()["payload"] == delivery.event.payload
    assert program.json("POST", f"{at}/now").status_code == 200
    delivery.refresh_from_db()
    assert delivery.next_attempt_at <= timezone.now()
    Delivery.objects.update(state="delivered")
    refused = program.json("POST", f"{at}/now")
    assert (refused.status_code, refused.json()["code"]) == (409, "not_waiting")
    other = f"endpoints/{EndpointFactory().pk}/deliveries/{delivery.pk}"
    assert program.json("GET", other).status_code == 404
    assert program.json("POST", f"{other}/now").status_code == 404


def test_how_an_endpoint_does_is_told(program: Program, endpoint: Endpoint) -> None:
    first = DeliveryFactory(endpoint=endpoint)
    DeliveryFactory(endpoint=endpoint)
    DeliveryFactory(endpoint=endpoint, state="given_up")
    DeliveryFactory(endpoint=endpoint, state="delivered")
    DeliveryFactory()
    told = program.json("GET", f"endpoints/{endpoint.pk}/standing").json()
    assert (told["word"], told["waiting"], told["given_up"]) == ("idle", 2, 1)
    assert datetime.fromisoformat(told["oldest"]) == first.created_at
