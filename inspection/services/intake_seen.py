"""What every watched place has in common: a file as it was seen, and the refusals of one."""

import errno
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from inspection.errors import UserError

from .images import display_name

PROCESSED, REJECTED = "processed", "rejected"
BLOCK = 1 << 16  # small, so that whoever reads over a slow line is heard of between two


Heard = Callable[[], None]


def nobody() -> None:
    """Nobody wants to hear how a long listing goes on."""


@dataclass(frozen=True)
class Seen:
    """One file at one look. `key` is its path as it is, which may be no text at all; `modified`
    is when it was written, in seconds since 1970."""

    key: bytes
    size: int
    version: str
    link: bool = False
    modified: float = 0.0

    @property
    def path_hash(self) -> str:
        return hashlib.sha256(self.key).hexdigest()

    @property
    def shown(self) -> str:
        return shown(self.key)

    @property
    def is_clean(self) -> bool:
        """Whether the path is text without control characters."""
        text = self.key.decode("utf-8", "replace")
        return display_name(text) == text[-255:] and "�" not in text


def shown(key: bytes) -> str:
    """The path as it may be kept and shown, at most 500 characters from its end."""
    return key.decode("utf-8", "replace")[-500:].replace("\x00", "")


class Source(Protocol):
    """What a look needs of a place."""

    skipped: dict[bytes, str]  # folders (ending in /) that could not be looked into, and why

    def files(self, after: bytes = b"", heard: Heard = nobody) -> Iterator[Seen]: ...

    def open(self, seen: Seen) -> Any: ...

    def move(self, seen: Seen, folder: str, mark: str) -> None: ...

    def delete(self, seen: Seen) -> None: ...


class Reading:
    """The bytes of one file, a small block at a time. What breaks on the way is a refusal of
    this file; the others are still read."""

    def __init__(self, seen: Seen, stream: Any, broken: tuple[type[Exception], ...]) -> None:
        self._seen, self._stream, self._broken = seen, stream, broken

    def read(self, amount: int = -1) -> bytes:
        """At most `amount` bytes; a reader must go on until it gets nothing."""
        try:
            block: bytes = self._stream.read(min(amount, BLOCK) if amount > 0 else BLOCK)
        except self._broken as error:
            raise unreadable(self._seen, error) from error
        return block


# --- refusals --------------------------------------------------------------------------


def gone(location: str, error: Exception) -> UserError:
    """The place itself cannot be looked into."""
    return UserError(
        "no_folder",
        "{location} cannot be looked into: {reason}. Check the path, the network drive and the "
        "rights; it is tried again every few seconds.",
        location=location,
        reason=reason(error),
    )


def reason(error: Exception) -> str:
    """What the system says, in its words."""
    return getattr(error, "strerror", None) or str(error)


def changed(seen: Seen) -> UserError:
    """It is being written again; it waits until that ends."""
    return UserError(
        "changed", "{name} changed while it was read; it is read again.", name=seen.shown
    )


def unreadable(seen: Seen, error: Exception) -> UserError:
    """What keeps this file from being read."""
    number = getattr(error, "errno", None)
    if number == errno.ENOENT:
        return vanished(seen)
    if number in (errno.ELOOP, errno.ENOTDIR):
        return is_link(seen)
    return UserError(
        "unreadable",
        "{name} cannot be read: {reason}. Give Kintsugi the right to read it; it is tried again.",
        name=seen.shown,
        reason=reason(error),
    )


def vanished(seen: Seen) -> UserError:
    """Somebody took it away before it was read."""
    return UserError(
        "vanished",
        "{name} disappeared before it was read. Copy it here again.",
        name=seen.shown,
    )


def is_link(seen: Seen) -> UserError:
    """Links might lead out of the folder."""
    return UserError(
        "link",
        "{name} is a link, and links are not followed. Copy the file itself here.",
        name=seen.shown,
    )
