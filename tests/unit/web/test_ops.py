"""What the plant's IT sees: health, readiness, metrics, request ids, outages, first passwords."""

import json
import logging
import socket
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.db import OperationalError
from django.test import AsyncClient, Client
from django.urls import reverse
from django.utils import timezone
from redis.exceptions import ConnectionError as RedisAway

from inspection import logs
from inspection.models import User
from inspection.services import disk
from inspection.services import products as product_service
from inspection.services import users as user_service
from inspection.web import ops, prometheus
from tests.factories.batch import BatchFactory
from tests.factories.exchange import DeliveryFactory, EndpointFactory
from tests.factories.upload import UploadFactory, UploadReceiptFactory
from tests.factories.user import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db
NEW_PASSWORD = "another long password"


@pytest.fixture(autouse=True)
def _fresh_counts() -> None:
    prometheus.forget()


@pytest.fixture
def signed_in(client: Client) -> Client:
    client.force_login(UserFactory(role="administrator"))
    return client


@pytest.fixture
def no_redis(settings) -> None:
    """Redis's address is a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    location = f"redis://127.0.0.1:{port}/0"
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": location}}


def away(*args: object, **kwargs: object) -> None:
    raise OperationalError("connection to server at 10.0.0.5 failed")


# --- healthz, readyz ---------------------------------------------------------------------


def test_healthz_asks_nobody(client: Client, no_redis, django_assert_num_queries) -> None:
    with django_assert_num_queries(0):
        answer = client.get("/healthz")
    assert (answer.status_code, answer.content) == (200, b"ok\n")


def test_readyz_says_what_it_looked_at(client: Client) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 200, answer.json()
    checks = answer.json()["checks"]
    assert set(checks) == {"database", "migrations", "redis", "disk"}
    assert all(check["ok"] for check in checks.values())


def failed(client: Client) -> dict[str, dict]:
    answer = client.get("/readyz")
    assert answer.status_code == 503
    return {name: check for name, check in answer.json()["checks"].items() if not check["ok"]}


def test_not_ready_without_redis(client: Client, no_redis) -> None:
    assert set(failed(client)) == {"redis"}


def test_not_ready_without_a_database(client: Client, monkeypatch) -> None:
    monkeypatch.setattr(ops, "_database", away)
    found = failed(client)
    assert set(found) == {"database"}
    assert "10.0.0.5" not in json.dumps(found)


def test_not_ready_on_a_full_disk(client: Client, settings) -> None:
    settings.MIN_FREE_GB = disk.free_gb() + 1000
    assert "GB needed" in failed(client)["disk"]["found"]


def test_not_ready_before_migrations(client: Client, monkeypatch) -> None:
    monkeypatch.setattr(ops, "_migrated", False)
    monkeypatch.setattr(ops.MigrationExecutor, "migration_plan", lambda *_: [object()])
    assert "manage.py migrate" in failed(client)["migrations"]["found"]


# --- metrics -----------------------------------------------------------------------------


def scraped(client: Client, **headers: str) -> str:
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == 200
    return answer.content.decode()


def test_metrics_count_what_is_in_the_database(client: Client) -> None:
    UploadReceiptFactory(outcome="refused")
    UploadFactory(state="queued")
    BatchFactory()
    text = scraped(client)
    assert 'kintsugi_jobs{kind="upload",state="queued"} 1.0' in text
    assert 'kintsugi_jobs{kind="scoringchunk",state="failed"} 0.0' in text
    assert 'kintsugi_upload_receipts{outcome="refused"} 1.0' in text
    assert 'kintsugi_oldest_queued_seconds{kind="upload"}' in text
    assert "kintsugi_redis_up 1.0" in text
    assert "kintsugi_database_up 1.0" in text
    assert "kintsugi_free_disk_bytes" in text


def test_metrics_say_what_waits_for_each_endpoint(client: Client) -> None:
    now = timezone.now()
    up = EndpointFactory(name="MES", connected_at=now, lease_expires_at=now + timedelta(minutes=1))
    DeliveryFactory(endpoint=up)
    DeliveryFactory(endpoint=up, state="delivered")
    # its process was killed: what it wrote last says nothing any more
    EndpointFactory(name="Dead", connected_at=now, lease_expires_at=now - timedelta(seconds=1))
    text = scraped(client)
    assert 'kintsugi_deliveries_waiting{endpoint="MES",kind="webhook"} 1.0' in text
    assert 'kintsugi_deliveries_waiting{endpoint="Dead",kind="webhook"} 0.0' in text
    assert 'kintsugi_endpoint_connected{endpoint="MES",kind="webhook"} 1.0' in text
    assert 'kintsugi_endpoint_connected{endpoint="Dead",kind="webhook"} 0.0' in text


def test_requests_are_measured_by_page_and_never_by_address(signed_in: Client) -> None:
    product = product_service.create_product(None, code="PN-1", name="Relay board")
    signed_in.get(reverse("product", args=[product.pk]))
    text = scraped(signed_in)
    labels = 'method="GET",route="product",status="200"'
    assert f"kintsugi_http_request_seconds_count{{{labels}}}" in text
    assert str(product.pk) not in text


def test_metrics_without_database_and_redis_still_answer(
    client: Client, no_redis, monkeypatch
) -> None:
    monkeypatch.setattr(prometheus, "_jobs", away)
    text = scraped(client)
    assert "kintsugi_database_up 0.0" in text
    assert "kintsugi_redis_up 0.0" in text


def test_metrics_may_need_a_token(client: Client, settings) -> None:
    settings.METRICS_TOKEN = "secret"
    assert client.get("/metrics").status_code == 401
    wrong = client.get("/metrics", headers={"Authorization": "Bearer sécret"})
    assert wrong.status_code == 401
    assert "kintsugi" in scraped(client, Authorization="Bearer secret")


# --- request ids -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "kept"),
    [("proxy-42.a_b", True), ("x" * 65, False), ("a b", False), ("<script>", False), ("", False)],
)
def test_a_sane_request_id_is_kept(client: Client, given: str, kept: bool) -> None:
    answer = client.get("/healthz", headers={"X-Request-ID": given})
    assert (answer["X-Request-ID"] == given) is kept
    assert len(answer["X-Request-ID"]) >= 8


async def test_request_ids_under_asgi(async_client: AsyncClient) -> None:
    answer = await async_client.get("/healthz", headers={"X-Request-ID": "proxy-7"})
    assert answer["X-Request-ID"] == "proxy-7"


def test_the_log_line_of_a_request_has_its_id(client: Client, caplog) -> None:
    caplog.handler.addFilter(logs.AddIds())
    with caplog.at_level(logging.INFO, logger="kintsugi.request"):
        client.get(reverse("account_login"), headers={"X-Request-ID": "proxy-9"})
    line = next(record for record in caplog.records if record.name == "kintsugi.request")
    assert (line.request_id, line.route, line.status) == ("proxy-9", "account_login", 200)


# --- outages -----------------------------------------------------------------------------


@pytest.fixture
def unraised(client: Client) -> Client:
    """A client that shows the error page where the test client would raise."""
    client.raise_request_exception = False
    client.force_login(UserFactory(role="administrator"))
    return client


@pytest.mark.parametrize("error", [OperationalError("at 10.0.0.5"), RedisAway("at 10.0.0.5")])
def test_an_outage_in_a_view_is_explained(unraised: Client, monkeypatch, error) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr("inspection.policies.role_for", fail)
    answer = unraised.get(reverse("products"))
    assert answer.status_code == 503
    assert int(answer["Retry-After"]) > 0
    page = answer.content.decode()
    assert "does not answer" in page
    assert "10.0.0.5" not in page
    assert "Traceback" not in page


def test_an_outage_before_the_view_is_explained(unraised: Client, monkeypatch) -> None:
    monkeypatch.setattr("django.contrib.sessions.backends.db.SessionStore.load", away)
    answer = unraised.get(reverse("products"))
    assert answer.status_code == 503
    assert "The database does not answer" in answer.content.decode()
    answer = unraised.get(reverse("products"), headers={"Accept": "application/json"})
    assert answer.json()["code"] == "database_unreachable"


def test_another_error_is_a_plain_page_with_its_number(unraised: Client, monkeypatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr("django.contrib.sessions.backends.db.SessionStore.load", fail)
    answer = unraised.get(reverse("products"), headers={"X-Request-ID": "find-me-1"})
    assert answer.status_code == 500
    page = answer.content.decode()
    assert "find-me-1" in page
    assert "secret detail" not in page


def test_sign_in_without_redis_is_explained(client: Client, no_redis) -> None:
    cache.close()
    client.raise_request_exception = False
    UserFactory(username="ida")
    answer = client.post(reverse("account_login"), {"login": "ida", "password": PASSWORD})
    assert answer.status_code == 503
    assert "Redis, the queue, does not answer" in answer.content.decode()


# --- the first password ------------------------------------------------------------------


@pytest.fixture
def newcomer(client: Client) -> tuple[User, str]:
    who, password = user_service.create_user(None, username="ida", role="engineer")
    client.post(reverse("account_login"), {"login": "ida", "password": password})
    assert "_auth_user_id" in client.session
    return who, password


def test_nothing_opens_before_the_password_is_changed(client: Client, newcomer) -> None:
    answer = client.get(reverse("products"))
    assert answer.status_code == 302
    assert answer["Location"] == reverse("account_change_password")
    assert client.get(answer["Location"]).status_code == 200
    assert client.get("/healthz").status_code == 200
    htmx = client.get(reverse("products"), headers={"HX-Request": "true"})
    assert htmx["HX-Redirect"] == reverse("account_change_password")
    program = client.get(reverse("products"), headers={"Accept": "application/json"})
    assert program.status_code == 403


def change(client: Client, old: str, new: str) -> int:
    fields = {"oldpassword": old, "password1": new, "password2": new}
    return client.post(reverse("account_change_password"), fields).status_code


def test_the_one_time_password_cannot_be_kept(client: Client, newcomer) -> None:
    who, password = newcomer
    change(client, password, password)
    who.refresh_from_db()
    assert who.must_change_password


def test_a_password_of_their_own_opens_everything(client: Client, newcomer) -> None:
    who, password = newcomer
    assert change(client, password, NEW_PASSWORD) == 302
    who.refresh_from_db()
    assert not who.must_change_password
    assert client.get(reverse("products")).status_code == 200


def test_nobody_signs_up(client: Client) -> None:
    client.post(
        reverse("account_signup"),
        {"username": "me", "password1": NEW_PASSWORD, "password2": NEW_PASSWORD},
    )
    assert not User.objects.filter(username="me").exists()
