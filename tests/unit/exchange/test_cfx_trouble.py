"""CFX messages that cannot be answered: taken off the queue, or they would come back for ever."""

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from django.db import DataError, InterfaceError, OperationalError, connection

from inspection.exchange.couriers import Away
from inspection.models import Endpoint, Review, Role
from tests.brokers import library
from tests.factories.inspection import InspectionFactory
from tests.factories.membership import MembershipFactory
from tests.unit.exchange.test_cfx_requests import HANDLE, INSPECTED, MES, endpoint

library("proton", "cfx")
from inspection.exchange.cfx import courier as module  # noqa: E402
from inspection.exchange.cfx import link  # noqa: E402
from inspection.exchange.cfx.courier import CfxCourier  # noqa: E402
from inspection.exchange.cfx.envelopes import Envelope, NotCfxError, read  # noqa: E402

pytestmark = pytest.mark.django_db(transaction=True)
REPLY_TO = "/queue/replies"


class Answers:
    """A link that remembers what was answered; `breaks` is raised instead."""

    def __init__(self, breaks: Exception | None = None) -> None:
        self.given: list[tuple[Envelope, str]] = []
        self.breaks = breaks

    def answer(self, told: Envelope, address: str) -> None:
        if self.breaks:
            raise self.breaks
        self.given.append((told, address))


def message(name: str, *, source: str = MES, **body: Any) -> bytes:
    said = {
        "MessageName": name,
        "TimeStamp": "2026-11-23T12:00:00.000+00:00",
        "UniqueID": str(uuid4()),
        "Source": source,
        "Target": HANDLE,
        "RequestID": "R-1",
        "MessageBody": body,
    }
    return json.dumps(said).encode()


def arrives(to: Endpoint, text: bytes, breaks: Exception | None = None) -> Answers:
    """What is answered; what is raised would leave the message with the broker."""
    there = Answers(breaks)
    courier = CfxCourier(to)
    courier._link = there  # type: ignore[assignment]
    courier._on_message(text, REPLY_TO)
    return there


def raising(error: Exception) -> Callable[..., None]:
    def answer(*_: object) -> None:
        raise error

    return answer


def test_a_request_that_the_database_refuses_is_answered_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "answer", raising(DataError("NUL")))
    ((told, address),) = arrives(endpoint(), message("CFX.AreYouThereRequest")).given
    assert (told.name, told.request_id, address) == ("CFX.NotSupportedResponse", "R-1", REPLY_TO)
    assert told.body["RequestResult"]["Result"] == "Failed"


def test_what_tells_instead_of_asking_is_taken_off_without_a_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "answer", raising(DataError("NUL")))
    assert arrives(endpoint(), message(INSPECTED)).given == []


@pytest.mark.parametrize("outage", [OperationalError("gone"), InterfaceError("closed")])
def test_an_outage_leaves_the_message_with_the_broker(
    monkeypatch: pytest.MonkeyPatch, outage: Exception
) -> None:
    monkeypatch.setattr(module, "answer", raising(outage))
    with pytest.raises(Away, match="the database is away"):
        arrives(endpoint(), message("CFX.AreYouThereRequest"))


def test_who_asks_under_a_name_that_no_message_carries_gets_no_answer() -> None:
    broken = UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed")
    assert arrives(endpoint(), message("CFX.AreYouThereRequest"), broken).given == []


def test_a_recipe_with_a_nul_is_refused() -> None:
    asked = message("CFX.Production.ActivateRecipeRequest", RecipeName="a\x00b", Revision="")
    ((told, _),) = arrives(endpoint(may_activate=True), asked).given
    (result,) = [one for key, one in told.body.items() if key.endswith("Result")]
    assert result["Result"] == "Failed"


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite stores a NUL")
def test_one_verification_with_a_nul_leaves_the_others_of_its_message() -> None:
    part = InspectionFactory()
    product = part.viewpoint.product
    reviewer = MembershipFactory(product=product, role=Role.INSPECTOR).user
    one = endpoint(reviewer=reviewer.username)

    def said(key: object, code: str) -> dict[str, Any]:
        defects = [{"DefectCode": code}]
        state = "DefectConfirmed"
        return {"UniqueIdentifier": str(key), "Verification": state, "DefectsFound": defects}

    units = [{"Inspections": [said(part.pk, "A\x00"), said(part.pk, "")]}]
    arrives(one, message(INSPECTED, InspectedUnits=units))
    assert Review.objects.get().inspection == part


@pytest.mark.parametrize("body", [{"a": 1}, 1.5, 10**13, [1], None, "x" * 1_000_001])
def test_a_body_that_is_no_text_is_no_envelope(body: Any) -> None:
    """A number as bytes would be so many zeros, a terabyte of them."""
    assert link._text(SimpleNamespace(body=body)) == b""


def test_text_and_bytes_are_read_as_they_are() -> None:
    for body in ("{}", b"{}", bytearray(b"{}"), memoryview(b"{}")):
        assert link._text(SimpleNamespace(body=body)) == b"{}"


@pytest.mark.parametrize("text", [b"", b"[" * 100_000, b'{"a":' * 100_000])
def test_what_is_nested_too_deep_is_no_envelope(text: bytes) -> None:
    with pytest.raises(NotCfxError):
        read(text)
