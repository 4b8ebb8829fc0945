"""Reports: who may order one, and what is kept of it. A worker makes it (`report_job`)."""

from datetime import datetime

from django.core.files.storage import default_storage
from django.db import transaction

from inspection import policies
from inspection.errors import UserError
from inspection.jobs.cancel import request_cancel
from inspection.jobs.publish import enqueue
from inspection.models import JobState, Lot, Product, Report, ReportKind, ReportSchedule, User

from . import announce, report_pdf
from .access import require
from .audit import record
from .disk import check_free_space

LOT_KINDS = (ReportKind.LOT_PDF, ReportKind.LOT_CSV)


def request_report(
    user: User | None,
    product: Product,
    *,
    kind: str,
    lot: Lot | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    language: str = "en",
    schedule: ReportSchedule | None = None,
) -> Report:
    """Order a report; it is queued, and a worker makes it.

    A lot report needs `lot`; a quality report needs `since` and `until` (not included).
    Raises UserError at the field that is missing or wrong, and when a PDF cannot be made here.
    """
    require(user, policies.VIEW, product)
    _check(product, kind, lot, since, until)
    if user is not None and kind != ReportKind.LOT_CSV:
        report_pdf.check()  # said at once; one that the clock ordered fails with the same sentence
    check_free_space()
    of_lot = kind in LOT_KINDS
    with transaction.atomic():
        report = Report.objects.create(
            product=product,
            kind=kind,
            lot=lot if of_lot else None,
            since=None if of_lot else since,
            until=None if of_lot else until,
            language=language,
            requested_by=user,
            schedule=schedule,
            mail_to=schedule.recipients if schedule else [],
            mail_state=Report.Mail.WAITING if schedule else Report.Mail.NONE,
        )
        record(user, "report.requested", report, product=product, after={"kind": kind})
        enqueue(report)
        announce.report_state(report)
    return report


def cancel_report(user: User, report: Report) -> None:
    """Stop making it: who ordered it may, and engineers of the product."""
    own = report.requested_by_id == user.pk
    require(user, policies.VIEW if own else policies.MANAGE, report.product)
    policies.check_cancellable(report)
    with transaction.atomic():
        request_cancel(report)
        report.refresh_from_db()
        record(user, "report.cancelled", report, product=report.product)
        announce.report_state(report)


def delete_report(user: User, report: Report) -> None:
    """Delete a report that has ended, and its file. What it was about stays."""
    own = report.requested_by_id == user.pk
    require(user, policies.VIEW if own else policies.MANAGE, report.product)
    if not report.ended:
        raise UserError("not_ended", "This report is still being made. Cancel it first.")
    with transaction.atomic():
        before = {"kind": report.kind, "file_sha256": report.file_sha256}
        record(user, "report.deleted", report, product=report.product, before=before)
        key = report.file_key
        report.delete()
        if key:
            transaction.on_commit(lambda: default_storage.delete(key))


def content(report: Report) -> bytes | None:
    """The document; None until it is made, and where its file is gone."""
    if report.state != JobState.DONE or not default_storage.exists(report.file_key):
        return None
    with default_storage.open(report.file_key) as file:
        found: bytes = file.read()
        return found


def file_name(report: Report) -> str:
    """What the file is called for a person: ASCII, no path, no surprises."""
    about = report.lot.code if report.lot else f"{report.product.code}-{report.until:%Y-%m-%d}"
    clean = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in about)
    kind = "lot" if report.lot else "quality"
    return f"{kind}-{clean[:60]}.{'pdf' if report.is_pdf else 'csv'}"


def _check(
    product: Product,
    kind: str,
    lot: Lot | None,
    since: datetime | None,
    until: datetime | None,
) -> None:
    if kind not in ReportKind.values:
        raise UserError("unknown_kind", "There is no report “{kind}”.", kind=kind, field="kind")
    if kind in LOT_KINDS:
        if lot is None:
            raise UserError("lot_missing", "Choose the lot that the report is about.", field="lot")
        if lot.product_id != product.pk:
            raise UserError("other_lot", "This lot belongs to another product.", field="lot")
    elif since is None or until is None or since >= until:
        raise UserError("bad_period", "Choose a period that ends after it begins.", field="until")
