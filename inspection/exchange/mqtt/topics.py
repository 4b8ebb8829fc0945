"""Where an event is published, and what is said there. Pure.

<prefix>/<line>/<station>/inspection   a part has a verdict
<prefix>/<line>/<station>/review       somebody judged a part
<prefix>/batch  …/run  …/model  …/drift
<prefix>/status                        online | offline, retained
"""

import json
import re
from typing import Any

from inspection.models import EventType, OutboxEvent

NOT_A_LEVEL = re.compile(r"[/+#\x00-\x1f]")
NOWHERE = "-"  # the level of a part without a line or station
NAMES = {
    EventType.INSPECTION_COMPLETED: "inspection",
    EventType.REVIEW_RECORDED: "review",
    EventType.BATCH_COMPLETED: "batch",
    EventType.RUN_FINISHED: "run",
    EventType.MODEL_PROMOTED: "model",
    EventType.DRIFT_ALERT: "drift",
}
PLACED = (EventType.INSPECTION_COMPLETED, EventType.REVIEW_RECORDED)


def topic(prefix: str, event: OutboxEvent, line: str = "") -> str:
    """The topic of an event; `line` is the line of its station."""
    kind = EventType(event.type)
    if kind not in PLACED:
        return f"{prefix}/{NAMES[kind]}"
    return f"{prefix}/{level(line)}/{level(station_of(event))}/{NAMES[kind]}"


def station_of(event: OutboxEvent) -> str:
    """The code of the station that an event is about; empty where there is none."""
    facts = event.payload.get("inspection", event.payload)
    return str(facts.get("station_id") or "")


def status_topic(prefix: str) -> str:
    return f"{prefix}/status"


def level(text: str) -> str:
    """One level of a topic: what would end it or match others is replaced."""
    return NOT_A_LEVEL.sub("_", text.strip()) or NOWHERE


def payload(event: OutboxEvent) -> bytes:
    """The event as webhooks carry it; `id` is the same at every retry and replay."""
    said = {
        "id": str(event.pk),
        "type": event.type,
        "timestamp": event.created_at.isoformat(),
        "data": event.payload,
    }
    return json.dumps(said, ensure_ascii=False).encode()


def status(state: str, **more: Any) -> bytes:
    """What is retained at the status topic: online, with when; offline."""
    return json.dumps({"status": state, **more}).encode()
