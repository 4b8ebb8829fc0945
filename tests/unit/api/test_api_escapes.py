"""Defects found downstream, as an MES reports them."""

import pytest

from inspection.models import Escape, Unit
from tests.factories.api_key import Program, key_of
from tests.factories.membership import MembershipFactory
from tests.factories.product import ProductFactory
from tests.factories.review import EscapeFactory, ReasonCodeFactory, UnitFactory
from tests.factories.user import UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def mes() -> Program:
    return Program(key_of(UserFactory(role="inspector")))


@pytest.fixture
def positions() -> list[Unit]:
    """As CFX sends a panel: one serial number with positions 1 to 4."""
    product = ProductFactory(code="BOARD-A")
    return [
        UnitFactory(product=product, serial_number="SN1", panel_id="P1", position_number=n)
        for n in range(1, 5)
    ]


def test_a_position_is_named_as_it_was_submitted(mes: Program, positions: list[Unit]) -> None:
    ReasonCodeFactory(product=positions[0].product, code="BRIDGE")
    said = {"serial_number": "SN1", "panel_id": "P1", "found_where": "Line 2"}
    refused = mes.json("POST", "escapes", {**said, "reason_code": "BRIDGE"})
    assert (refused.status_code, refused.json()["code"]) == (422, "ambiguous_unit")
    assert refused.json()["errors"][0]["pointer"] == "/position_number"
    assert "1, 2, 3, 4" in refused.json()["detail"]
    asked = {**said, "position_number": 3, "reason_code": "BRIDGE"}
    told = mes.json("POST", "escapes", asked)
    assert told.status_code == 201, told.content
    assert {k: told.json()[k] for k in ("panel_id", "position_number", "reason_code")} == {
        "panel_id": "P1",
        "position_number": 3,
        "reason_code": "BRIDGE",
    }
    assert Escape.objects.get().unit == positions[2]


def test_a_unit_without_a_serial_number(mes: Program) -> None:
    unit = UnitFactory(serial_number="", panel_id="P2", position_number=4)
    asked = {"panel_id": "P2", "position_number": 4, "found_where": "Line 2"}
    told = mes.json("POST", "escapes", asked)
    assert (told.status_code, told.json()["serial_number"]) == (201, "")
    assert Escape.objects.get().unit == unit
    found = mes.json("GET", "escapes?panel_id=P2").json()["results"]
    assert [row["id"] for row in found] == [told.json()["id"]]
    assert mes.json("GET", "escapes?panel_id=P3").json()["results"] == []
    nameless = mes.json("POST", "escapes", {"found_where": "Line 2"})
    assert (nameless.status_code, nameless.json()["code"]) == (422, "no_such_unit")


def test_what_is_sent_again_is_there_already(mes: Program) -> None:
    UnitFactory(serial_number="SN7")
    said = {"serial_number": "SN7", "found_where": "Line 2"}
    first = mes.json("POST", "escapes", said, **{"Idempotency-Key": '"k-1"'})
    again = mes.json("POST", "escapes", said, **{"Idempotency-Key": "k-1"})
    bare = mes.json("POST", "escapes", said)
    assert [one.status_code for one in (first, again, bare)] == [201, 200, 200]
    assert {one.json()["id"] for one in (first, again, bare)} == {first.json()["id"]}
    other = {**said, "comment": "another"}
    refused = mes.json("POST", "escapes", other, **{"Idempotency-Key": "k-1"})
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
    unreadable = mes.json("POST", "escapes", said, **{"Idempotency-Key": "k" * 300})
    assert (unreadable.status_code, unreadable.json()["code"]) == (400, "idempotency_key_invalid")


def test_a_wrong_one_is_withdrawn_and_stays_on_the_list(mes: Program) -> None:
    UnitFactory(serial_number="SN7")
    made = mes.json("POST", "escapes", {"serial_number": "SN7", "found_where": "Line 2"}).json()
    at = f"escapes/{made['id']}/withdraw"
    assert mes.json("POST", at, {}).status_code == 422
    told = mes.json("POST", at, {"reason": "wrong number"})
    assert told.status_code == 200, told.content
    assert told.json()["withdrawn_reason"] == "wrong number"
    assert told.json()["withdrawn_by"]
    assert told.json()["withdrawn_at"]
    again = mes.json("POST", at, {"reason": "wrong number"})
    assert (again.status_code, again.json()["code"]) == (409, "already_withdrawn")
    for asked, count in (("", 1), ("?withdrawn=true", 1), ("?withdrawn=false", 0)):
        assert len(mes.json("GET", f"escapes{asked}").json()["results"]) == count


def test_somebody_elses_is_an_engineers_matter(mes: Program) -> None:
    escape = EscapeFactory()
    at = f"escapes/{escape.pk}/withdraw"
    assert mes.json("POST", at, {"reason": "wrong"}).status_code == 403
    engineer = MembershipFactory(product=escape.unit.product, role="engineer").user
    assert Program(key_of(engineer)).json("POST", at, {"reason": "wrong"}).status_code == 200
    stranger = MembershipFactory(role="administrator").user
    assert Program(key_of(stranger)).json("POST", at, {"reason": "wrong"}).status_code == 404
