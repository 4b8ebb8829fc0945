"""Keys of every noun: UUID version 7, so that they sort by time, can be partitioned by
range and say nothing about how many there are (docs/adr/0002-keys.md)."""

import uuid

import uuid_utils.compat


def new_id() -> uuid.UUID:
    """Return a new time-ordered key (RFC 9562, version 7)."""
    return uuid_utils.compat.uuid7()
