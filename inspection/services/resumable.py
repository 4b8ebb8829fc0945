"""Files that come in pieces: what is acknowledged is on the disk, whatever is killed when.

The bytes are written and synced first, the row's offset afterwards; so after a crash the truth is
the smaller of the two. One writer at a time holds the file by a lock that dies with its process;
the row moves on only from the offset that the writer found.
"""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import IO
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet, Sum
from django.utils import timezone
from django.utils.translation import gettext_noop

from inspection.errors import UserError, WrongState
from inspection.models import PartialFile, Upload, UploadArchive, UploadReceipt, User

from . import dataset_pictures, receipts, uploads
from .audit import record
from .disk import GB, check_free_space
from .images import MB, display_name
from .incoming import check_key
from .partial_end import finish

BLOCK = 1 << 20
METADATA_LENGTH = 2000


class Gone(UserError):
    """There was such a file; it ran out of time or was given up."""


class Busy(UserError):
    """Another piece of the same file is being written now; ask again in a moment."""


class WrongOffset(UserError):
    """The sender goes on from another place than what is kept here."""

    def __init__(self, offset: int) -> None:
        sentence = gettext_noop("{offset} bytes of this file are here. Go on from there.")
        super().__init__("wrong_offset", sentence, offset=offset)
        self.offset = offset


class WrongChecksum(UserError):
    """The piece was damaged on its way; nothing of it was kept."""


@dataclass(frozen=True)
class Checksum:
    """What a piece must hash to: an algorithm of hashlib's, and its digest."""

    algorithm: str
    digest: bytes


# --- begin -----------------------------------------------------------------------------


def begin(
    user: User,
    *,
    upload: Upload | None,
    length: int,
    file_name: str,
    client_key: str,
    metadata: str = "",
) -> PartialFile:
    """Announce a file of `length` bytes; with an `upload` into it, else as a picture of `user`'s.

    Raises UserError where it is too large, where too much of the user's is unfinished already, or
    where the disk has no room for all that was announced.
    """
    check_key(client_key)
    _check_may_send(user, upload)
    _check_length(length, most_mb(upload), display_name(file_name))
    if len(metadata) > METADATA_LENGTH:
        raise UserError(
            "metadata_too_long",
            "Upload-Metadata must be at most {most} characters.",
            most=METADATA_LENGTH,
        )
    with transaction.atomic():
        User.objects.filter(pk=user.pk).update(username=F("username"))  # one of theirs at a time
        _check_quota(user, length)
        check_free_space((length + _announced()) / GB)
        return PartialFile.objects.create(
            owner=user,
            upload=upload,
            client_key=client_key,
            file_name=display_name(file_name),
            length=length,
            metadata=metadata,
            expires_at=_expiry(),
        )


def _check_may_send(user: User, upload: Upload | None) -> None:
    """Raise unless `user` may bring pictures there; an upload that something comes for is alive."""
    if upload is None:
        dataset_pictures.check_may_send(user)
    else:
        uploads.check_may_send(user, upload)
        receipts.renew(upload)


def most_mb(upload: Upload | None) -> int:
    """The largest file that may be announced, in MB: into an upload a zip may come."""
    return int(settings.MAX_ARCHIVE_MB if upload else settings.MAX_FILE_MB)


def _check_length(length: int, limit_mb: int, name: str) -> None:
    if length == 0:
        raise UserError(
            "empty_file", "{name} is empty (0 bytes). Send the picture anew.", name=name
        )
    if length > limit_mb * MB:
        raise UserError(
            "too_large",
            "{name} is larger than {limit} MB. Split it, or ask an administrator to raise the "
            "limit.",
            name=name,
            limit=limit_mb,
        )


