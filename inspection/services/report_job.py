"""What a worker does with a report: collect, write a file, put it where files are kept."""

import hashlib
import logging
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.files import File
from django.core.files.storage import default_storage
from django.db import DatabaseError, transaction
from django.utils import timezone, translation
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from inspection.errors import UserError
from inspection.jobs import shutdown
from inspection.jobs.claim import Claim, LeaseLost, claim
from inspection.jobs.lease import Lease
from inspection.jobs.publish import publish
from inspection.models import JobState, Report, ReportKind

from . import announce, lot_csv, lot_pdf, quality_pdf, reports
from .lot_facts import LotFacts
from .notifications import notify

log = logging.getLogger(__name__)
TELL_EVERY_S = 1.0
BLOCK = 1 << 20
# How much of the whole each step is, from where to where.
SHARES = {"list": (0.0, 0.3), "pictures": (0.3, 0.95), "write": (0.95, 1.0)}


class Stopped(Exception):
    """Somebody asked to cancel, or this worker stops."""


def make(report_id: UUID | str) -> None:
    """Make a queued report. A message that comes twice does nothing."""
    held = claim(Report, report_id)
    if held is None:
        return
    try:
        with Lease(held) as lease, translation.override(held.job.language):
            _Making(held, lease).run()
    except LeaseLost:
        log.warning("report %s is no longer ours: nothing more is written", report_id)
    except DatabaseError:
        raise  # the row cannot be written either; the reaper takes over


def settle(report: Report) -> None:
    """What else happens when the reaper moved a report; runs in its transaction."""
    announce.report_state(report)
    if report.state == JobState.FAILED:
        _tell_failed(report)


class _Making:
    """One attempt of one worker."""

    def __init__(self, held: Claim[Report], lease: Lease) -> None:
        self.held = held
        self.report = held.job
        self.lease = lease
        self.began = self.told_at = time.monotonic()

    def run(self) -> None:
        announce.report_state(self.report)
        try:
            with tempfile.TemporaryDirectory(dir=_staging()) as folder:
                self._make(Path(folder) / reports.file_name(self.report))
        except Stopped:
            self._stop()
        except UserError as refusal:
            self._fail(refusal.code, refusal.message)
        except (LeaseLost, DatabaseError):
            raise
        except Exception as error:
            log.exception("report %s failed", self.report.pk)
            if self.held.may_retry():
                self.held.requeue(count_attempt=True)  # the reaper publishes it, a little later
                return
            self._fail("report_failed", _cause(error))

    def _make(self, target: Path) -> None:
        contents = self._write(target)
        self._step("write", 1, 1)
        digest = _sha256(target)
        key = f"reports/{timezone.now():%Y/%m}/{self.report.pk}/{self.held.token}{target.suffix}"
        with target.open("rb") as file:
            saved = default_storage.save(key, File(file))
        facts = {
            "file_key": saved,
            "file_sha256": digest,
            "contents_sha256": contents,
            "size_bytes": target.stat().st_size,
        }
        try:
            self._done(facts)
        except BaseException:
            default_storage.delete(saved)
            raise

    def _write(self, target: Path) -> str:
        """Write the document; returns the SHA-256 of its contents."""
        report = self.report
        if report.kind == ReportKind.LOT_CSV:
            facts = _facts(report)
            with target.open("wb") as file:
                return lot_csv.write(facts, file, lambda n, _p: self._step("write", n, n))
        title = str(report)
        if report.kind == ReportKind.LOT_PDF:
            facts = _facts(report)
            return lot_pdf.write(facts, target, self._step, title, report.requested_by)
        return quality_pdf.write(report, target, self._step, title)

    # --- between two steps -----------------------------------------------------------------

    def _step(self, what: str, done: int, total: int) -> None:
        """Still ours, still wanted, and this worker staying? About once a second: tell."""
        if self.lease.lost.is_set():
            raise LeaseLost(str(self.held.id))
        now = time.monotonic()
        if now - self.told_at < TELL_EVERY_S:
            return
        self.told_at = now
        if shutdown.requested() or self.held.cancel_requested():
            raise Stopped
        low, high = SHARES[what]
        fraction = low + (high - low) * min(1.0, done / max(1, total))
        if not self.held.write(progress=self._progress(what, done, total, fraction, now)):
            raise LeaseLost(str(self.held.id))
        self.report.refresh_from_db()
        announce.report_state(self.report)

    def _progress(
        self, what: str, done: int, total: int, fraction: float, now: float
    ) -> dict[str, Any]:
        left = (now - self.began) * (1 - fraction) / fraction if fraction > 0.05 else None
        eta = None if left is None else round(left, 1)
        return {"stage": what, "done": done, "total": total, "fraction": fraction, "eta_s": eta}

    # --- how it ended ------------------------------------------------------------------------

    def _done(self, facts: dict[str, Any]) -> None:
        with transaction.atomic():
            if not self.held.finish(JobState.DONE, progress={"fraction": 1.0}, **facts):
                raise LeaseLost(str(self.held.id))
            report = Report.objects.select_related("lot", "product", "requested_by").get(
                pk=self.held.id
            )
            announce.report_state(report)
            if report.requested_by:
                notify(
                    report.requested_by,
                    kind="report_done",
                    title=format_lazy(_("{report} is ready"), report=report),
                    url="/reports/",
                    product=report.product,
                )

    def _stop(self) -> None:
        if self.held.cancel_requested():
            with transaction.atomic():
                self.held.finish(JobState.CANCELLED)
                self._announce()
        elif self.held.requeue(count_attempt=False):
            publish(Report, self.held.id)

    def _fail(self, code: str, sentence: str) -> None:
        with transaction.atomic():
            if self.held.finish(JobState.FAILED, error_code=code, error=sentence):
                self._announce()
                _tell_failed(self.report)

    def _announce(self) -> None:
        self.report.refresh_from_db()
        announce.report_state(self.report)


def _tell_failed(report: Report) -> None:
    if report.requested_by:
        notify(
            report.requested_by,
            kind="report_failed",
            title=format_lazy(_("{report} could not be made"), report=report),
            text=report.error,
            url="/reports/",
        )


def _facts(report: Report) -> LotFacts:
    assert report.lot  # noqa: S101  (checked when it was ordered)
    return LotFacts.of(report.lot)


def _staging() -> Path:
    folder = Path(settings.STAGING_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _cause(error: Exception) -> str:
    return f"The report could not be made ({type(error).__name__}: {error})."[:300]
