"""Report schedules by program: as the page makes them, and what the page has no button for."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import override_settings
from django.utils import timezone

from inspection.models import SCOPES, AuditEvent, Product, Report, ReportKind, ReportSchedule
from inspection.services import report_schedules
from tests.factories.api_key import Program, key_of
from tests.factories.product import ProductFactory
from tests.factories.report import LotFactory, ReportFactory, ReportScheduleFactory
from tests.factories.user import UserFactory

pytestmark = pytest.mark.django_db
LIST = "report_schedules"


@pytest.fixture
def product() -> Product:
    return ProductFactory(code="BOARD-A")


@pytest.fixture
def program() -> Program:
    return Program(key_of(UserFactory(username="ida", role="engineer")))


@pytest.fixture
def schedule(product: Product) -> ReportSchedule:
    """Daily at six, of lots."""
    later = timezone.now() + timedelta(hours=30)
    return ReportScheduleFactory(
        product=product, kind=ReportKind.LOT_CSV, every="day", hour=6, next_at=later
    )


def wanted(**fields: Any) -> dict[str, Any]:
    return {
        "product": "BOARD-A",
        "kind": "lot_csv",
        "every": "week",
        "weekday": 4,
        "hour": 6,
        "recipients": [" quality@plant.example ", "quality@plant.example"],
        **fields,
    }


def test_a_schedule_is_made_told_and_written_down(program: Program, product: Product) -> None:
    made = program.json("POST", LIST, wanted())
    assert made.status_code == 201, made.content
    told = made.json()
    assert told == program.json("GET", f"{LIST}/{told['id']}").json()
    assert (told["enabled"], told["created_by"], told["language"]) == (True, "ida", "en")
    assert told["recipients"] == ["quality@plant.example"]
    row = ReportSchedule.objects.get()
    assert timezone.localtime(row.next_at).weekday() == 4
    event = AuditEvent.objects.get(action="report.scheduled")
    assert (event.actor_name, event.product, event.after["weekday"]) == ("ida", product, 4)


@override_settings(TIME_ZONE="Asia/Taipei")
def test_its_times_are_told_in_one_zone_whenever_they_are(
    program: Program, product: Product
) -> None:
    made = program.json("POST", LIST, wanted())
    at = f"{LIST}/{made.json()['id']}"
    read = program.json("GET", at)
    assert (made.json(), made["ETag"]) == (read.json(), read["ETag"])
    told = made.json()
    assert told["next_at"][-6:] == told["created_at"][-6:]
    changed = program.json("PATCH", at, {"hour": 7}, **{"If-Match": made["ETag"]})
    assert changed.status_code == 200


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"hour": 24}, "/hour"),
        ({"weekday": 7}, "/weekday"),
        ({"every": "hour"}, "/every"),
        ({"kind": "all"}, "/kind"),
        ({"language": "tlh"}, "/language"),
        ({"recipients": []}, "/recipients"),
        ({"recipients": ["nobody"]}, "/recipients"),
        ({"recipients": [f"n{n}@plant.example" for n in range(21)]}, "/recipients"),
        ({"product": "BOARD-Z"}, "/product"),
        ({"next_at": "2026-01-01T00:00:00Z"}, "/next_at"),
    ],
)
def test_a_wrong_field_is_pointed_at(
    program: Program, product: Product, schedule: ReportSchedule, fields: Any, pointer: str
) -> None:
    refused = program.json("POST", LIST, wanted(**fields))
    assert refused.status_code == 422
    assert [one["pointer"] for one in refused.json()["errors"]] == [pointer]
    changed = program.json("PATCH", f"{LIST}/{schedule.pk}", fields)
    assert changed.status_code == 422
    assert not AuditEvent.objects.filter(action__startswith="report.").exists()


def test_another_time_moves_the_next_report_and_other_people_do_not(
    program: Program, schedule: ReportSchedule
) -> None:
    at, before = f"{LIST}/{schedule.pk}", schedule.next_at
    told = program.json("PATCH", at, {"recipients": ["new@plant.example"]}).json()
    assert told["recipients"] == ["new@plant.example"]
    schedule.refresh_from_db()
    assert schedule.next_at == before
    program.json("PATCH", at, {"hour": 7, "every": "day"})
    schedule.refresh_from_db()
    assert timezone.localtime(schedule.next_at).hour == 7
    assert timezone.now() < schedule.next_at <= timezone.now() + timedelta(days=1)
    first, second = AuditEvent.objects.filter(action="report.schedule_edited").order_by("id")
    assert first.before == {"recipients": ["quality@plant.example"]}
    assert first.after == {"recipients": ["new@plant.example"]}
    assert (second.before, second.after) == ({"hour": 6}, {"hour": 7})


def test_what_stays_the_same_is_not_written_down(
    program: Program, schedule: ReportSchedule
) -> None:
    assert program.json("PATCH", f"{LIST}/{schedule.pk}", {"hour": 6}).status_code == 200
    assert not AuditEvent.objects.filter(action="report.schedule_edited").exists()


def test_what_was_changed_meanwhile_is_neither_overwritten_nor_removed(
    program: Program, schedule: ReportSchedule
) -> None:
    at = f"{LIST}/{schedule.pk}"
    tag = program.json("GET", at)["ETag"]
    assert program.json("PATCH", at, {"hour": 7}, **{"If-Match": tag}).status_code == 200
    assert program.json("PATCH", at, {"hour": 8}, **{"If-Match": tag}).status_code == 412
    assert program.json("DELETE", at, **{"If-Match": tag}).status_code == 412
    schedule.refresh_from_db()
    assert schedule.hour == 7
    fresh = program.json("GET", at)["ETag"]
    assert program.json("DELETE", at, **{"If-Match": fresh}).status_code == 204


def test_it_is_switched_off_and_on(program: Program, schedule: ReportSchedule) -> None:
    due = timezone.now() - timedelta(days=3)
    ReportSchedule.objects.update(next_at=due, kind=ReportKind.WEEKLY_PDF)  # of no lot
    at = f"{LIST}/{schedule.pk}"
    again = program.json("POST", f"{at}/enable")
    assert (again.status_code, again.json()["code"]) == (409, "already_on")
    off = program.json("POST", f"{at}/disable").json()
    assert (off["enabled"], off["next_at"]) == (False, None)
    assert program.json("POST", f"{at}/disable").status_code == 200
    assert report_schedules.order_due() == 0
    assert program.json("GET", f"{LIST}?enabled=true").json()["results"] == []
    assert len(program.json("GET", f"{LIST}?enabled=false").json()["results"]) == 1
    on = program.json("POST", f"{at}/enable").json()
    assert (on["enabled"], on["ended_at"]) == (True, None)
    assert report_schedules.order_due() == 0, "what it missed is not made up for"
    actions = AuditEvent.objects.order_by("id").values_list("action", flat=True)
    assert [one for one in actions if one.startswith("report.")] == [
        "report.unscheduled",
        "report.schedule_resumed",
    ]


def test_a_removed_one_leaves_its_reports(program: Program, schedule: ReportSchedule) -> None:
    lot = LotFactory(product=schedule.product)
    report = ReportFactory(lot=lot, schedule=schedule, mail_state=Report.Mail.WAITING)
    assert program.json("DELETE", f"{LIST}/{schedule.pk}").status_code == 204
    assert program.json("GET", f"{LIST}/{schedule.pk}").status_code == 404
    report.refresh_from_db()
    assert (report.schedule, report.mail_state) == (None, Report.Mail.WAITING)
    event = AuditEvent.objects.get(action="report.schedule_deleted")
    assert event.before["recipients"] == ["quality@plant.example"]


def test_the_clock_sends_to_whom_it_says_now(schedule: ReportSchedule) -> None:
    due = ReportScheduleFactory(kind=ReportKind.WEEKLY_PDF)
    stale = ReportSchedule.objects.select_related("product").get(pk=due.pk)
    ReportSchedule.objects.filter(pk=due.pk).update(recipients=["new@plant.example"])
    assert report_schedules._order(stale, timezone.now()) == 1
    assert Report.objects.get().mail_to == ["new@plant.example"]


def test_a_key_of_an_mes_sends_nothing_out_of_the_house(
    product: Product, schedule: ReportSchedule
) -> None:
    owner = UserFactory(role="engineer")
    mes = Program(key_of(owner, [one for one in SCOPES if not one.startswith(LIST)]))
    assert mes.json("POST", LIST, wanted()).status_code == 403
    assert mes.json("GET", LIST).status_code == 403
    assert mes.json("DELETE", f"{LIST}/{schedule.pk}").status_code == 403
