"""CFX messages have exactly the members of the standard's own examples, in the same places."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from jsonschema import Draft202012Validator

from inspection.exchange.cfx import bodies
from inspection.exchange.cfx.envelopes import CONTENT_TYPE, Envelope, NotCfxError, read
from inspection.exchange.cfx.events import envelopes
from inspection.models import EventType, OutboxEvent
from tests.brokers import library

EXAMPLE = json.loads((Path(__file__).parent / "cfx" / "units_inspected.json").read_text())
HANDLE = "Kintsugi.Inspection.LINE1"
KEY = "0190f000-0000-7000-8000-000000000001"
TIME = "2026-11-23T12:00:00+00:00"


def facts(**more: Any) -> dict[str, Any]:
    """An inspection that failed at one place, as events carry it."""
    region = {"x": 0.25, "y": 0.5, "width": 0.1, "height": 0.2, "image": 0, "p_value": 0.01}
    said: dict[str, Any] = {
        "id": KEY,
        "result": "Failed",
        "disposition": "auto",
        "score": 0.93,
        "threshold": 0.8,
        "p_value": 0.02,
        "error": "",
        "defects": [region],
        "external_id": "MES-1",
        "station_id": "AOI-1",
        "recipe": {"name": "boardA", "revision": "model-17"},
        "panel_id": "PANEL345",
        "serial_number": "SN1",
        "position_number": 2,
        "verification": "NotVerifiedYet",
        "reason_code": None,
        "captured_at": None,
        "created_at": TIME,
        "completed_at": TIME,
        "updated_at": TIME,
    }
    return {**said, **more}


def event(type: EventType, payload: dict[str, Any]) -> OutboxEvent:
    return OutboxEvent(pk=UUID(KEY), type=type, payload=payload, created_at=datetime.now(UTC))


def told(payload: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The messages of a finished inspection, by the last part of their names."""
    made = envelopes(event(EventType.INSPECTION_COMPLETED, payload), HANDLE, None)
    return {one.name.rpartition(".")[2]: one.as_dict() for one in made}


def shape(example: Any) -> dict[str, Any]:
    """The JSON schema that asks for exactly the members of an example. null and a value are one
    another's alternative; a number, text and so on must stay of its kind."""
    if isinstance(example, dict):
        inside = {name: shape(value) for name, value in example.items()}
        return {
            "type": ["object", "null"],
            "properties": inside,
            "required": list(example),
            "additionalProperties": False,
        }
    if isinstance(example, list):
        return {"type": "array", "items": shape(example[0])} if example else {"type": "array"}
    kinds = {str: "string", float: "number", int: "number", bool: "boolean"}
    return {} if example is None else {"type": [kinds[type(example)], "null"]}


def check(message: dict[str, Any], example: Any) -> None:
    errors = list(Draft202012Validator(shape(example)).iter_errors(message))
    assert not errors, [f"{one.json_path}: {one.message}" for one in errors]


