"""Reading a zip that a stranger packed: names are never paths, and sizes have an end."""

import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from django.conf import settings

from inspection.errors import UserError

from .images import MB, display_name, too_large
from .incoming import MEMBER_KEY_LENGTH, key_of_path

LITTER_FOLDERS = ("__MACOSX", ".git", ".svn", "@eaDir", "$RECYCLE.BIN")
LITTER_FILES = (".ds_store", "thumbs.db", "desktop.ini")
MAX_RATIO = 200  # a picture of a part never shrinks more than that
RATIO_MATTERS_FROM_MB = 10
END_OF_DIRECTORY = b"PK\x05\x06"
END_OF_DIRECTORY_SIZE = 22
END_OF_DIRECTORY_64 = b"PK\x06\x06"
END_OF_DIRECTORY_64_SIZE = 56
LOCATOR_64 = b"PK\x06\x07"
LOCATOR_64_SIZE = 20
IN_ZIP64 = 0xFFFFFFFF
LONGEST_COMMENT = 65_535
DIRECTORY_BYTES_PER_MEMBER = 2_000
BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    RuntimeError,  # also NotImplementedError: a compression that Python cannot read
    ValueError,
    struct.error,
)


@dataclass(frozen=True)
class Member:
    """One file of an archive. `refusal` is set when it must not even be opened."""

    key: str
    name: str
    info: zipfile.ZipInfo
    refusal: UserError | None


class MemberStream:
    """What is in a member; damage comes out as a sentence with its name."""

    def __init__(self, name: str, raw: IO[bytes]) -> None:
        self._name = name
        self._raw = raw

    def read(self, amount: int = -1) -> bytes:
        """The next bytes. Raises UserError `damaged_member` for a wrong checksum and the like."""
        with damage_named(self._name):
            return self._raw.read(amount)


@contextmanager
def damage_named(name: str) -> Iterator[None]:
    """Turn what a broken archive makes Python raise into a refusal."""
    try:
        yield
    except BROKEN as error:
        raise UserError(
            "damaged_member",
            "{name} is damaged inside the zip ({error}). Pack the picture again, or send it "
            "by itself.",
            name=name,
            error=error,
        ) from error


