"""Files that come in: every one gets a receipt, and nothing accepted is ever lost."""

from datetime import timedelta
from pathlib import Path
from typing import IO
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from inspection import policies
from inspection.errors import UserError, WrongState
from inspection.ids import new_id
from inspection.jobs.cancel import request_cancel
from inspection.jobs.claim import queued_again
from inspection.jobs.publish import enqueue
from inspection.models import (
    Batch,
    Dataset,
    JobState,
    PartialFile,
    Product,
    Role,
    Upload,
    UploadArchive,
    UploadReceipt,
    User,
)

from . import batches, receipts
from .access import require
from .audit import record
from .disk import check_free_space
from .images import MB, display_name, too_large
from .incoming import Incoming, check_key, other_archive, stage
from .locking import lock_row
from .receipts import receipt_payload, upload_progress

__all__ = [
    "can_go_on",
    "cancel_upload",
    "check_may_send",
    "close_abandoned",
    "close_upload",
    "keep_open",
    "known_file",
    "open_upload",
    "place_and_role",
    "receipt_payload",
    "receive_file",
    "resume_upload",
    "unpack",
    "upload_progress",
]

ABANDONED_AFTER = timedelta(hours=1)


# --- open, close -----------------------------------------------------------------------


def open_upload(
    user: User | None,
    *,
    dataset: Dataset | None = None,
    batch: Batch | None = None,
    expected_files: int | None = None,
    folders: str = Upload.Folders.NOTHING,
) -> Upload:
    """Begin a drop of files into a dataset or a batch (exactly one of them).

    `folders` (Upload.Folders) says what the folder names inside a zip or a dropped folder mean.
    """
    if (dataset is None) == (batch is None):
        raise ValueError("an upload goes into a dataset or into a batch")
    if folders not in Upload.Folders.values:
        raise UserError("bad_folders", "Folder names mean nothing, a label or a lot.")
    upload = Upload(
        dataset=dataset,
        batch=batch,
        created_by=user,
        expected_files=expected_files,
        folders=folders,
        state=JobState.DONE,  # nothing to unpack yet
    )
    _check_may(user, upload)
    policies.check_in_use(_product(upload))
    if batch:
        policies.check_open(batch)
    check_free_space()
    with transaction.atomic():
        upload.save()
        record(
            user,
            "upload.opened",
            upload,
            product=_product(upload),
            after={"into": str(dataset or batch), "expected_files": expected_files},
        )
    return upload


def close_upload(user: User | None, upload: Upload) -> Upload:
    """Nothing more is coming. The batch of an upload is sealed once all is unpacked."""
    _check_may(user, upload)
    with transaction.atomic():
        open_ = Upload.objects.filter(pk=upload.pk, closed_at=None)
        if open_.update(closed_at=timezone.now()):
            after = upload_progress(upload)
            record(user, "upload.closed", upload, product=_product(upload), after=after)
            seal_when_complete(user, upload)
    upload.refresh_from_db()
    receipts.announce(upload, [], now=True)
    return upload


def close_all(user: User | None, batch: Batch) -> None:
    """Close what is still open of a batch that is to be sealed."""
    for upload in Upload.objects.filter(batch=batch, closed_at=None):
        close_upload(user, upload)


def close_abandoned() -> int:
    """Close uploads whose browser went away; what they brought is kept. Returns how many.

    An upload that something arrives for, that is being unpacked, that a large file may still go
    on for, or whose batch is to be kept open is left alone.
    """
    closed = [_close_quiet(upload) for upload in _quiet_uploads()]
    return sum(closed)


def _quiet_uploads() -> QuerySet[Upload]:
    return (
        Upload.objects.filter(closed_at=None, active_at__lt=timezone.now() - ABANDONED_AFTER)
        .exclude(state__in=(JobState.QUEUED, JobState.RUNNING))
        .exclude(batch__keep_open=True)
        .exclude(Exists(_unfinished()))
    )


def _unfinished() -> QuerySet[PartialFile]:
    """A large file of the upload that comes in pieces, and whose sender may still go on."""
    alive = PartialFile.objects.filter(finished_at=None, expires_at__gt=timezone.now())
    return alive.filter(upload=OuterRef("pk"))


