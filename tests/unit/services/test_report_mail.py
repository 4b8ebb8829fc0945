"""Reports by the clock and by e-mail: each ordered once, and no mail ever sent twice."""

from collections.abc import Iterator
from datetime import datetime, time, timedelta
from email import message_from_bytes
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from aiosmtpd.controller import Controller
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone
from pytest_django import Settings

from inspection.errors import NotAllowed, UserError
from inspection.models import AuditEvent, JobState, Report, ReportKind, ReportSchedule, Role
from inspection.services import report_mail, report_schedules
from inspection.services.quality_facts import QualityFacts
from inspection.services.report_mail import Mail, send_waiting
from tests.factories.batch import BatchFactory
from tests.factories.inspection import InspectionFactory
from tests.factories.membership import MembershipFactory
from tests.factories.model_version import ModelVersionFactory
from tests.factories.report import LotFactory, ReportFactory, ReportScheduleFactory
from tests.factories.tally import HourlyTallyFactory
from tests.factories.user import UserFactory
from webapp.local.services import _any_free_port

pytestmark = pytest.mark.django_db
LATER, NEVER = "451 4.7.1 greylisted", "550 5.1.1 no such user"
THREE = ["a@plant.example", "b@plant.example", "c@plant.example"]


class Sink:
    """Takes mails, or answers as it is told."""

    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.answer = "250 OK"
        self.of: dict[str, str] = {}  # what is answered for single recipients
        self.hang_up = False

    async def handle_RCPT(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        answer = self.of.get(address, "250 OK")
        if answer.startswith("2"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.mails.append(envelope)
        if self.hang_up:
            server.transport.abort()
        return self.answer


@pytest.fixture
def sink(settings: Settings, tmp_path: Path) -> Iterator[Sink]:
    """A mail server of this test's own."""
    handler = Sink()
    controller = Controller(handler, hostname="127.0.0.1", port=_any_free_port())
    controller.start()
    settings.EMAIL_BACKEND = "inspection.services.mail_backend.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_USE_TLS, settings.EMAIL_TIMEOUT = "127.0.0.1", False, 5
    settings.EMAIL_PORT = controller.port
    settings.MEDIA_ROOT = tmp_path / "media"
    yield handler
    controller.stop()


def done(**fields: Any) -> Report:
    """A report that waits to be sent."""
    key = default_storage.save("reports/x.csv", ContentFile(b"row,file\r\n"))
    wanted = {
        "state": JobState.DONE,
        "file_key": key,
        "size_bytes": 10,
        "mail_to": ["quality@plant.example"],
        "mail_state": Mail.WAITING,
    }
    return ReportFactory(**{**wanted, **fields})


def state(report: Report) -> str:
    report.refresh_from_db()
    return report.mail_state


def test_a_report_is_sent_once_with_its_file(sink: Sink) -> None:
    report = done(file_sha256="ab" * 32)
    assert (send_waiting(), send_waiting()) == (1, 0)
    assert state(report) == Mail.SENT
    [mail] = sink.mails
    assert mail.rcpt_tos == ["quality@plant.example"]
    message = message_from_bytes(mail.content)
    text, attached = message.get_payload()
    assert "ab" * 32 in text.get_payload()
    assert attached.get_payload(decode=True).replace(b"\r\n", b"\n") == b"row,file\n"
    assert attached.get_filename().startswith("lot-")


def test_two_senders_send_one_mail(sink: Sink) -> None:
    report = done()
    seen_by_both = [Report.objects.get(pk=report.pk) for _ in range(2)]
    assert [report_mail._send(one) for one in seen_by_both] == [True, False]
    assert len(sink.mails) == 1


def test_a_sender_that_saw_it_before_another_was_put_off_sends_nothing(sink: Sink) -> None:
    sink.of = {THREE[1]: LATER}
    report = done(mail_to=THREE)
    seen_by_both = [Report.objects.get(pk=report.pk) for _ in range(2)]
    assert [report_mail._send(one) for one in seen_by_both] == [False, False]
    assert (state(report), report.mail_tries) == (Mail.WAITING, 1)
    assert [mail.rcpt_tos for mail in sink.mails] == [[THREE[0], THREE[2]]]


def test_what_is_not_done_waits(sink: Sink) -> None:
    report = done(state=JobState.RUNNING)
    assert (send_waiting(), state(report)) == (0, Mail.WAITING)


def test_a_report_that_failed_is_not_sent_and_says_why(sink: Sink) -> None:
    report = done(state=JobState.FAILED, error="The disk was full.")
    assert (send_waiting(), state(report)) == (0, Mail.FAILED)
    assert report.mail_error == "The disk was full."
    assert sink.mails == []


def test_an_unreachable_server_is_tried_again_later(sink: Sink, settings: Settings) -> None:
    good, settings.EMAIL_PORT = settings.EMAIL_PORT, 1
    report = done()
    assert (send_waiting(), state(report)) == (0, Mail.WAITING)
    settings.EMAIL_PORT = good
    assert send_waiting() == 0, "not before its time"
    Report.objects.update(mail_after=timezone.now())
    assert (send_waiting(), state(report)) == (1, Mail.SENT)


def test_after_some_tries_it_gives_up(sink: Sink, settings: Settings) -> None:
    settings.EMAIL_PORT = 1
    report = done(mail_tries=report_mail.TRIES - 1)
    assert (send_waiting(), state(report)) == (0, Mail.FAILED)
    assert "could not be reached" in report.mail_error


def test_a_refusal_is_said(sink: Sink) -> None:
    sink.answer = "552 too large"
    report = done()
    assert (send_waiting(), state(report)) == (0, Mail.FAILED)
    assert "too large" in report.mail_error


def try_now(report: Report) -> str:
    """The next try, whatever its time; the state after it."""
    Report.objects.update(mail_after=None)
    send_waiting()
    return state(report)


def test_whom_the_server_refused_is_said_and_the_others_do_not_get_it_twice(sink: Sink) -> None:
    sink.of = {THREE[1]: NEVER}
    report = done(mail_to=THREE)
    assert (send_waiting(), state(report)) == (0, Mail.FAILED)
    assert "b@plant.example (550 5.1.1 no such user)" in report.mail_error
    assert "a@plant.example" not in report.mail_error
    sink.of = {}
    engineer = MembershipFactory(product=report.product, role=Role.ENGINEER).user
    report_mail.send_again(engineer, report)
    assert (send_waiting(), state(report), report.mail_error) == (1, Mail.SENT, "")
    assert [mail.rcpt_tos for mail in sink.mails] == [[THREE[0], THREE[2]], [THREE[1]]]


def test_whom_a_server_puts_off_gets_it_later_and_nobody_twice(sink: Sink) -> None:
    sink.of = {THREE[1]: LATER, THREE[2]: NEVER}
    report = done(mail_to=THREE)
    assert (send_waiting(), state(report)) == (0, Mail.WAITING)
    assert report.mail_after
    assert report.mail_after > timezone.now()
    assert "greylisted" in report.mail_error
    del sink.of[THREE[1]]
    assert try_now(report) == Mail.FAILED
    assert "c@plant.example" in report.mail_error
    assert "b@plant.example" not in report.mail_error
    assert [mail.rcpt_tos for mail in sink.mails] == [[THREE[0]], [THREE[1]]]


def test_who_is_put_off_for_ever_is_given_up_after_the_usual_tries(sink: Sink) -> None:
    sink.of = {THREE[0]: LATER}
    report = done(mail_to=THREE[:1])
    states = [try_now(report) for _ in range(report_mail.TRIES)]
    assert states == [Mail.WAITING] * (report_mail.TRIES - 1) + [Mail.FAILED]
    assert "greylisted" in report.mail_error
    assert sink.mails == []


@pytest.mark.parametrize("answer", ["451 try later", "421 going down"])
def test_a_server_that_takes_no_mail_now_is_tried_again(sink: Sink, answer: str) -> None:
    sink.answer = answer
    report = done(mail_to=THREE)
    assert (send_waiting(), state(report)) == (0, Mail.WAITING)
    sink.answer = "250 OK"
    assert try_now(report) == Mail.SENT
    assert sink.mails[-1].rcpt_tos == THREE


def test_a_mail_whose_fate_nobody_knows_is_not_sent_again(sink: Sink) -> None:
    sink.hang_up = True
    report = done()
    assert (send_waiting(), state(report)) == (0, Mail.FAILED)
    assert report.mail_error == report_mail.UNKNOWN
    sink.hang_up = False
    Report.objects.update(mail_after=None)
    assert send_waiting() == 0
    assert len(sink.mails) == 1


def test_a_sender_that_died_leaves_it_to_a_person(sink: Sink) -> None:
    long_ago = timezone.now() - report_mail.STUCK - timedelta(seconds=1)
    report = done(mail_state=Mail.SENDING, mail_after=long_ago)
    assert (send_waiting(), state(report)) == (0, Mail.FAILED)
    assert sink.mails == []
    engineer = MembershipFactory(product=report.product, role=Role.ENGINEER).user
    with pytest.raises(NotAllowed):
        report_mail.send_again(MembershipFactory(product=report.product).user, report)
    report_mail.send_again(engineer, report)
    assert (send_waiting(), state(report)) == (1, Mail.SENT)
    with pytest.raises(UserError):
        report_mail.send_again(engineer, report)


def test_without_a_server_it_says_so(settings: Settings, tmp_path: Path) -> None:
    settings.EMAIL_HOST, settings.MEDIA_ROOT = "", tmp_path
    report = done()
    assert (send_waiting(), state(report)) == (0, Mail.FAILED)
    assert "SMTP_HOST" in report.mail_error


# --- the clock ------------------------------------------------------------------------------


def test_a_schedule_orders_once(settings: Settings) -> None:
    settings.TIME_ZONE = "UTC"
    schedule = ReportScheduleFactory()
    now = timezone.now()
    stale = ReportSchedule.objects.get(pk=schedule.pk)
    assert report_schedules.order_due(now) == 1
    assert report_schedules.order_due(now) == 0
    assert report_schedules._order(stale, now) == 0, "one that was late finds the row moved on"
    report = Report.objects.get()
    assert (report.mail_to, report.mail_state) == (["quality@plant.example"], Mail.WAITING)
    assert report.since
    assert report.until
    assert report.until - report.since == timedelta(days=7)
    assert report.until <= now


@pytest.mark.parametrize(
    "change", [{"weekday": 3}, {"weekday": 0, "hour": 1}, {"every": "day", "hour": 23}]
)
def test_at_another_time_nothing_is_left_out_or_reported_twice(
    settings: Settings, change: dict[str, Any]
) -> None:
    settings.TIME_ZONE = "UTC"
    schedule = ReportScheduleFactory(weekday=1, hour=6)
    engineer = MembershipFactory(product=schedule.product, role=Role.ENGINEER).user
    now = timezone.now()
    report_schedules.order_due(now)
    for fields in ({"hour": 7}, change):  # what was changed twice still begins where one ended
        schedule = report_schedules.edit_schedule(engineer, schedule, **fields)
    for _ in range(3):
        report_schedules.order_due(schedule.next_at)
        schedule.refresh_from_db()
    first, *others = Report.objects.order_by("id")
    assert len(others) in (2, 3), "none of no day: it may be due twice a day"
    for before, after in pairwise([first, *others]):
        assert after.since == before.until
        assert after.since
        assert timezone.localtime(after.since).time() == time()
    assert others[-1].since
    assert others[-1].until
    days = 1 if "every" in change else 7
    assert others[-1].until - others[-1].since == timedelta(days=days)


@pytest.mark.parametrize("changed", ["before", "after"])
def test_what_was_ended_and_sent_again_begins_anew(settings: Settings, changed: str) -> None:
    settings.TIME_ZONE = "UTC"  # a week of another zone may be an hour longer
    long_ago = timezone.now() - timedelta(days=90)
    schedule = ReportScheduleFactory(next_at=long_ago)
    engineer = MembershipFactory(product=schedule.product, role=Role.ENGINEER).user
    report_schedules.order_due(long_ago)
    if changed == "before":
        schedule = report_schedules.edit_schedule(engineer, schedule, hour=9)
    report_schedules.end_schedule(engineer, schedule)
    schedule = report_schedules.resume_schedule(engineer, schedule)
    if changed == "after":
        schedule = report_schedules.edit_schedule(engineer, schedule, hour=9)
    report_schedules.order_due(schedule.next_at)
    newest = Report.objects.latest("id")
    assert newest.since
    assert newest.until
    assert newest.until - newest.since < timedelta(days=8), "what it missed is not made up for"


def test_a_lot_schedule_orders_every_lot_of_the_period() -> None:
    lot, idle = LotFactory(), None
    idle = LotFactory(product=lot.product)
    schedule = ReportScheduleFactory(
        product=lot.product, kind=ReportKind.LOT_CSV, every=ReportSchedule.Every.DAY, hour=0
    )
    yesterday = timezone.localtime().replace(hour=0, minute=0) - timedelta(hours=5)
    InspectionFactory(batch=BatchFactory(lot=lot), lot=lot, completed_at=yesterday)
    assert report_schedules.order_due() == 1
    assert Report.objects.get().lot == lot
    assert schedule.product == idle.product


def test_no_lot_is_left_out_however_many_there_are() -> None:
    first = LotFactory()
    ReportScheduleFactory(
        product=first.product, kind=ReportKind.LOT_CSV, every=ReportSchedule.Every.DAY, hour=0
    )
    yesterday = timezone.localtime().replace(hour=0, minute=0) - timedelta(hours=5)
    batch = BatchFactory(lot=first)
    lots = [first, *LotFactory.create_batch(69, product=first.product)]
    for lot in lots:
        InspectionFactory.create_batch(2, batch=batch, lot=lot, completed_at=yesterday)
    assert report_schedules.order_due() == 70
    assert set(Report.objects.values_list("lot", flat=True)) == {lot.pk for lot in lots}
    assert report_schedules.order_due() == 0


def test_a_quality_report_is_of_the_whole_days_before_its_hour(settings: Settings) -> None:
    """Monday at six: seven days that ended with Sunday, and their figures, over the night in
    which an hour is lost."""
    settings.TIME_ZONE = "Europe/Berlin"
    berlin = ZoneInfo("Europe/Berlin")
    monday = datetime(2026, 3, 30, 6, tzinfo=berlin)
    version = ModelVersionFactory()
    ReportScheduleFactory(product=version.viewpoint.product, weekday=0, hour=6, next_at=monday)
    for day, hour, inspected in ((22, 23, 1), (23, 0, 2), (29, 23, 4), (30, 5, 8), (30, 7, 16)):
        at = datetime(2026, 3, day, hour, tzinfo=berlin)
        HourlyTallyFactory(model_version=version, hour=at, inspected=inspected)
    for weeks in range(2):
        report_schedules.order_due(monday + timedelta(days=7 * weeks, minutes=3))
    first, second = Report.objects.order_by("id")
    assert second.since == first.until
    counted = []
    for report in (first, second):
        assert report.since
        assert report.until
        days = QualityFacts(report.product, report.since, report.until).by_day()
        assert [timezone.localtime(day.begin).time() for day in days] == [time()] * 7
        counted.append([day.sums.inspected for day in days])
    assert counted == [[2, 0, 0, 0, 0, 0, 4], [24, 0, 0, 0, 0, 0, 0]]


def test_at_a_later_hour_of_the_same_day_no_empty_report_is_made(settings: Settings) -> None:
    settings.TIME_ZONE = "UTC"
    morning = timezone.now().replace(hour=6, minute=0, second=0, microsecond=0)
    schedule = ReportScheduleFactory(every="day", hour=6, next_at=morning)
    assert report_schedules.order_due(morning) == 1
    ReportSchedule.objects.update(hour=9, next_at=morning + timedelta(hours=3), next_since=morning)
    assert report_schedules.order_due(morning + timedelta(hours=3)) == 0
    schedule.refresh_from_db()
    assert schedule.next_at == morning + timedelta(hours=27), "it has moved on"
    assert report_schedules.order_due(schedule.next_at) == 1
    first, second = Report.objects.order_by("id")
    assert second.since == first.until


def test_an_ended_schedule_orders_nothing() -> None:
    schedule = ReportScheduleFactory()
    engineer = MembershipFactory(product=schedule.product, role=Role.ENGINEER).user
    report_schedules.end_schedule(engineer, schedule)
    assert report_schedules.order_due() == 0
    assert AuditEvent.objects.filter(action="report.unscheduled").count() == 1


def test_hours_are_the_plants_over_a_change_of_the_clock(settings: Settings) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    berlin = ZoneInfo("Europe/Berlin")
    schedule = ReportScheduleFactory.build(every="day", hour=6)
    with timezone.override(berlin):
        before = datetime(2026, 3, 28, 12, tzinfo=berlin)  # the night in which an hour is lost
        after = report_schedules.following(schedule, before)
        assert timezone.localtime(after).isoformat() == "2026-03-29T06:00:00+02:00"
        weekly = ReportScheduleFactory.build(every="week", weekday=0, hour=6)
        monday = report_schedules.latest(weekly, datetime(2026, 3, 30, 5, tzinfo=berlin))
        assert timezone.localtime(monday).isoformat() == "2026-03-23T06:00:00+01:00"


def test_only_engineers_send_things_out_of_the_house() -> None:
    product = LotFactory().product
    wanted = {"kind": ReportKind.LOT_CSV, "every": "day", "hour": 6, "recipients": ["a@b.example"]}
    inspector = MembershipFactory(product=product, role=Role.INSPECTOR).user
    with pytest.raises(NotAllowed):
        report_schedules.schedule_report(inspector, product, **wanted)
    engineer = MembershipFactory(product=product, role=Role.ENGINEER).user
    schedule = report_schedules.schedule_report(engineer, product, **wanted)
    assert schedule.next_at > timezone.now()
    assert AuditEvent.objects.get(action="report.scheduled").after["recipients"] == ["a@b.example"]


@pytest.mark.parametrize(
    "addresses",
    [[], ["nobody"], ["a@b.example\nBcc: x@y.example"], ["a@b.example"] * 1 + ["x y@z"]],
)
def test_what_is_no_address_is_refused(addresses: list[str]) -> None:
    user = UserFactory(role="engineer")
    with pytest.raises(UserError) as refused:
        report_schedules.schedule_report(
            user,
            LotFactory().product,
            kind=ReportKind.LOT_CSV,
            every="day",
            hour=6,
            recipients=addresses,
        )
    assert refused.value.field == "recipients"
