"""Ordering a report, and what a worker makes of it."""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from django.core.files.storage import default_storage
from django.db.models import Sum
from django.utils import timezone
from pytest_django import Settings

from inspection.errors import NotAllowed, UserError
from inspection.jobs import reaper
from inspection.models import (
    AuditEvent,
    HourlyTally,
    JobState,
    Notification,
    Report,
    ReportKind,
    Role,
    Verdict,
)
from inspection.services import kpis, lot_csv, report_job, report_pdf, reports
from inspection.services.quality_facts import QualityFacts
from tests.factories.batch import BatchFactory
from tests.factories.inspection import ImageResultFactory, InspectionFactory
from tests.factories.membership import MembershipFactory
from tests.factories.model_version import ModelVersionFactory
from tests.factories.report import LotFactory, ReportFactory
from tests.factories.tally import HourlyTallyFactory
from tests.factories.user import UserFactory

pytestmark = pytest.mark.django_db
needs_pdf = pytest.mark.skipif(bool(report_pdf.missing()), reason=report_pdf.missing())


@pytest.fixture(autouse=True)
def own_folders(settings: Settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT, settings.STAGING_DIR = tmp_path / "media", tmp_path / "staging"


def made(report: Report) -> Report:
    report_job.make(report.pk)
    report.refresh_from_db()
    return report


def test_who_sees_the_product_may_order_and_others_not() -> None:
    lot = LotFactory()
    viewer = MembershipFactory(product=lot.product, role=Role.VIEWER).user
    report = reports.request_report(viewer, lot.product, kind=ReportKind.LOT_CSV, lot=lot)
    assert (report.state, report.requested_by) == (JobState.QUEUED, viewer)
    assert AuditEvent.objects.filter(action="report.requested", actor=viewer).exists()
    with pytest.raises(NotAllowed):
        reports.request_report(UserFactory(), lot.product, kind=ReportKind.LOT_CSV, lot=lot)


def test_what_is_missing_is_said_at_its_field() -> None:
    lot, other = LotFactory(), LotFactory()
    now = timezone.now()
    for field, wrong in (
        ("kind", {"kind": "novel", "lot": lot}),
        ("lot", {"kind": ReportKind.LOT_CSV}),
        ("lot", {"kind": ReportKind.LOT_CSV, "lot": other}),
        ("until", {"kind": ReportKind.WEEKLY_PDF, "since": now, "until": now}),
    ):
        with pytest.raises(UserError) as refused:
            reports.request_report(None, lot.product, **wrong)
        assert refused.value.field == field
    assert not Report.objects.exists()


def test_without_weasyprint_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_pdf, "missing", lambda: "pip install 'kintsugi[pdf]'")
    lot, user = LotFactory(), UserFactory(role="viewer")
    with pytest.raises(UserError, match="pip install"):
        reports.request_report(user, lot.product, kind=ReportKind.LOT_PDF, lot=lot)
    report = made(ReportFactory(kind=ReportKind.LOT_PDF, lot=lot))
    assert (report.state, report.error_code) == (JobState.FAILED, "pdf_missing")
    assert reports.request_report(user, lot.product, kind=ReportKind.LOT_CSV, lot=lot)


def test_the_file_is_kept_with_its_hash_and_its_owner_told() -> None:
    report = made(ReportFactory())
    content = default_storage.open(report.file_key).read()
    assert report.state == JobState.DONE
    assert report.file_sha256 == hashlib.sha256(content).hexdigest()
    assert report.size_bytes == len(content)
    assert report.contents_sha256.encode() in content
    assert Notification.objects.get().user == report.requested_by


def test_a_message_that_comes_twice_makes_nothing_new() -> None:
    report = made(ReportFactory())
    first = (report.file_key, report.attempt)
    assert (made(report).file_key, report.attempt) == first


def test_a_cancelled_one_is_not_made() -> None:
    report = ReportFactory()
    owner = MembershipFactory(user=report.requested_by, product=report.product).user
    reports.cancel_report(owner, report)
    assert made(report).state == JobState.CANCELLED
    assert report.file_key == ""


def test_only_its_owner_or_an_engineer_cancels_and_deletes() -> None:
    report = ReportFactory()
    other = MembershipFactory(product=report.product, role=Role.INSPECTOR).user
    for act in (reports.cancel_report, reports.delete_report):
        with pytest.raises(NotAllowed):
            act(other, report)
    engineer = MembershipFactory(product=report.product, role=Role.ENGINEER).user
    with pytest.raises(UserError, match="still being made"):
        reports.delete_report(engineer, report)
    key = made(report).file_key
    reports.delete_report(engineer, report)
    assert not Report.objects.exists()
    assert AuditEvent.objects.filter(action="report.deleted").exists()
    assert key


def test_a_cancel_is_heard_between_two_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_job, "TELL_EVERY_S", 0.0)
    lot = LotFactory()
    judged_lot(lot, 3)
    report = ReportFactory(lot=lot)
    asked = lot_csv.write

    def cancelled_meanwhile(*args: Any) -> str:
        Report.objects.filter(pk=report.pk).update(cancel_requested_at=timezone.now())
        return asked(*args)

    monkeypatch.setattr(lot_csv, "write", cancelled_meanwhile)
    assert made(report).state == JobState.CANCELLED
    assert report.file_key == ""


