"""The outer form of every CFX message, and reading one that somebody else wrote."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

VERSION = "2.1"
CONTENT_TYPE = 'application/json; charset="utf-8"'
Body = dict[str, Any]


class NotCfxError(ValueError):
    """What arrived is no CFX envelope; the sentence says why."""


@dataclass(frozen=True)
class Envelope:
    """One message. `at` is when the thing happened, not when it was sent."""

    name: str
    body: Body
    source: str
    unique_id: UUID
    at: datetime
    target: str | None = None
    request_id: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The envelope in the order and by the names of IPC-2591."""
        return {
            "MessageName": self.name,
            "Version": VERSION,
            "TimeStamp": time_stamp(self.at),
            "UniqueID": str(self.unique_id),
            "Source": self.source,
            "Target": self.target,
            "RequestID": self.request_id,
            "MessageBody": {"$type": f"{self.name}, CFX", **self.body},
        }

    def as_json(self) -> bytes:
        """UTF-8, for the one Data section."""
        return json.dumps(self.as_dict(), ensure_ascii=False).encode()

    @property
    def topic(self) -> str:
        """`CFX.Production` of `CFX.Production.WorkStarted`."""
        return self.name.rpartition(".")[0]

    @property
    def subject(self) -> str:
        return f"{self.source}.{self.name}"

    def properties(self) -> dict[str, str]:
        """AMQP's application properties: what brokers filter and route by."""
        return {
            "cfx-topic": self.topic,
            "cfx-message": self.name,
            "cfx-handle": self.source,
            "cfx-target": self.target or "",
        }


def time_stamp(moment: datetime) -> str:
    """Milliseconds and an offset, in UTC: 2026-11-23T12:00:00.000+00:00."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def named(event: UUID, name: str) -> UUID:
    """The identity of a message that belongs to `event`: the same at every retry and replay."""
    return uuid5(event, name)


def read(text: bytes | str) -> Envelope:
    """An envelope that came in. Raises NotCfxError; unknown members are left alone."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NotCfxError(f"not JSON: {error}") from None
    if not isinstance(said, dict):
        raise NotCfxError("an envelope is a JSON object")
    name, body = said.get("MessageName"), said.get("MessageBody")
    if not isinstance(name, str) or not isinstance(body, dict):
        raise NotCfxError("MessageName and MessageBody are missing")
    return Envelope(
        name=name,
        body=body,
        source=_text(said, "Source") or "",
        unique_id=_key(said),
        at=_moment(said),
        target=_text(said, "Target"),
        request_id=_text(said, "RequestID"),
    )


def _text(said: dict[str, Any], name: str) -> str | None:
    value = said.get(name)
    return value if isinstance(value, str) and value else None


def _key(said: dict[str, Any]) -> UUID:
    try:
        return UUID(str(said.get("UniqueID")))
    except ValueError:
        raise NotCfxError("UniqueID is no UUID") from None


def _moment(said: dict[str, Any]) -> datetime:
    try:
        moment = datetime.fromisoformat(str(said.get("TimeStamp")))
    except ValueError:
        raise NotCfxError("TimeStamp is no ISO 8601 time") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
