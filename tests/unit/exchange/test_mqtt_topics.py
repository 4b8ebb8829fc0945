"""Where events are published, and what is said there."""

import json
from datetime import UTC, datetime

import pytest

from inspection.exchange.mqtt.topics import level, payload, topic
from inspection.ids import new_id
from inspection.models import EventType, OutboxEvent


def event(type: str, **payload: object) -> OutboxEvent:
    return OutboxEvent(pk=new_id(), type=type, payload=payload, created_at=datetime.now(UTC))


def test_parts_are_published_by_line_and_station() -> None:
    inspected = event("inspection.completed", station_id="AOI-1")
    reviewed = event("review.recorded", inspection={"station_id": "AOI-1"}, review={})

    assert topic("plant1/kintsugi", inspected, "SMT 1") == "plant1/kintsugi/SMT 1/AOI-1/inspection"
    assert topic("kintsugi", reviewed, "SMT 1") == "kintsugi/SMT 1/AOI-1/review"


def test_a_part_without_a_station_has_a_place_too() -> None:
    assert topic("k", event("inspection.completed", station_id=None)) == "k/-/-/inspection"


@pytest.mark.parametrize("type", [one for one in EventType if one.startswith(("b", "m", "d"))])
def test_what_is_of_no_station_is_published_beside_them(type: EventType) -> None:
    name = type.value.partition(".")[0]
    assert topic("k", event(type)) == f"k/{name}"


@pytest.mark.parametrize(("text", "made"), [("a/b", "a_b"), ("#", "_"), ("+x", "_x"), (" ", "-")])
def test_no_name_makes_more_levels_or_matches_others(text: str, made: str) -> None:
    assert level(text) == made


def test_the_event_is_said_as_webhooks_say_it() -> None:
    one = event("inspection.completed", station_id="AOI-1", serial_number="零件")
    said = json.loads(payload(one))

    assert list(said) == ["id", "type", "timestamp", "data"]
    assert (said["id"], said["data"]["serial_number"]) == (str(one.pk), "零件")