def _check_quota(user: User, length: int) -> None:
    mine = PartialFile.objects.filter(owner=user, finished_at=None, expires_at__gt=timezone.now())
    held = mine.aggregate(total=Sum("length"))["total"] or 0
    if mine.count() >= settings.MAX_UNFINISHED_FILES or (
        held + length > settings.MAX_UNFINISHED_MB * MB
    ):
        raise UserError(
            "too_much_unfinished",
            "{held:.1f} GB of yours are announced and not yet here; at most {most:.1f} GB or "
            "{files} files may be. Finish or give up one of them first.",
            held=held / GB,
            most=settings.MAX_UNFINISHED_MB * MB / GB,
            files=settings.MAX_UNFINISHED_FILES,
        )


def _announced() -> int:
    """Bytes of everybody's that are still to come."""
    alive = PartialFile.objects.filter(finished_at=None, expires_at__gt=timezone.now())
    return int(alive.aggregate(left=Sum(F("length") - F("offset")))["left"] or 0)


def _expiry() -> datetime:
    return timezone.now() + timedelta(hours=settings.UNFINISHED_HOURS)


# --- look ------------------------------------------------------------------------------


def find(user: User, key: UUID, upload: Upload | None) -> PartialFile | None:
    """The file, where it is `user`'s and at this address; of others nobody learns anything."""
    return (
        PartialFile.objects.select_related("owner", "upload", "image")
        .filter(pk=key, owner=user, upload=upload)
        .first()
    )


def offset_of(partial: PartialFile) -> int:
    """How many bytes are safely here: as many as the row knows and the file holds."""
    if partial.finished_at:
        return partial.offset
    with contextlib.suppress(FileNotFoundError):
        return min(partial.offset, partial.path.stat().st_size)
    return 0


def payload(partial: PartialFile) -> dict[str, object]:
    """One file as a program is told of it. `state`: receiving, checking, done or expired; what
    became of it is in `outcome` and the fields after it, as in a receipt."""
    receipt = _receipt(partial) if partial.finished_at else None
    told = (
        receipts.receipt_payload(receipt)
        if receipt
        else {
            "client_key": partial.client_key,
            "file_name": partial.file_name,
            "outcome": ("refused" if partial.code else "accepted") if partial.finished_at else "",
            "code": partial.code,
            "message": partial.message,
            "image_id": str(partial.image_id) if partial.image_id else None,
        }
    )
    return {
        "id": str(partial.pk),
        "state": _state(partial),
        "length": partial.length,
        "offset": offset_of(partial),
        "expires_at": None if partial.finished_at else partial.expires_at,
        **told,
    }


def _state(partial: PartialFile) -> str:
    if partial.finished_at:
        return "done"
    if partial.expired:
        return "expired"
    return "checking" if partial.whole else "receiving"


def _receipt(partial: PartialFile) -> UploadReceipt | UploadArchive | None:
    if partial.upload is None:
        return None
    return uploads.known_file(partial.upload, partial.client_key)


# --- one piece -------------------------------------------------------------------------


def append(
    partial: PartialFile,
    stream: IO[bytes],
    *,
    offset: int,
    size: int,
    checksum: Checksum | None = None,
) -> int:
    """Keep the next `size` bytes, which begin at `offset`; returns how many are here now.

    What came of a piece that breaks off is kept, unless it has a checksum. The last piece also
    takes the whole file where it belongs. Raises Gone, Busy, WrongOffset, WrongChecksum.
    """
    _check_may_send(partial.owner, partial.upload)
    with _held(partial) as file:
        here = offset_of(partial)
        if offset != here:
            raise WrongOffset(here)
        if offset + size > partial.length:
            raise UserError(
                "too_much",
                "{length} bytes were announced; this piece would end at {end}. Send the rest only.",
                length=partial.length,
                end=offset + size,
            )
        if not partial.finished_at:
            check_free_space(size / GB)
            _write(partial, file, stream, size, checksum)
            if partial.whole:
                finish(partial)
    return partial.offset


