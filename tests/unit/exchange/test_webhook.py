"""The webhook courier against receivers that answer well, badly, slowly, or not at all."""

import base64
import json
import ssl
import subprocess
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from inspection.exchange import webhook
from inspection.exchange.couriers import Outcome, make
from inspection.exchange.webhook import WebhookCourier
from inspection.models import Delivery
from inspection.services.webhook_signing import SECRET_BYTES, in_force, new_secret, signature
from tests.factories.exchange import DeliveryFactory, EndpointFactory
from tests.factories.exchange import new_secret as secret_of
from tests.receivers import (
    Answer,
    Receiver,
    drip_body,
    drip_headers,
    flood,
    hang,
    receiver,
    redirect_to,
    silent_port,
)
from tests.unit.exchange.reference import is_signed_by
from tests.unit.exchange.test_webhook_addresses import resolve_to
from webapp.networks import networks

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def loopback_is_listed(settings: Settings) -> None:
    settings.WEBHOOK_ALLOWED_CIDRS = networks(["127.0.0.1/32"])


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> float:
    """So that a test of slowness takes seconds."""
    monkeypatch.setattr(webhook, "TIMEOUT_S", 2.0)
    return 2.0


def delivery_to(url: str, **fields: Any) -> Delivery:
    return DeliveryFactory(endpoint=EndpointFactory(address=url), **fields)


def deliver(delivery: Delivery) -> Outcome:
    courier = make(delivery.endpoint)
    assert isinstance(courier, WebhookCourier)
    courier.open()
    try:
        return courier.deliver(delivery)
    finally:
        courier.close()


def deliver_to(answer: Answer) -> tuple[Outcome, Receiver]:
    with receiver(answer) as there:
        return deliver(delivery_to(there.url)), there


# --- what is sent ------------------------------------------------------------------------


