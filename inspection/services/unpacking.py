"""The job that unpacks an upload's archives: one receipt per file, at any moment resumable."""

import logging
import time
import zipfile
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from inspection.errors import UserError
from inspection.jobs import shutdown
from inspection.jobs.claim import Claim, LeaseLost, claim
from inspection.jobs.lease import Lease
from inspection.jobs.publish import publish
from inspection.logs import working_on
from inspection.models import JobState, Upload, UploadArchive, UploadReceipt

from . import receipts, uploads
from .archives import Member, MemberStream, damage_named, members, nested, open_archive
from .incoming import Incoming, other_archive

log = logging.getLogger(__name__)
TELL_EVERY_S = 1.0


class Cancelled(Exception):
    """Somebody asked to stop."""


class ShuttingDown(Exception):
    """This worker stops; another one goes on."""


def unpack(upload_id: UUID | str) -> None:
    """Unpack every archive of an upload that is still packed.

    Does nothing when the row is not queued. May be killed at any moment: what has a receipt
    is skipped by the next attempt.
    """
    held = claim(Upload, upload_id)
    if held is None:
        return
    with working_on(held.id), Lease(held) as lease:
        try:
            _Unpacking(held, lease).run()
        except LeaseLost as lost:
            log.warning("stopped unpacking: %s belongs to somebody else", lost)


class _Unpacking:
    """One attempt of one worker."""

    def __init__(self, held: Claim[Upload], lease: Lease) -> None:
        self.held = held
        self.upload = held.job
        self.lease = lease
        self.untold: list[UploadReceipt] = []
        self.told_at = time.monotonic()

    def run(self) -> None:
        """Do the work and end the job in the state that fits; LeaseLost goes up."""
        try:
            while archive := self._next_archive():
                self._unpack(archive)
            self._finish(JobState.DONE)
        except LeaseLost:
            raise
        except Cancelled:
            self._finish(JobState.CANCELLED)
        except ShuttingDown:
            if self.held.requeue(count_attempt=False):
                publish(Upload, self.held.id)
        except UserError as refusal:  # a full disk: another try would end the same way
            self._finish(JobState.FAILED, error_code=refusal.code, error=refusal.message)
        except Exception:
            log.exception("unpacking broke off")
            self._broke_off()

    def _next_archive(self) -> UploadArchive | None:
        return self.upload.archives.filter(unpacked_at=None).order_by("id").first()

    def _finish(self, state: JobState, **fields: str) -> None:
        """End the job; look once more for an archive that came while it ended. All in one
        transaction: a worker killed in between would leave a batch that nobody seals."""
        with transaction.atomic():
            if not self.held.finish(state, **fields):
                raise LeaseLost(str(self.held.id))
            if state == JobState.CANCELLED:
                uploads.discard_archives(self.upload)
            if state == JobState.DONE and self._next_archive():
                uploads.queue(self.upload)
            if state != JobState.FAILED:
                uploads.seal_when_complete(None, self.upload)
        log.info("unpacking ended: %s", state)
        receipts.announce(self.upload, self.untold, now=True)

    def _broke_off(self) -> None:
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()
        if self.held.may_retry():
            self.held.requeue(count_attempt=True)  # the reaper publishes it, a little later
            return
        self._finish(
            JobState.FAILED,
            error_code="unpacking_failed",
            error="Unpacking broke off several times; the log of the worker says why. What has a "
            "receipt is kept. Send the rest again, or go on with this upload.",
        )

    # --- one archive -------------------------------------------------------------------

    def _unpack(self, archive: UploadArchive) -> None:
        path = uploads.staged_archive(archive.path)
        try:
            with open_archive(archive.file_name, path) as opened:
                self._take_members(archive, opened)
        except UserError as refusal:
            if refusal.code in receipts.PASSING:
                raise
            self._refuse(archive.client_key, archive.file_name, refusal)
        except FileNotFoundError:
            self._refuse(archive.client_key, archive.file_name, _gone(archive))
        self._done_with(archive)
        path.unlink(missing_ok=True)

    def _take_members(self, archive: UploadArchive, opened: zipfile.ZipFile) -> None:
        found = members(archive.client_key, opened)
        if not found:
            raise UserError(
                "empty_archive",
                "{name} holds no files. Pack the pictures and send it again.",
                name=archive.file_name,
            )
        archive.members_total = len(found)
        archive.save(update_fields=["members_total"])
        keys = self.upload.receipts.filter(client_key__startswith=f"{archive.client_key}/")
        there = set(keys.values_list("client_key", flat=True))
        for done, member in enumerate(found, start=1):
            self._look_around()
            if member.key not in there:
                self.untold.append(self._take(member, opened))
            self._tell(archive, done)

    def _done_with(self, archive: UploadArchive) -> None:
        with transaction.atomic():
            self.held.fence()
            archive.members_done = archive.members_total or 0
            archive.unpacked_at = timezone.now()
            archive.save(update_fields=["members_done", "unpacked_at"])

    def _look_around(self) -> None:
        """Between two members: is this job still ours, still wanted, and this worker staying?"""
        if self.lease.lost.is_set():
            raise LeaseLost(str(self.held.id))
        if self.held.cancel_requested():
            raise Cancelled
        if shutdown.requested():
            raise ShuttingDown

    # --- one member --------------------------------------------------------------------

    def _take(self, member: Member, opened: zipfile.ZipFile) -> UploadReceipt:
        if member.refusal:
            return self._refuse(member.key, member.name, member.refusal, member.info.file_size)
        try:
            with damage_named(member.name):
                raw = opened.open(member.info)
            with raw:
                return self._take_stream(member, MemberStream(member.name, raw))
        except UserError as refusal:
            if refusal.code in receipts.PASSING:
                raise
            return self._refuse(member.key, member.name, refusal, member.info.file_size)

    def _take_stream(self, member: Member, stream: MemberStream) -> UploadReceipt:
        file = Incoming(member.name, stream, size=0)  # type: ignore[arg-type]
        if file.is_zip:
            raise nested(member.name)
        if file.is_other_archive:
            raise other_archive(member.name)
        return receipts.take(self.upload.created_by, self.upload, member.key, file, self.held)

    def _refuse(self, key: str, name: str, refusal: UserError, size: int = 0) -> UploadReceipt:
        known = receipts.find(self.upload, key)
        if known:
            return known
        return receipts.refuse(self.upload, key, name, refusal, size=size, claim=self.held)

    # --- what is told ------------------------------------------------------------------

    def _tell(self, archive: UploadArchive, done: int) -> None:
        """Write how far it is, then push, at most once a second."""
        if time.monotonic() - self.told_at < TELL_EVERY_S:
            return
        self.told_at = time.monotonic()
        UploadArchive.objects.filter(pk=archive.pk).update(members_done=done)
        progress = receipts.upload_progress(self.upload)
        fraction = progress["done"] / progress["total"] if progress["total"] else None
        kept = {"done": progress["done"], "total": progress["total"], "fraction": fraction}
        if not self.held.write(progress=kept):
            raise LeaseLost(str(self.held.id))
        receipts.announce(self.upload, self.untold, now=True)
        self.untold = []


def _gone(archive: UploadArchive) -> UserError:
    return UserError(
        "archive_gone",
        "{name} is no longer in the staging folder of this machine. Send it again.",
        name=archive.file_name,
    )