def test_an_error_is_tried_again_and_then_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> str:
        raise RuntimeError("no paper")

    monkeypatch.setattr(lot_csv, "write", broken)
    report = ReportFactory(max_attempts=2)
    assert made(report).state == JobState.QUEUED
    assert made(report).state == JobState.FAILED
    assert "no paper" in report.error
    assert Notification.objects.get().kind == "report_failed"


def test_a_worker_that_lost_its_lease_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    report = ReportFactory()
    asked = lot_csv.write

    def taken_over(*args: Any) -> str:
        Report.objects.filter(pk=report.pk).update(token=uuid4())
        return asked(*args)

    monkeypatch.setattr(lot_csv, "write", taken_over)
    made(report)
    assert (report.state, report.file_key) == (JobState.RUNNING, "")
    assert not list(Path(default_storage.location).rglob("*.csv"))


def test_the_reaper_knows_reports() -> None:
    past = timezone.now() - timedelta(seconds=1)
    report = ReportFactory(
        state=JobState.RUNNING, token=uuid4(), lease_expires_at=past, attempt=4, max_attempts=4
    )
    reaper.reap({Report: report_job.settle})
    report.refresh_from_db()
    assert (report.state, report.error_code) == (JobState.FAILED, "worker_died")
    assert Notification.objects.get().kind == "report_failed"


def judged_lot(lot: Any, failed: int) -> None:
    batch = BatchFactory(lot=lot)
    for _ in range(failed):
        inspection = InspectionFactory(batch=batch, lot=lot, verdict=Verdict.FAILED)
        ImageResultFactory(picture__inspection=inspection, view_key="", heatmap_key="")


@needs_pdf
@pytest.mark.parametrize("language", ["en", "zh-hant"])
def test_a_lot_on_paper_prints_the_hash_of_its_csv(language: str) -> None:
    lot = LotFactory()
    judged_lot(lot, 2)
    printed = made(ReportFactory(lot=lot, kind=ReportKind.LOT_PDF, language=language))
    listed = made(ReportFactory(lot=lot))
    assert (printed.state, printed.error) == (JobState.DONE, "")
    assert printed.contents_sha256 == listed.contents_sha256
    assert default_storage.open(printed.file_key).read(5) == b"%PDF-"


@needs_pdf
def test_a_week_on_paper() -> None:
    lot = LotFactory()
    now = timezone.now()
    report = ReportFactory(
        lot=None,
        product=lot.product,
        kind=ReportKind.WEEKLY_PDF,
        since=now - timedelta(days=7),
        until=now,
    )
    made(report)
    assert (report.state, report.error) == (JobState.DONE, "")
    assert len(report.contents_sha256) == 64


@needs_pdf
def test_a_report_opens_no_file_and_no_address(tmp_path: Path) -> None:
    secret = tmp_path / "secret.jpg"
    secret.write_text("secret")
    fetcher = report_pdf._fetcher({})
    for url in (f"file://{secret}", "http://127.0.0.1/", "picture:unknown", "font:../400"):
        with pytest.raises(ValueError, match="does not read"):
            fetcher.fetch(url)


@pytest.mark.parametrize("zone", ["America/Chicago", "Asia/Kolkata"])
def test_days_of_a_period_that_cuts_them_add_up(settings: Settings, zone: str) -> None:
    settings.TIME_ZONE = zone
    clock = ZoneInfo(zone)
    since, until = datetime(2026, 3, 6, 14, tzinfo=clock), datetime(2026, 3, 9, 3, tzinfo=clock)
    version = ModelVersionFactory()
    for n in range(5 * 24):  # the whole 6th, until the 10th
        at = datetime(2026, 3, 6, tzinfo=clock).astimezone(UTC) + timedelta(hours=n)
        HourlyTallyFactory(model_version=version, hour=at, inspected=1, failed=1)
    facts = QualityFacts(version.viewpoint.product, since, until)
    days = facts.by_day()
    hours = [10, 24, 23, 3] if zone == "America/Chicago" else [10, 24, 24, 3]
    assert [day.sums.inspected for day in days] == hours
    assert [f"{day.begin:%d %H:%M}" for day in days] == [
        "06 14:00",
        "07 00:00",
        "08 00:00",
        "09 00:00",
    ]
    plain = HourlyTally.objects.filter(hour__gte=since, hour__lt=until).aggregate(n=Sum("failed"))
    assert kpis.total(day.sums for day in days).failed == plain["n"] == sum(hours)
    assert not facts.whole_days


def test_days_that_do_not_add_up_make_no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    tally = HourlyTallyFactory()
    since = timezone.now() - timedelta(days=3)
    facts = QualityFacts(tally.viewpoint.product, since, timezone.now())
    monkeypatch.setattr(QualityFacts, "_days", lambda self: [self.since])
    with pytest.raises(RuntimeError, match="do not add up"):
        facts.by_day()


def test_the_name_of_the_file_is_tame() -> None:
    report = ReportFactory(lot__code='L/7 "=é\n')
    assert reports.file_name(report) == "lot-L-7-----.csv"
