"""A file on its way in: what it is called, what it seems to be, and whether all of it came."""

import contextlib
import hashlib
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO

from django.conf import settings

from inspection.errors import UserError

from .disk import GB, check_free_space
from .images import staged

KEY_LENGTH = 80
MEMBER_KEY_LENGTH = 400
HEAD_BYTES = 8
HEARD_EVERY_S = 30.0
ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
OTHER_ARCHIVE_MAGIC = (b"Rar!", b"7z\xbc\xaf", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"(\xb5/\xfd")
OTHER_ARCHIVE_ENDINGS = (".rar", ".7z", ".tar", ".gz", ".tgz", ".bz2", ".tbz2", ".xz", ".zst")


class Incoming:
    """A stream that can be read once, with its first bytes looked at before.

    `size` is how many bytes the sender announced; `received` is how many came. `heard` is
    called at the first read and about twice a minute while more comes. `path`: where in the
    staging folder all of it lies, where it came in pieces.
    """

    def __init__(
        self,
        name: str,
        stream: IO[bytes],
        size: int,
        heard: Callable[[], None] | None = None,
        path: Path | None = None,
    ) -> None:
        self.name = name
        self.path = path
        self.size = size
        self.received = 0
        self._stream = stream
        self._heard = heard
        self._tell_at = 0.0
        self._head = self._read_head()
        self._begin = self._head

    def _read_head(self) -> bytes:
        head = b""
        while len(head) < HEAD_BYTES and (block := self._stream.read(HEAD_BYTES - len(head))):
            head += block
        return head

    def read(self, amount: int = -1) -> bytes:
        """The next bytes; the head first, so a reader must go on until it gets nothing."""
        block, self._head = self._head, b""
        block = block or self._stream.read(amount)
        self.received += len(block)
        self._tell()
        return block

    def _tell(self) -> None:
        now = time.monotonic()
        if self._heard and now >= self._tell_at:
            self._tell_at = now + HEARD_EVERY_S
            self._heard()

    @property
    def is_zip(self) -> bool:
        return self._begin.startswith(ZIP_MAGIC) or self._ends(".zip")

    @property
    def is_other_archive(self) -> bool:
        return self._begin.startswith(OTHER_ARCHIVE_MAGIC) or self._ends(*OTHER_ARCHIVE_ENDINGS)

    def _ends(self, *endings: str) -> bool:
        return self.name.lower().endswith(endings)

    def check_whole(self) -> None:
        """Raise when the connection broke off: the sender still has the file and sends again."""
        if self.received < self.size:
            raise UserError(
                "incomplete_transfer",
                "{name} did not arrive whole ({received} of {size} bytes). Send it again.",
                name=self.name,
                received=self.received,
                size=self.size,
            )


def other_archive(name: str) -> UserError:
    """The refusal of rar, 7z, tar and the like."""
    return UserError(
        "other_archive",
        "{name} is an archive of a kind that is not read here. Unpack it and send the pictures, "
        "or pack them as a .zip file.",
        name=name,
    )


def check_key(client_key: str) -> None:
    """Raise unless the sender's key for a file can be kept."""
    if not 0 < len(client_key) <= KEY_LENGTH or "\x00" in client_key:
        raise UserError(
            "bad_client_key",
            "X-Client-Key must have 1 to {most} characters, none NUL.",
            most=KEY_LENGTH,
        )


def key_of_path(path: str, *, limit: int = KEY_LENGTH) -> str:
    """A key for a file that is known by its path: the path, or its hash when it is long."""
    return path if len(path) <= limit else hashlib.sha256(path.encode()).hexdigest()


def folder_of(name: str) -> str:
    """The name of the folder that holds the file: `test/scratch/001.png` → `scratch`."""
    return PurePosixPath(name).parent.name


def stage(file: Incoming, target: Path) -> int:
    """Have the zip at `target`; returns its size. One that lies here already gets a second name:
    gigabytes are not written twice, and a kill before the row is written loses nothing."""
    if file.path:
        with contextlib.suppress(OSError):  # a disk that knows no second names
            target.hardlink_to(file.path)
            return file.size
    check_free_space(file.size / GB)
    with staged(file.name, file, limit_mb=settings.MAX_ARCHIVE_MB) as here:  # type: ignore[arg-type]
        file.check_whole()
        here.path.rename(target)
        return here.size