@contextlib.contextmanager
def _held(partial: PartialFile) -> Iterator[IO[bytes]]:
    """The file, for this writer alone; `partial` is as it is once nobody else holds it."""
    path = partial.path
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as held:
            raise Busy("busy", "Another piece of this file is on its way. Wait for it.") from held
        if not PartialFile.objects.filter(pk=partial.pk).exists():
            path.unlink(missing_ok=True)
            raise Gone("gone", "This file was given up. Begin again.")
        partial.refresh_from_db()
        if partial.finished_at:
            path.unlink(missing_ok=True)
        elif partial.expired:
            raise Gone("expired", "This file was not finished in time. Begin again.")
        yield file


def _write(
    partial: PartialFile, file: IO[bytes], stream: IO[bytes], size: int, checksum: Checksum | None
) -> None:
    """Bytes, sync, row; what is in the file beyond the row's word was never acknowledged."""
    begin_at = offset_of(partial)
    file.truncate(begin_at)
    file.seek(begin_at)
    came, right = _copy(stream, file, size, checksum)
    if not right or (checksum and came < size):
        file.truncate(begin_at)
        raise WrongChecksum("wrong_checksum", "This piece was damaged on its way. Send it again.")
    file.flush()
    os.fsync(file.fileno())
    rows = PartialFile.objects.filter(pk=partial.pk, offset=partial.offset, finished_at=None)
    if not rows.update(offset=begin_at + came, expires_at=_expiry()):
        if not PartialFile.objects.filter(pk=partial.pk).exists():
            raise Gone("expired", "This file was not finished in time. Begin again.")
        partial.refresh_from_db()
        raise WrongOffset(partial.offset)  # somebody wrote whom the lock of this disk did not hold
    partial.refresh_from_db(fields=["offset", "expires_at"])


def _copy(
    stream: IO[bytes], file: IO[bytes], size: int, checksum: Checksum | None
) -> tuple[int, bool]:
    """How many bytes came, at most `size`, and whether they hash to the checksum."""
    digest = hashlib.new(checksum.algorithm, usedforsecurity=False) if checksum else None
    came = 0
    while came < size and (block := stream.read(min(BLOCK, size - came))):
        file.write(block)
        came += len(block)
        if digest:
            digest.update(block)
    return came, checksum is None or digest is None or digest.digest() == checksum.digest


# --- the end ---------------------------------------------------------------------------


def settle(partial: PartialFile) -> None:
    """Take a file whose bytes are all here and that nobody took: its writer died just then.

    Does nothing while somebody else is at it.
    """
    if partial.finished_at or partial.expired or offset_of(partial) < partial.length:
        return
    with contextlib.suppress(Busy, Gone), _held(partial):
        if not partial.finished_at:
            finish(partial)


def give_up(user: User, partial: PartialFile) -> None:
    """Forget a file and its bytes, as its owner wishes. What was taken already stays taken."""
    with _held(partial):
        with transaction.atomic():
            record(user, "partial_file.given_up", partial, after={"offset": partial.offset})
            PartialFile.objects.filter(pk=partial.pk).delete()
        partial.path.unlink(missing_ok=True)


def tidy() -> int:
    """Take what is whole and was left, forget what ran out of time; returns how many went."""
    now = timezone.now()
    for partial in PartialFile.objects.filter(
        finished_at=None, expires_at__gt=now, offset=F("length")
    ).select_related("owner", "upload"):
        with contextlib.suppress(UserError, WrongState):
            settle(partial)
    old = now - timedelta(hours=settings.UNFINISHED_HOURS)
    ended = PartialFile.objects.filter(
        Q(finished_at=None, expires_at__lt=now) | Q(finished_at__lt=old)
    )
    return sum(_forget(partial, ended) for partial in list(ended))


def _forget(partial: PartialFile, ended: "QuerySet[PartialFile]") -> bool:
    """Delete it unless a piece came since it was found: that gave it new time."""
    deleted, _ = ended.filter(pk=partial.pk).delete()
    if deleted:
        partial.path.unlink(missing_ok=True)
    return bool(deleted)
