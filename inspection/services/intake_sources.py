"""Where watched files are: a folder of this machine, or a prefix of an S3 store."""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol

from django.conf import settings
from django.utils.translation import gettext_lazy

from inspection.errors import UserError

from .archives import is_litter
from .images import display_name

PROCESSED, REJECTED = "processed", "rejected"
S3 = "s3://"
DEEPEST = 20
S3_WAIT_S = 5


@dataclass(frozen=True)
class Seen:
    """One file at one look. `key` is its path as it is, which may be no text at all."""

    key: bytes
    size: int
    version: str
    link: bool = False

    @property
    def path_hash(self) -> str:
        return hashlib.sha256(self.key).hexdigest()

    @property
    def shown(self) -> str:
        """The path as it may be kept and shown, at most 500 characters from its end."""
        return self.key.decode("utf-8", "replace")[-500:].replace("\x00", "")

    @property
    def is_clean(self) -> bool:
        """Whether the path is text without control characters."""
        text = self.key.decode("utf-8", "replace")
        return display_name(text) == text[-255:] and "�" not in text


class Source(Protocol):
    """What a look needs of a place."""

    def files(self) -> Iterator[Seen]: ...

    def open(self, seen: Seen) -> Any: ...

    def move(self, seen: Seen, folder: str, mark: str) -> None: ...

    def delete(self, seen: Seen) -> None: ...


def source_of(location: str) -> Source:
    """The place at `location`. Raises UserError unless an administrator allowed it."""
    if location.startswith(S3):
        return _bucket(location)
    return Folder(allowed_folder(location))


def allowed_folder(location: str) -> Path:
    """The folder, links resolved, below one of KINTSUGI_INTAKE_ROOTS."""
    if not location.startswith("/") or "\x00" in location:
        raise UserError(
            "bad_location",
            "The folder must be a full path, such as /mnt/aoi3, or s3://bucket/prefix.",
            field="location",
        )
    folder = Path(location).resolve()
    roots = [Path(root).resolve() for root in settings.INTAKE_ROOTS if not root.startswith(S3)]
    if not any(folder.is_relative_to(root) for root in roots):
        raise _not_allowed(location)
    own = Path(settings.VAR_DIR)
    if folder.is_relative_to(own) or own.is_relative_to(folder):
        raise UserError(
            "bad_location",
            "The folder of Kintsugi's own data cannot be watched.",
            field="location",
        )
    return folder


def _bucket(location: str) -> "Bucket":
    roots = [root.rstrip("/") for root in settings.INTAKE_ROOTS if root.startswith(S3)]
    place = location.rstrip("/")
    if not any(place == root or place.startswith(f"{root}/") for root in roots):
        raise _not_allowed(location)
    bucket, _slash, prefix = place.removeprefix(S3).partition("/")
    return Bucket(bucket, f"{prefix}/" if prefix else "")


def _not_allowed(location: str) -> UserError:
    return UserError(
        "bad_location",
        "{location} may not be watched. An administrator allows folders by KINTSUGI_INTAKE_ROOTS; "
        "allowed is: {roots}.",
        location=location,
        roots=", ".join(settings.INTAKE_ROOTS) or gettext_lazy("nothing yet"),
        field="location",
    )


def gone(location: str, error: Exception) -> UserError:
    """The place itself cannot be looked into."""
    return UserError(
        "no_folder",
        "{location} cannot be looked into: {reason}. Check the path, the network drive and the "
        "rights; it is tried again every few seconds.",
        location=location,
        reason=_reason(error),
    )


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


# --- a folder of this machine ----------------------------------------------------------