def test_the_standards_own_example() -> None:
    signed = signature(
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_secret_is_of_the_size_that_the_standard_asks_for() -> None:
    assert 24 <= SECRET_BYTES <= 64
    assert len(base64.b64decode(new_secret().removeprefix("whsec_"))) == SECRET_BYTES
    assert new_secret() != new_secret()


def test_what_a_receiver_gets() -> None:
    with receiver() as there:
        delivery = delivery_to(there.url)
        outcome = deliver(delivery)
    assert outcome == Outcome.ok(status_code=200, answer="ok")
    (got,) = there.got
    assert got.path == "/hook?line=7"
    assert got.headers["host"] == f"127.0.0.1:{there.port}"
    assert got.headers["content-type"] == "application/json"
    assert got.headers["webhook-id"] == str(delivery.event_id)
    assert abs(int(got.headers["webhook-timestamp"]) - time.time()) < 60
    body = json.loads(got.body)
    assert list(body) == ["type", "timestamp", "data"]
    assert body["type"] == "inspection.completed"
    assert body["data"] == delivery.event.payload
    (kept,) = delivery.endpoint.secrets
    assert is_signed_by(kept["secret"], got)
    assert not is_signed_by(secret_of(), got)


@pytest.mark.parametrize("size", [24, 32, 64])
def test_while_secrets_change_both_sign_and_an_old_one_stops(size: int) -> None:
    now = timezone.now()
    new, old, ended = secret_of(size), secret_of(size), secret_of(size)
    kept = [
        {"secret": new, "until": None},
        {"secret": old, "until": (now + timedelta(hours=1)).isoformat()},
        {"secret": ended, "until": (now - timedelta(seconds=1)).isoformat()},
    ]
    assert in_force(kept) == [new, old]
    with receiver() as there:
        endpoint = EndpointFactory(address=there.url, secrets=kept)
        deliver(DeliveryFactory(endpoint=endpoint))
    (got,) = there.got
    assert len(got.headers["webhook-signature"].split()) == 2
    assert [is_signed_by(one, got) for one in (new, old, ended)] == [True, True, False]


def test_every_try_is_the_same_message_with_a_time_of_its_own() -> None:
    with receiver(500) as there:
        delivery = delivery_to(there.url)
        deliver(delivery)
        time.sleep(1.1)
        deliver(Delivery.objects.get(pk=delivery.pk))
    first, second = there.got
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    assert first.headers["webhook-timestamp"] != second.headers["webhook-timestamp"]
    assert is_signed_by(delivery.endpoint.secrets[0]["secret"], second)


@pytest.mark.parametrize("within", ["alone", "review"])
def test_a_body_stays_under_twenty_kilobytes(within: str) -> None:
    verdict = {"id": "x", "defects": [{"x": n, "note": "字" * 30} for n in range(500)]}
    payload = verdict if within == "alone" else {"review": {"id": 1}, "inspection": verdict}
    delivery = delivery_to("https://mes.example/", event__payload=payload)
    body = webhook.body_of(delivery)
    assert 8_000 < len(body) < 20_000
    said = json.loads(body)["data"]
    kept = (said if within == "alone" else said["inspection"])["defects"]
    assert kept == verdict["defects"][: len(kept)], "the strongest come first"
    assert len(delivery.event.payload.get("defects", verdict["defects"])) == 500


# --- how it is judged --------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_two_hundreds_are_delivered(status: int) -> None:
    outcome, _ = deliver_to(status)
    assert outcome.delivered
    assert outcome.status_code == status


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
def test_anything_else_is_tried_again(status: int) -> None:
    outcome, _ = deliver_to(status)
    assert (outcome.delivered, outcome.final, outcome.gone) == (False, False, False)
    assert (outcome.status_code, outcome.error) == (status, f"The receiver answered {status}.")


def test_a_redirect_is_a_failure_and_is_not_followed() -> None:
    with receiver() as elsewhere:
        outcome, there = deliver_to(redirect_to(elsewhere.url))
        assert elsewhere.got == []
    assert len(there.got) == 1
    assert (outcome.delivered, outcome.status_code, outcome.gone) == (False, 307, False)


def test_gone_ends_an_endpoint_but_of_a_callback_only_this_one() -> None:
    outcome, _ = deliver_to(410)
    assert outcome.gone
    with receiver(410) as there:
        callback = delivery_to("https://mes.example/", address=there.url)
        outcome = deliver(callback)
    assert (outcome.gone, outcome.final, outcome.delivered) == (False, True, False)


@pytest.mark.parametrize("answer", [hang, drip_body, drip_headers])
def test_a_receiver_that_takes_too_long_fails_in_time(answer: Any, short: float) -> None:
    began = time.monotonic()
    outcome, there = deliver_to(answer)
    assert time.monotonic() - began < short + 20
    assert len(there.got) == 1
    assert not outcome.delivered
    assert outcome.error == "No answer within 2 s."


def test_a_handshake_that_never_ends_fails_in_time(short: float) -> None:
    listener, port = silent_port()
    began = time.monotonic()
    with listener:
        outcome = deliver(delivery_to(f"https://127.0.0.1:{port}/"))
    assert time.monotonic() - began < short + 20
    assert outcome.error == "No answer within 2 s."


def test_a_flood_is_not_read(short: float) -> None:
    outcome, _ = deliver_to(flood)
    assert outcome.delivered
    assert len(outcome.answer) <= webhook.MOST_READ


def test_nobody_there() -> None:
    listener, port = silent_port()
    listener.close()
    outcome = deliver(delivery_to(f"http://127.0.0.1:{port}/"))
    assert not outcome.delivered
    assert "ConnectionRefused" in outcome.error


def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        outcome, there = deliver_to(200)
        assert (outcome.delivered, len(there.got), proxy.got) == (True, 1, [])


# --- where it leads ----------------------------------------------------------------------


def test_a_name_that_leads_inside_is_refused(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    settings.WEBHOOK_ALLOWED_CIDRS = ()
    with receiver() as there:
        for scheme in ("http", "https"):
            asked = resolve_to(monkeypatch, ["127.0.0.1"])
            outcome = deliver(delivery_to(f"{scheme}://mes.example:{there.port}/"))
            assert asked == ["mes.example"]
            assert not outcome.delivered
            assert "not public" in outcome.error
        assert there.got == []


def test_a_name_that_changes_its_mind_is_resolved_once(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    """Rebinding: what is checked is what is connected to, whatever the name leads to next."""
    settings.WEBHOOK_ALLOWED_CIDRS = networks(["127.0.0.2/32"])
    with receiver() as inside:
        asked = resolve_to(monkeypatch, ["127.0.0.2"], ["127.0.0.1"])
        outcome = deliver(delivery_to(f"http://rebind.test:{inside.port}/"))
        assert asked == ["rebind.test"]
        assert not outcome.delivered, "nobody listens at 127.0.0.2, which was checked"
        outcome = deliver(delivery_to(f"http://rebind.test:{inside.port}/"))
        assert "not public" in outcome.error
        assert inside.got == []


# --- TLS ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"]
    command += ["-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", "/CN=mes.plant.test"]
    command += ["-addext", "subjectAltName=DNS:mes.plant.test"]
    command += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.mark.parametrize(
    ("name", "trusted", "works"),
    [("mes.plant.test", True, True), ("other.test", True, False), ("mes.plant.test", False, False)],
)
def test_the_certificate_must_be_the_hosts(
    monkeypatch: pytest.MonkeyPatch, certificate: Path, name: str, trusted: bool, works: bool
) -> None:
    """The connection goes to an address, the certificate is held against the name."""
    resolve_to(monkeypatch, ["127.0.0.1"])
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    with receiver(tls=tls) as there:
        outcome = deliver(delivery_to(f"https://{name}:{there.port}/x"))
        assert outcome.delivered == works, outcome.error
        assert len(there.got) == int(works)
        if works:
            assert there.got[0].headers["host"] == f"{name}:{there.port}"
        else:
            assert "CERTIFICATE_VERIFY_FAILED" in outcome.error