def _close_quiet(upload: Upload) -> bool:
    """Close one, unless something came, or a person asked to keep it, since it was found."""
    with transaction.atomic():
        lock_row(upload)
        if not _quiet_uploads().filter(pk=upload.pk).exists():
            return False
        close_upload(None, upload)
    return True


def keep_open(user: User | None, batch: Batch, keep: bool) -> None:
    """Say that more pictures follow later, so that nothing but a person closes the batch; or
    that no more follow, which closes it as soon as all that was sent is there."""
    product = batch.viewpoint.product
    require(user, policies.REVIEW, product)
    with transaction.atomic():
        lock_row(batch)
        batch.refresh_from_db()
        policies.check_open(batch)
        if batch.keep_open == keep:
            return
        batch.keep_open = keep
        batch.save(update_fields=["keep_open"])
        record(user, "batch.keep_open", batch, product=product, after={"keep_open": keep})
        last = batch.uploads.order_by("-id").first()
        if last and not keep:
            seal_when_complete(user, last)


def seal_when_complete(user: User | None, upload: Upload) -> None:
    """Seal the batch when no upload brings it anything more and nobody wants it kept open."""
    if upload.batch_id is None:
        return
    batch = Batch.objects.get(pk=upload.batch_id)
    lock_row(batch)
    coming = batch.uploads.filter(closed_at=None).exists()
    packed = UploadArchive.objects.filter(upload__batch=batch, unpacked_at=None).exists()
    batch.refresh_from_db()
    wanted = coming or packed or batch.keep_open
    if not (wanted or batch.sealed_at or batch.cancel_requested_at):
        batches.seal(user, batch)


# --- one file --------------------------------------------------------------------------


def receive_file(
    user: User | None,
    upload: Upload,
    *,
    client_key: str,
    name: str,
    stream: IO[bytes],
    size: int,
    path: Path | None = None,
) -> UploadReceipt | UploadArchive:
    """Take one file; a second send with the same key gets the first one's receipt.

    A zip is staged and unpacked by a job; a picture is checked, kept and put in its place. `path`
    says where in the staging folder the whole file lies already.
    Raises UserError only for what another try may mend.
    """
    _check_may(user, upload)
    check_key(client_key)
    known = known_file(upload, client_key)
    if known:
        return known
    _check_takes_files(upload)
    receipts.renew(upload)
    file = Incoming(
        display_name(name), stream, size, heard=lambda: receipts.renew(upload), path=path
    )
    try:
        taken = _take(user, upload, client_key, file)
    except UserError as refusal:
        taken = receipts.refuse(upload, client_key, file.name, refusal, size=size)
    if isinstance(taken, UploadReceipt):
        receipts.announce(upload, [taken])
    return taken


def _take(
    user: User | None, upload: Upload, client_key: str, file: Incoming
) -> UploadReceipt | UploadArchive:
    if file.is_other_archive:
        raise other_archive(file.name)
    limit = settings.MAX_ARCHIVE_MB if file.is_zip else settings.MAX_FILE_MB
    if file.size > limit * MB:
        raise too_large(file.name, limit)
    if file.is_zip:
        return _take_archive(upload, client_key, file)
    return receipts.take(user, upload, client_key, file)


def _take_archive(upload: Upload, client_key: str, file: Incoming) -> UploadArchive:
    target = settings.STAGING_DIR / f"{new_id()}.zip"
    size = stage(file, target)
    try:
        with transaction.atomic():
            archive = UploadArchive.objects.create(
                upload=upload,
                client_key=client_key,
                file_name=file.name,
                path=target.name,
                size_bytes=size,
            )
            lock_row(upload)  # a job that is just ending must see the archive, or we it
            _check_not_cancelled(upload)
            queue(upload)
    except IntegrityError:  # the same key came twice at once
        target.unlink(missing_ok=True)
        return upload.archives.get(client_key=client_key)
    except WrongState:
        target.unlink(missing_ok=True)
        raise
    return archive


def queue(upload: Upload) -> None:
    """Have the archives unpacked, unless somebody is at it already and will see them."""
    idle = Upload.objects.filter(pk=upload.pk, state__in=(JobState.DONE, JobState.FAILED))
    fresh = {"state": JobState.QUEUED, "attempt": 0, "error": "", "error_code": ""}
    if idle.update(**fresh, finished_at=None, **queued_again()):
        enqueue(upload)