class Folder:
    """Links inside are never followed; every step down is opened by itself, so that nobody can
    put a link in the way between a look and the reading."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def files(self) -> Iterator[Seen]:
        """Every file below, but those that were put away. Raises UserError `no_folder`."""
        try:
            yield from self._below(b"", 0)
        except OSError as error:
            raise gone(str(self.root), error) from error

    def _below(self, folder: bytes, depth: int) -> Iterator[Seen]:
        with os.scandir(os.path.join(os.fsencode(self.root), folder)) as found:  # noqa: PTH118
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            key = folder + entry.name
            if entry.is_dir(follow_symlinks=False):
                put_away = not folder and os.fsdecode(entry.name) in (PROCESSED, REJECTED)
                if not put_away and depth < DEEPEST:
                    yield from self._readable_below(key + b"/", depth + 1)
            elif not is_litter(os.fsdecode(key)):
                yield from self._seen(key, entry)

    def _readable_below(self, folder: bytes, depth: int) -> Iterator[Seen]:
        try:
            yield from self._below(folder, depth)
        except FileNotFoundError:
            return  # it went while we looked

    def _seen(self, key: bytes, entry: "os.DirEntry[bytes]") -> Iterator[Seen]:
        try:
            found = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return
        if stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode):
            link = stat.S_ISLNK(found.st_mode)
            yield Seen(key, found.st_size, str(found.st_mtime_ns), link)

    @contextmanager
    def open(self, seen: Seen) -> Iterator[IO[bytes]]:
        """The file, as it was seen. Raises UserError: vanished, unreadable, changed."""
        try:
            file = os.fdopen(self._open(seen.key), "rb")
        except OSError as error:
            raise _unreadable(seen, error) from error
        with file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or _changed(found, seen):
                raise changed(seen)
            yield file
            if _changed(os.fstat(file.fileno()), seen):
                raise changed(seen)

    def _open(self, key: bytes) -> int:
        *folders, name = key.split(b"/")
        here = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for folder in folders:
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
                below = os.open(folder, flags, dir_fd=here)
                os.close(here)
                here = below
            return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=here)
        finally:
            os.close(here)

    def move(self, seen: Seen, folder: str, mark: str) -> None:
        """Put it under processed/ or rejected/; what has that name already keeps it."""
        with self.open(seen):
            pass  # it is still the file that was judged
        target = self._free_place(os.fsencode(folder) + b"/" + seen.key, mark)
        os.rename(os.path.join(os.fsencode(self.root), seen.key), target)  # noqa: PTH104, PTH118

    def _free_place(self, key: bytes, mark: str) -> bytes:
        target = os.path.join(os.fsencode(self.root), key)  # noqa: PTH118
        folder = Path(os.fsdecode(target)).parent
        folder.mkdir(parents=True, exist_ok=True)
        if not folder.resolve().is_relative_to(self.root):
            raise OSError(errno.EXDEV, "processed/ or rejected/ leads out of the watched folder")
        if os.path.lexists(target):
            stem, dot, ending = target.rpartition(b".")
            target = (stem or target) + b"-" + mark.encode() + (dot + ending if stem else b"")
        return target

    def delete(self, seen: Seen) -> None:
        with self.open(seen):
            pass
        os.unlink(os.path.join(os.fsencode(self.root), seen.key))  # noqa: PTH108, PTH118


def _changed(found: os.stat_result, seen: Seen) -> bool:
    return found.st_size != seen.size or str(found.st_mtime_ns) != seen.version


def changed(seen: Seen) -> UserError:
    """It is being written again; it waits until that ends."""
    return UserError(
        "changed", "{name} changed while it was read; it is read again.", name=seen.shown
    )


def _unreadable(seen: Seen, error: OSError) -> UserError:
    if error.errno == errno.ENOENT:
        return vanished(seen)
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return is_link(seen)
    return UserError(
        "unreadable",
        "{name} cannot be read: {reason}. Give Kintsugi the right to read it; it is tried again.",
        name=seen.shown,
        reason=_reason(error),
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


# --- an S3 store -----------------------------------------------------------------------


class Bucket:
    """A prefix of a bucket; credentials, region and address come from the environment."""

    def __init__(self, bucket: str, prefix: str) -> None:
        import boto3  # type: ignore[import-untyped]
        from botocore.config import Config  # type: ignore[import-untyped]

        limits = Config(
            connect_timeout=S3_WAIT_S, read_timeout=4 * S3_WAIT_S, retries={"max_attempts": 2}
        )
        self.bucket, self.prefix = bucket, prefix
        self.client: Any = boto3.client("s3", config=limits)

    def files(self) -> Iterator[Seen]:
        """Every object below the prefix, but those that were put away."""
        from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

        pages = self.client.get_paginator("list_objects_v2")
        try:
            for page in pages.paginate(Bucket=self.bucket, Prefix=self.prefix):
                for one in page.get("Contents", ()):
                    yield from self._seen(one)
        except (BotoCoreError, ClientError) as error:
            raise gone(f"{S3}{self.bucket}/{self.prefix}", error) from error

    def _seen(self, one: dict[str, Any]) -> Iterator[Seen]:
        key = str(one["Key"]).removeprefix(self.prefix)
        top = PurePosixPath(key).parts[:1]
        if not key or key.endswith("/") or is_litter(key) or top in ((PROCESSED,), (REJECTED,)):
            return
        yield Seen(key.encode(), int(one["Size"]), str(one["ETag"]).strip('"')[:80])

    @contextmanager
    def open(self, seen: Seen) -> Iterator[IO[bytes]]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = self.client.get_object(
                Bucket=self.bucket, Key=self._key(seen), IfMatch=f'"{seen.version}"'
            )
        except ClientError as error:
            raise self._refusal(seen, error) from error
        except BotoCoreError as error:
            raise gone(f"{S3}{self.bucket}/{self.prefix}", error) from error
        with answer["Body"] as stream:
            yield stream

    def _refusal(self, seen: Seen, error: Any) -> UserError:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in ("NoSuchKey", "404"):
            return vanished(seen)
        if code in ("PreconditionFailed", "412"):
            return changed(seen)
        return UserError(
            "unreadable",
            "{name} cannot be read: {reason}. It is tried again.",
            name=seen.shown,
            reason=error,
        )

    def move(self, seen: Seen, folder: str, mark: str) -> None:
        """Copy, then delete: killed in between, both are done once more."""
        target = f"{self.prefix}{folder}/{seen.key.decode()}"
        if self._there(target):
            stem, dot, ending = target.rpartition(".")
            target = f"{stem or target}-{mark}{dot + ending if stem else ''}"
        origin = {"Bucket": self.bucket, "Key": self._key(seen)}
        self.client.copy_object(
            Bucket=self.bucket, Key=target, CopySource=origin, CopySourceIfMatch=seen.version
        )
        self.delete(seen)

    def _there(self, key: str) -> bool:
        found = self.client.list_objects_v2(Bucket=self.bucket, Prefix=key, MaxKeys=1)
        return any(one["Key"] == key for one in found.get("Contents", ()))

    def delete(self, seen: Seen) -> None:
        self.client.delete_object(Bucket=self.bucket, Key=self._key(seen))

    def _key(self, seen: Seen) -> str:
        return self.prefix + seen.key.decode()