@contextmanager
def open_archive(name: str, path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive, its directory read. Raises UserError when it is none or is too large inside."""
    _check_directory_size(name, path)
    try:
        archive = zipfile.ZipFile(path)
    except BROKEN as error:
        raise UserError(
            "damaged_archive",
            "{name} cannot be read as a zip ({error}). It may have been cut off: pack it again "
            "and send it anew.",
            name=name,
            error=error,
        ) from error
    with archive:
        _check_inside(name, archive)
        yield archive


def _check_directory_size(name: str, path: Path) -> None:
    """Refuse a directory that alone would fill the memory, before it is read."""
    with path.open("rb") as file:
        size = path.stat().st_size
        file.seek(max(0, size - LONGEST_COMMENT - END_OF_DIRECTORY_SIZE))
        tail = file.read()
    at = _end_of_directory(tail)
    if at is None:
        return  # ZipFile says what is wrong
    directory_bytes = struct.unpack_from("<I", tail, at + 12)[0]
    if tail[max(0, at - LOCATOR_64_SIZE) : at].startswith(LOCATOR_64):
        # ZipFile believes the larger record wherever this points to one, whatever this one says.
        large = tail.find(END_OF_DIRECTORY_64, 0, at)
        while 0 <= large <= at - END_OF_DIRECTORY_64_SIZE:
            found = struct.unpack_from("<Q", tail, large + 40)[0]
            directory_bytes = max(directory_bytes if directory_bytes != IN_ZIP64 else 0, found)
            large = tail.find(END_OF_DIRECTORY_64, large + 1, at)
    if directory_bytes > settings.MAX_ARCHIVE_MEMBERS * DIRECTORY_BYTES_PER_MEMBER:
        raise _too_many(name)


def _end_of_directory(tail: bytes) -> int | None:
    """Where ZipFile finds the record: at the very end where no comment follows, whose fields may
    look like another one, else at its last signature."""
    last = len(tail) - END_OF_DIRECTORY_SIZE
    if last >= 0 and tail.startswith(END_OF_DIRECTORY, last) and tail.endswith(b"\0\0"):
        return last
    at = tail.rfind(END_OF_DIRECTORY)
    return at if 0 <= at <= last else None


def _check_inside(name: str, archive: zipfile.ZipFile) -> None:
    files = [info for info in archive.infolist() if not info.is_dir()]
    if len(files) > settings.MAX_ARCHIVE_MEMBERS:
        raise _too_many(name)
    unpacked = sum(info.file_size for info in files)
    if unpacked > settings.MAX_UNPACKED_MB * MB:
        raise UserError(
            "archive_too_large_inside",
            "{name} would unpack to {unpacked:.1f} GB, more than the {most:.1f} GB that are "
            "allowed. Send it in parts.",
            name=name,
            unpacked=unpacked / 1e9,
            most=settings.MAX_UNPACKED_MB / 1000,
        )


def _too_many(name: str) -> UserError:
    return UserError(
        "too_many_members",
        "{name} holds more than {most} files. Send it in several zips.",
        name=name,
        most=settings.MAX_ARCHIVE_MEMBERS,
    )


def members(client_key: str, archive: zipfile.ZipFile) -> list[Member]:
    """The files of an archive, without folders and what systems leave behind."""
    taken: dict[str, int] = {}  # key -> how often it was asked for
    found = []
    for info in archive.infolist():
        if info.is_dir() or is_litter(info.filename):
            continue
        key = _free_key(client_key, info.filename, taken)
        name = display_name(info.filename)
        found.append(Member(key, name, info, _refusal(name, info)))
    return found


def _free_key(client_key: str, path: str, taken: dict[str, int]) -> str:
    """The key of a member. A path that comes again is numbered, and so is one that happens to
    be called like a numbered one; the order in the archive decides, so every attempt agrees."""
    limit = MEMBER_KEY_LENGTH - len(client_key) - 1
    plain = key = f"{client_key}/{key_of_path(path, limit=limit)}"
    while key in taken:
        taken[plain] += 1
        key = f"{client_key}/{key_of_path(f'{path}#{taken[plain]}', limit=limit)}"
    taken[key] = 1
    return key


def is_litter(path: str) -> bool:
    """`__MACOSX/…`, `.DS_Store`, `Thumbs.db` and the like: nobody put them there on purpose."""
    parts = PurePosixPath(path.replace("\\", "/")).parts
    if not parts:
        return True
    last = parts[-1].lower()
    return (
        any(part in LITTER_FOLDERS for part in parts[:-1])
        or last in LITTER_FILES
        or last.startswith("._")
    )


def _refusal(name: str, info: zipfile.ZipInfo) -> UserError | None:
    """Why a member must not be opened, or None."""
    if _leads_out(info.filename):
        return UserError(
            "unsafe_name",
            "{name}: its path in the zip leads out of the zip. Pack the picture with an ordinary "
            "zip program and send it again.",
            name=name,
        )
    if stat.S_ISLNK(info.external_attr >> 16):
        return UserError(
            "link_in_archive",
            "{name} is a link and not a picture. Pack the picture itself.",
            name=name,
        )
    if info.flag_bits & 1:
        return UserError(
            "encrypted",
            "{name} is locked with a password. Pack it without one and send it again.",
            name=name,
        )
    if info.file_size > settings.MAX_FILE_MB * MB:
        return too_large(name, settings.MAX_FILE_MB)
    if _is_bomb(info):
        return UserError(
            "bomb",
            "{name} grows more than {most} times when it is unpacked, as no picture does. "
            "If it is one, send it by itself, without a zip.",
            name=name,
            most=MAX_RATIO,
        )
    return None


def _leads_out(name: str) -> bool:
    path = name.replace("\\", "/")
    return path.startswith("/") or path[1:2] == ":" or ".." in path.split("/")


def _is_bomb(info: zipfile.ZipInfo) -> bool:
    large = info.file_size > RATIO_MATTERS_FROM_MB * MB
    return large and info.file_size > MAX_RATIO * max(info.compress_size, 1)


def nested(name: str) -> UserError:
    """The refusal of a zip inside a zip."""
    return UserError(
        "nested_archive",
        "{name} is a zip inside the zip. Send it by itself, next to this one.",
        name=name,
    )