@pytest.fixture(autouse=True)
def pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pictures of the inspection have addresses, whatever the database holds."""
    where = "inspection.exchange.cfx.events.picture_addresses"
    monkeypatch.setattr(where, lambda key: ["https://kintsugi.example/files/results/1/view"])


def test_units_inspected_has_the_members_of_the_standard() -> None:
    check(told(facts())["UnitsInspected"], EXAMPLE)


def test_a_member_too_many_or_too_few_would_be_found() -> None:
    message = told(facts())["UnitsInspected"]
    defect = message["MessageBody"]["InspectedUnits"][0]["Inspections"][0]["DefectsFound"][0]
    defect["Extra"] = defect.pop("Priority")
    with pytest.raises(AssertionError, match="Extra"):
        check(message, EXAMPLE)


def test_every_member_of_the_example_is_filled_or_null_by_intent() -> None:
    body = told(facts())["UnitsInspected"]["MessageBody"]
    unit = body["InspectedUnits"][0]
    found = unit["Inspections"][0]
    defect = found["DefectsFound"][0]

    assert body["$type"] == "CFX.Production.TestAndInspection.UnitsInspected, CFX"
    assert (body["RecipeName"], body["RecipeRevision"]) == ("boardA", "model-17")
    assert (unit["UnitIdentifier"], unit["UnitPositionNumber"]) == ("PANEL345", 2)
    assert (unit["OverallResult"], unit["Verification"]) == ("Failed", "NotVerifiedYet")
    assert found["UniqueIdentifier"] == KEY
    assert defect["ConfidenceLevel"] == 99.0
    assert defect["RegionOfInterest"]["StartPointX"] == 0.25
    assert defect["RegionOfInterest"]["RegionSegments"][1] == {"X": 0.35, "Y": 0.7}
    assert defect["DefectImages"][0]["ImageURL"].startswith("https://kintsugi.example/")
    measured = found["Measurements"][0]["MeasuredValue"]
    assert measured == {"Value": 0.93, "MaximumAcceptableValue": 0.8}


MEMBERS = {
    "EndpointConnected": "CFXHandle RequestNetworkUri RequestTargetAddress",
    "Heartbeat": "CFXHandle HeartbeatFrequency ActiveFaults",
    "WorkStarted": "PrimaryIdentifier HermesIdentifier TransactionID Lane UnitCount Units",
    "WorkCompleted": "TransactionID Result PrimaryIdentifier HermesIdentifier UnitCount Units "
    "PerformanceImpacts",
    "FaultOccurred": "Fault",
    "StationStateChanged": "OldState OldStateDuration NewState RelatedFault",
    "RecipeActivated": "RecipeName Revision Lane Stage",
}
BODIES = {
    "EndpointConnected": bodies.connected(HANDLE, "amqp://host/", "/queue/x"),
    "Heartbeat": bodies.heartbeat(HANDLE, 60),
    "WorkStarted": bodies.work_started(facts()),
    "WorkCompleted": bodies.work_completed(facts()),
    "FaultOccurred": bodies.fault_occurred(facts(), UUID(KEY)),
    "StationStateChanged": bodies.station_state(bodies.IDLE, bodies.AT_WORK, 85),
    "RecipeActivated": bodies.recipe_activated(facts()),
}


@pytest.mark.parametrize("name", MEMBERS)
def test_the_other_messages_have_the_members_of_the_standard(name: str) -> None:
    made = Envelope(f"CFX.{name}", BODIES[name], HANDLE, UUID(KEY), datetime.now(UTC)).as_dict()

    assert list(made) == list(EXAMPLE)
    assert set(made["MessageBody"]) == {"$type", *MEMBERS[name].split()}
    check({**made, "MessageBody": None}, {**EXAMPLE, "MessageBody": None})


def test_one_inspection_is_three_messages_of_one_transaction() -> None:
    messages = told(facts())

    assert list(messages) == ["WorkStarted", "UnitsInspected", "WorkCompleted"]
    bodies_of = {name: one["MessageBody"] for name, one in messages.items()}
    assert bodies_of["UnitsInspected"]["TransactionId"] == KEY
    assert {bodies_of[name]["TransactionID"] for name in ("WorkStarted", "WorkCompleted")} == {KEY}
    assert messages["UnitsInspected"]["UniqueID"] == KEY  # the event's own


def test_a_second_try_says_the_same_under_the_same_identities() -> None:
    assert told(facts()) == told(facts())
    assert len({one["UniqueID"] for one in told(facts()).values()}) == 3


@pytest.mark.parametrize(
    ("result", "work"), [("Passed", "Completed"), ("Failed", "Failed"), ("Skipped", "Aborted")]
)
def test_work_that_ended_badly_never_looks_done(result: str, work: str) -> None:
    messages = told(facts(result=result))

    assert messages["WorkCompleted"]["MessageBody"]["Result"] == work
    assert "FaultOccurred" not in messages


def test_an_error_is_an_error_and_a_fault() -> None:
    messages = told(facts(result="Error", score=None, defects=[], error="picture unreadable"))

    unit = messages["UnitsInspected"]["MessageBody"]["InspectedUnits"][0]
    assert unit["OverallResult"] == unit["Inspections"][0]["Result"] == "Error"
    assert unit["Inspections"][0]["DefectsFound"] == []
    assert unit["Inspections"][0]["Measurements"] == []
    assert messages["WorkCompleted"]["MessageBody"]["Result"] == "Aborted"
    fault = messages["FaultOccurred"]["MessageBody"]["Fault"]
    assert fault["Severity"] == "Error"
    assert "picture unreadable" in fault["Description"]
    check(messages["UnitsInspected"], EXAMPLE)


def test_a_part_that_passed_has_no_defects_whatever_was_outlined() -> None:
    unit = told(facts(result="Passed"))["UnitsInspected"]["MessageBody"]["InspectedUnits"][0]
    assert unit["Inspections"][0]["DefectsFound"] == []


def test_a_failed_part_without_an_outline_still_has_a_defect() -> None:
    unit = told(facts(defects=[]))["UnitsInspected"]["MessageBody"]["InspectedUnits"][0]
    (defect,) = unit["Inspections"][0]["DefectsFound"]
    assert defect["RegionOfInterest"] is None


def review(look: str = "first") -> dict[str, str]:
    said = {"author": "kim", "badge": "BADGE1", "comment": "bridge", "created_at": TIME}
    return {**said, "look": look}


def test_a_second_look_gives_no_state_so_nobody_is_named_for_one() -> None:
    payload = {"review": review("second"), "inspection": facts(verification="DefectConfirmed")}
    assert envelopes(event(EventType.REVIEW_RECORDED, payload), HANDLE, None) == []


def test_a_review_says_who_judged_and_how() -> None:
    payload = {"review": review(), "inspection": facts(verification="DefectConfirmed")}
    (one,) = envelopes(event(EventType.REVIEW_RECORDED, payload), HANDLE, None)

    message = one.as_dict()
    check(message, EXAMPLE)
    assert message["UniqueID"] == KEY
    assert message["MessageBody"]["Inspector"]["OperatorIdentifier"] == "BADGE1"
    assert message["MessageBody"]["TransactionId"] == KEY
    unit = message["MessageBody"]["InspectedUnits"][0]
    assert unit["Verification"] == "DefectConfirmed"
    assert unit["Inspections"][0]["Comments"] == "bridge"


def test_other_events_say_nothing_or_which_recipe_is_active() -> None:
    recipe = {"recipe": {"name": "boardA", "revision": "model-17"}}
    (one,) = envelopes(event(EventType.MODEL_PROMOTED, recipe), HANDLE, None)

    assert one.name == "CFX.Production.RecipeActivated"
    assert envelopes(event(EventType.DRIFT_ALERT, {}), HANDLE, None) == []


@pytest.mark.parametrize(
    ("p", "level"), [(None, 1.0), (0.0, 100.0), (0.01, 99.0), (0.5, 50.0), (1.0, 1.0)]
)
def test_confidence_lies_between_1_and_100(p: float | None, level: float) -> None:
    assert bodies.confidence(facts(p_value=p), None) == level


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "00:00:00"), (85, "00:01:25"), (90061, "1.01:01:01")]
)
def test_spans_are_written_as_the_standard_writes_them(seconds: int, text: str) -> None:
    assert bodies.span(seconds) == text


def test_the_envelope_travels_with_its_properties() -> None:
    library("proton", "cfx")
    from inspection.exchange.cfx.link import message_of

    one = Envelope(
        "CFX.Heartbeat", {}, HANDLE, UUID(KEY), datetime.now(UTC), "Other.Handle.1", "R-7"
    )
    message = message_of(one)

    assert (message.id, message.address, message.reply_to) == (KEY, "Other.Handle.1", HANDLE)
    assert message.correlation_id == "R-7"
    assert message.content_type == CONTENT_TYPE == 'application/json; charset="utf-8"'
    assert message.subject == f"{HANDLE}.CFX.Heartbeat"
    assert message.durable
    assert message.properties == {
        "cfx-topic": "CFX",
        "cfx-message": "CFX.Heartbeat",
        "cfx-handle": HANDLE,
        "cfx-target": "Other.Handle.1",
    }
    assert read(message.body).unique_id == UUID(KEY)


@pytest.mark.parametrize(
    "text",
    [
        b"no json",
        b"[]",
        b"{}",
        b'{"MessageName": "CFX.Heartbeat", "MessageBody": {}, "UniqueID": "x"}',
        json.dumps({"MessageName": "a", "MessageBody": {}, "UniqueID": KEY}).encode(),
        b"\xff\xfe\x00",
    ],
)
def test_what_is_no_envelope_is_refused(text: bytes) -> None:
    with pytest.raises(NotCfxError):
        read(text)
