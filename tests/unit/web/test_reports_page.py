"""The page of reports: order, watch, download."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from inspection.models import JobState, Report, ReportKind, ReportSchedule, Role
from inspection.services import report_job, report_pdf
from tests.factories.dataset import DatasetFactory
from tests.factories.membership import MembershipFactory
from tests.factories.report import LotFactory, ReportFactory, ReportScheduleFactory
from tests.factories.upload import UploadFactory, UploadReceiptFactory
from tests.unit.web.conftest import signed_in
from tests.unit.web.test_queries import MOST, questions

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def own_folders(settings: Settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT, settings.STAGING_DIR = tmp_path / "media", tmp_path / "staging"


@pytest.fixture
def report() -> Report:
    return ReportFactory()


@pytest.fixture
def client(report: Report) -> Client:
    return signed_in(MembershipFactory(product=report.product, role=Role.ENGINEER).user)


def order(client: Client, **fields: str) -> str:
    data = {f"report-{name}": value for name, value in fields.items()}
    answer = client.post(reverse("report_order"), data, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_report_is_ordered_by_the_lots_number(client: Client, report: Report) -> None:
    wanted = {"kind": "lot_csv", "product": str(report.product_id)}
    page = order(client, **wanted, lot=report.lot.code)
    assert Report.objects.count() == 2
    assert "Waiting for its turn" in page
    page = order(client, **wanted, lot="no such lot")
    assert "has no lot no such lot" in page
    page = order(client, **wanted, lot="")
    assert "Choose the lot" in page
    assert Report.objects.count() == 2


def test_a_lot_of_a_product_that_one_may_not_see_is_not_found(client: Client) -> None:
    other = LotFactory()
    page = order(client, kind="lot_csv", product=str(other.product_id), lot=other.code)
    assert "Select a valid choice" in page
    assert Report.objects.filter(product=other.product).count() == 0


def test_what_must_be_installed_is_said_at_the_button(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_pdf, "missing", lambda: "install Pango")
    assert "install Pango" in client.get(reverse("reports")).content.decode()


def test_the_file_comes_as_an_attachment_that_is_never_a_page(
    client: Client, report: Report
) -> None:
    address = reverse("report_file", args=[report.pk])
    assert client.get(address).status_code == 404
    report_job.make(report.pk)
    answer = client.get(address)
    content = b"".join(answer)
    report.refresh_from_db()
    assert len(content) == report.size_bytes == int(answer["Content-Length"])
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Disposition"].startswith("attachment")
    assert answer["Content-Type"].startswith("text/csv")


def test_strangers_find_nothing(report: Report) -> None:
    report_job.make(report.pk)
    ReportScheduleFactory(product=report.product)
    stranger = signed_in(MembershipFactory(role=Role.ADMINISTRATOR).user)
    assert stranger.get(reverse("report_file", args=[report.pk])).status_code == 404
    for action in ("cancel", "delete", "mail"):
        address = reverse("report_act", args=[report.pk, action])
        assert stranger.post(address).status_code == 404
    page = stranger.get(reverse("reports")).content.decode()
    assert report.lot.code not in page
    assert "quality@plant.example" not in page


def test_one_that_is_being_made_can_be_cancelled_by_those_who_may(
    client: Client, report: Report
) -> None:
    address = reverse("report_act", args=[report.pk, "cancel"])
    viewer = signed_in(MembershipFactory(product=report.product, role=Role.VIEWER).user)
    assert address in client.get(reverse("reports")).content.decode()
    assert address not in viewer.get(reverse("reports")).content.decode()
    assert viewer.post(address).status_code == 403
    client.post(address)
    report.refresh_from_db()
    assert report.state == JobState.CANCELLED


def test_an_unknown_action_is_not_found(client: Client, report: Report) -> None:
    assert client.post(reverse("report_act", args=[report.pk, "burn"])).status_code == 404


def act_on(client: Client, schedule: ReportSchedule, action: str) -> int:
    return client.post(reverse("report_schedule_act", args=[schedule.pk, action])).status_code


def test_every_report_is_reached_a_page_at_a_time(client: Client, report: Report) -> None:
    every = [report, *(ReportFactory(lot=report.lot) for _ in range(70))]
    first = client.get(reverse("reports"))
    assert len(first.context["reports"]) == 50
    older = f"{reverse('reports')}?after={first.context['more']}"
    assert older in first.content.decode()
    second = client.get(older)
    assert f'data-url="{older}"' in second.content.decode(), "what is read again is this page"
    shown = [*first.context["reports"], *second.context["reports"]]
    assert shown == every[::-1]
    assert not second.context["more"]
    again = client.get(older, headers={"HX-Request": "true"})
    assert again.context["reports"] == second.context["reports"]
    past = client.get(f"{reverse('reports')}?after={report.pk}").content.decode()
    assert "There are no older ones" in past
    assert client.get(f"{reverse('reports')}?after=nonsense").status_code == 200


def test_a_schedule_is_changed_switched_on_again_and_removed(report: Report) -> None:
    member = MembershipFactory(product=report.product, role=Role.ENGINEER)
    other = MembershipFactory(user=member.user, role=Role.ENGINEER).product
    client = signed_in(member.user)
    schedule = ReportScheduleFactory(product=report.product, language="zh-hant", hour=6)
    page = client.get(f"{reverse('reports')}?schedule={schedule.pk}").content.decode()
    address = reverse("report_schedule_edit", args=[schedule.pk])
    assert f'action="{address}"' in page
    assert "quality@plant.example</textarea>" in page
    fields = {"kind": schedule.kind, "product": str(other.pk), "every": "day", "weekday": "0"}
    data = {f"schedule-{name}": value for name, value in fields.items()}
    data |= {"schedule-hour": "9", "schedule-recipients": "a@b.example"}
    assert client.post(address, data).status_code == 302
    schedule.refresh_from_db()
    assert (schedule.hour, schedule.every, schedule.recipients) == (9, "day", ["a@b.example"])
    assert (schedule.product, schedule.language) == (report.product, "zh-hant"), "these stay"
    data["schedule-recipients"] = "nobody"
    assert "nobody is not an e-mail" in client.post(address, data).content.decode()
    viewer = signed_in(MembershipFactory(product=report.product, role=Role.VIEWER).user)
    assert viewer.post(address, data).status_code == 403
    assert act_on(viewer, schedule, "end") == 403
    assert act_on(client, schedule, "end") == act_on(client, schedule, "resume") == 302
    schedule.refresh_from_db()
    assert schedule.enabled
    assert act_on(client, schedule, "burn") == 404
    assert act_on(client, schedule, "delete") == 302
    assert not ReportSchedule.objects.exists()


def test_a_schedule_is_made_and_ended(client: Client, report: Report) -> None:
    fields = {
        "kind": ReportKind.LOT_CSV,
        "product": str(report.product_id),
        "every": "day",
        "weekday": "0",
        "hour": "6",
        "recipients": "a@b.example, c@d.example",
    }
    data = {f"schedule-{name}": value for name, value in fields.items()}
    client.post(reverse("report_schedule"), data)
    schedule = ReportSchedule.objects.get()
    assert schedule.recipients == ["a@b.example", "c@d.example"]
    assert "a@b.example, c@d.example" in client.get(reverse("reports")).content.decode()
    act_on(client, schedule, "end")
    schedule.refresh_from_db()
    assert schedule.ended_at is not None
    data["schedule-recipients"] = "nobody"
    assert (
        "nobody is not an e-mail" in client.post(reverse("report_schedule"), data).content.decode()
    )


def test_the_page_asks_no_more_for_more(client: Client, report: Report) -> None:
    few = questions(client, reverse("reports"))
    for _ in range(5):
        ReportFactory(lot=report.lot, state=JobState.RUNNING)
        ReportScheduleFactory(product=report.product)
    assert questions(client, reverse("reports")) <= few + 1 <= MOST + 1


def test_the_status_bar_knows_reports(client: Client, report: Report) -> None:
    [line] = client.get(reverse("jobs_running")).json()["jobs"]
    assert (line["kind"], line["url"], line["state"]) == ("report", "/reports/", "queued")


def test_the_status_bar_knows_files_on_their_way_in(client: Client, report: Report) -> None:
    dataset = DatasetFactory(viewpoint__product=report.product)
    UploadReceiptFactory(upload=UploadFactory(dataset=dataset, expected_files=4))
    UploadFactory(dataset=dataset, closed_at=timezone.now())
    silent = timezone.now() - timedelta(minutes=10)
    UploadFactory(dataset=dataset, active_at=silent)
    lines = client.get(reverse("jobs_running")).json()["jobs"]
    [upload] = [line for line in lines if line["kind"] == "upload"]
    assert (upload["state"], upload["fraction"]) == ("running", 0.25)
