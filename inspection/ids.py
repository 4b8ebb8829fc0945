"""Keys of every noun: UUID version 7, so that they sort by time, can be partitioned by
range and say nothing about how many there are (docs/adr/0002-keys.md)."""

import uuid
from datetime import datetime

import uuid_utils.compat

FIRST_YEAR, LAST_YEAR = 1970, 2999  # that may be asked for: keys know no earlier time


def new_id() -> uuid.UUID:
    """Return a new time-ordered key (RFC 9562, version 7)."""
    return uuid_utils.compat.uuid7()


def first_id_of(moment: datetime) -> uuid.UUID:
    """The smallest key that `new_id` can have made at that moment or later: a range of time is
    a range of keys."""
    milliseconds = max(0, int(moment.timestamp() * 1000))
    return uuid.UUID(int=milliseconds << 80 | 0x7 << 76 | 0b10 << 62)
