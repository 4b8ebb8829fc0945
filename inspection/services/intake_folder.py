"""Watched files in a folder of this machine."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from .archives import is_litter
from .intake_seen import (
    PROCESSED,
    REJECTED,
    Heard,
    Reading,
    Seen,
    changed,
    gone,
    nobody,
    reason,
    unreadable,
    vanished,
)

DEEPEST = 20
STEP = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


class Folder:
    """Links inside are never followed; every step down is opened by itself, so that nobody can
    put a link in the way between a look and what is done to the file."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.skipped: dict[bytes, str] = {}
        self._heard: Heard = nobody

    def files(self, after: bytes = b"", heard: Heard = nobody) -> Iterator[Seen]:
        """Every file below that sorts behind `after`, folder by folder, but those that were put
        away. What cannot be looked into is kept in `skipped`; UserError `no_folder` where that
        is the folder itself. `heard` is called for every name that is listed."""
        self._heard = heard
        try:
            yield from self._below(b"", after.split(b"/") if after else [])
        except OSError as error:
            raise gone(str(self.root), error) from error

    def _below(self, folder: bytes, after: list[bytes]) -> Iterator[Seen]:
        with os.scandir(os.path.join(os.fsencode(self.root), folder)) as found:  # noqa: PTH118
            entries = sorted(self._listed(found), key=lambda entry: entry.name)
        for entry in entries:
            key = folder + entry.name
            steps = key.split(b"/")
            try:
                if not entry.is_dir(follow_symlinks=False):
                    if steps > after and not is_litter(os.fsdecode(key)):
                        yield from self._seen(key, entry)
                elif steps >= after[: len(steps)] and not _is_left_out(key):
                    yield from self._below(key + b"/", after)
            except FileNotFoundError:
                continue  # it went while we looked
            except OSError as error:
                # Of a folder, or of one file; what lies beside it is still looked at.
                within = key + b"/" if _is_folder(entry) else folder
                self.skipped.setdefault(within, reason(error))

    def _listed(self, found: "Iterator[os.DirEntry[bytes]]") -> "Iterator[os.DirEntry[bytes]]":
        for entry in found:
            self._heard()
            yield entry

    def _seen(self, key: bytes, entry: "os.DirEntry[bytes]") -> Iterator[Seen]:
        found = entry.stat(follow_symlinks=False)
        if stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode):
            link = stat.S_ISLNK(found.st_mode)
            yield Seen(key, found.st_size, str(found.st_mtime_ns), link, found.st_mtime)

    @contextmanager
    def open(self, seen: Seen) -> Iterator[Reading]:
        """The file, as it was seen. Raises UserError: vanished, unreadable, changed."""
        try:
            file = os.fdopen(self._open(seen.key), "rb")
        except OSError as error:
            raise unreadable(seen, error) from error
        with file:
            _check_same(file, seen)
            yield Reading(seen, file, (OSError,))
            _check_same(file, seen)

    def _open(self, key: bytes) -> int:
        *folders, name = key.split(b"/")
        here = self._descend(folders)
        try:
            return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=here)
        finally:
            os.close(here)

    def _descend(self, folders: list[bytes], *, make: bool = False) -> int:
        """The innermost of `folders`, held open; the caller closes it."""
        here = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        for folder in folders:
            try:
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(folder, dir_fd=here)
                below = os.open(folder, STEP, dir_fd=here)
            finally:
                os.close(here)
            here = below
        return here

    def move(self, seen: Seen, folder: str, mark: str) -> None:
        """Put it under processed/ or rejected/; what has that name already keeps it."""
        with self._held(seen) as (here, name):
            there = self._target([os.fsencode(folder), *seen.key.split(b"/")[:-1]])
            try:
                os.rename(name, _free_name(name, there, mark), src_dir_fd=here, dst_dir_fd=there)
            finally:
                os.close(there)

    def _target(self, folders: list[bytes]) -> int:
        try:
            return self._descend(folders, make=True)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                said = "processed/ and rejected/ must be folders, and no links"
                raise OSError(errno.ENOTDIR, said) from error
            raise

    def delete(self, seen: Seen) -> None:
        with self._held(seen) as (here, name):
            os.unlink(name, dir_fd=here)

    @contextmanager
    def _held(self, seen: Seen) -> Iterator[tuple[int, bytes]]:
        """The folder that holds the file, and its name there, if it is still what was judged.

        No system compares and renames in one step: what is written between this and that is put
        away unread. Whoever writes must not use a name again that soon."""
        *folders, name = seen.key.split(b"/")
        try:
            here = self._descend(folders)
        except OSError as error:
            raise unreadable(seen, error) from error
        try:
            try:
                found = os.stat(name, dir_fd=here, follow_symlinks=False)
            except FileNotFoundError as error:
                raise vanished(seen) from error
            if _is_another(found, seen):
                raise changed(seen)
            yield here, name
        finally:
            os.close(here)


def _is_folder(entry: "os.DirEntry[bytes]") -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _is_left_out(key: bytes) -> bool:
    """What was put away, and what lies too deep."""
    return os.fsdecode(key) in (PROCESSED, REJECTED) or key.count(b"/") >= DEEPEST


def _free_name(name: bytes, there: int, mark: str) -> bytes:
    try:
        os.stat(name, dir_fd=there, follow_symlinks=False)
    except FileNotFoundError:
        return name
    stem, dot, ending = name.rpartition(b".")
    return (stem or name) + b"-" + mark.encode() + (dot + ending if stem else b"")


def _check_same(file: IO[bytes], seen: Seen) -> None:
    try:
        found = os.fstat(file.fileno())
    except OSError as error:
        raise unreadable(seen, error) from error
    if _is_another(found, seen):
        raise changed(seen)


def _is_another(found: os.stat_result, seen: Seen) -> bool:
    same = found.st_size == seen.size and str(found.st_mtime_ns) == seen.version
    return not same or not stat.S_ISREG(found.st_mode)