def known_file(upload: Upload, client_key: str) -> UploadReceipt | UploadArchive | None:
    """What became of a file with this key, where it came already."""
    return (
        receipts.find(upload, client_key) or upload.archives.filter(client_key=client_key).first()
    )


def check_may_send(user: User | None, upload: Upload) -> None:
    """Raise unless `user` may bring files to this upload and it still takes some."""
    _check_may(user, upload)
    _check_takes_files(upload)


def _check_takes_files(upload: Upload) -> None:
    takes = Upload.objects.filter(pk=upload.pk, closed_at=None).exclude(state=JobState.CANCELLED)
    if not takes.exists():
        raise WrongState(
            "upload_closed", "This upload is closed. Start a new upload for more pictures."
        )


def _check_not_cancelled(upload: Upload) -> None:
    """A zip that was on its way when its upload was cancelled would wait for ever."""
    if Upload.objects.filter(pk=upload.pk, state=JobState.CANCELLED).exists():
        raise WrongState(
            "upload_cancelled", "This upload was cancelled. Start a new upload for more pictures."
        )


# --- stop, go on -----------------------------------------------------------------------


def cancel_upload(user: User | None, upload: Upload) -> Upload:
    """Take nothing more and stop unpacking. What was accepted stays."""
    _check_may(user, upload)
    with transaction.atomic():
        upload.refresh_from_db()
        if upload.state == JobState.FAILED or request_cancel(upload):
            discard_archives(upload)  # otherwise the worker does, when it looks
        Upload.objects.filter(pk=upload.pk, closed_at=None).update(closed_at=timezone.now())
        after = upload_progress(upload)
        record(user, "upload.cancelled", upload, product=_product(upload), after=after)
        seal_when_complete(user, upload)
    upload.refresh_from_db()
    receipts.announce(upload, [], now=True)
    return upload


def settle(upload: Upload) -> None:
    """What must happen when the reaper ended the job of an upload."""
    if upload.state == JobState.CANCELLED:
        discard_archives(upload)
        seal_when_complete(None, upload)


def discard_archives(upload: Upload) -> None:
    """Forget archives that nobody will unpack any more."""
    waiting = upload.archives.filter(unpacked_at=None)
    paths = list(waiting.values_list("path", flat=True))
    waiting.update(unpacked_at=timezone.now())
    for path in paths:
        transaction.on_commit(lambda path=path: staged_archive(path).unlink(missing_ok=True))  # type: ignore[misc]


def staged_archive(path: str) -> Path:
    """Where an archive waits."""
    return Path(settings.STAGING_DIR) / path


def resume_upload(user: User | None, upload: Upload) -> Upload:
    """Unpack the rest of an upload whose unpacking failed."""
    _check_may(user, upload)
    upload.refresh_from_db()
    if upload.state != JobState.FAILED:
        raise WrongState("not_resumable", "Only an upload whose unpacking failed can go on.")
    if not can_go_on(upload):
        raise WrongState(
            "nothing_waits", "The zip is no longer here. Drop it again: what is there is known."
        )
    with transaction.atomic():
        record(user, "upload.resumed", upload, product=_product(upload))
        queue(upload)
    upload.refresh_from_db()
    return upload


def can_go_on(upload: Upload) -> bool:
    """Whether unpacking failed and a zip of this upload still waits in the staging folder."""
    waiting = upload.archives.filter(unpacked_at=None).values_list("path", flat=True)
    return upload.state == JobState.FAILED and any(staged_archive(p).exists() for p in waiting)


def unpack(upload_id: UUID | str) -> None:
    """Unpack the archives of an upload (the body of the job)."""
    from .unpacking import unpack as body  # it calls back into this module

    body(upload_id)


# --- who may ---------------------------------------------------------------------------


def place_and_role(upload: Upload) -> tuple[Dataset | Batch, Role]:
    """Where the files go, and the role that it takes to bring them: inspectors bring pictures
    to be judged; what is learned from is an engineer's matter."""
    target = upload.dataset or upload.batch
    assert target  # noqa: S101  (a check constraint of the table)
    return target, policies.MANAGE if upload.dataset_id else policies.REVIEW


def _product(upload: Upload) -> Product:
    return place_and_role(upload)[0].viewpoint.product


def _check_may(user: User | None, upload: Upload) -> None:
    target, role = place_and_role(upload)
    require(user, role, target.viewpoint.product)
