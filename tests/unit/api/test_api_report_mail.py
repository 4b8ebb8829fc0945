"""Mails of reports by program: what became of one, and sending it again."""

import pytest
from django.utils import timezone

from inspection.models import SCOPES, AuditEvent, JobState, Report
from inspection.services import report_mail
from tests.factories.api_key import Program, key_of
from tests.factories.product import ProductFactory
from tests.factories.report import LotFactory, ReportFactory
from tests.factories.user import UserFactory

pytestmark = pytest.mark.django_db
Mail = Report.Mail


@pytest.fixture
def program() -> Program:
    return Program(key_of(UserFactory(username="ida", role="engineer")))


@pytest.fixture
def report() -> Report:
    """One that is done, and whose mail failed."""
    return ReportFactory(
        lot=LotFactory(product=ProductFactory(code="BOARD-A")),
        state=JobState.DONE,
        mail_to=["quality@plant.example"],
        mail_state=Mail.FAILED,
        mail_tries=5,
        mail_error=report_mail.UNKNOWN,
    )


def test_what_failed_is_found_told_and_sent_again(program: Program, report: Report) -> None:
    (found,) = program.json("GET", "reports?mail_state=failed").json()["results"]
    assert (found["id"], found["mail_state"]) == (str(report.pk), "failed")
    at = f"reports/{report.pk}/mail"
    assert program.json("GET", at).json() == {
        "id": str(report.pk),
        "state": "failed",
        "to": ["quality@plant.example"],
        "tries": 5,
        "next_try_at": None,
        "sent_at": None,
        "error": report_mail.UNKNOWN,
    }
    again = program.json("POST", at)
    assert again.status_code == 200, again.content
    assert again.json() == program.json("GET", at).json()
    told = again.json()
    assert (told["state"], told["tries"], told["error"]) == ("waiting", 0, "")
    event = AuditEvent.objects.get(action="report.mail_again")
    assert (event.actor_name, event.product) == ("ida", report.product)
    assert program.json("GET", "reports?mail_state=failed").json()["results"] == []


@pytest.mark.parametrize("state", [Mail.NONE, Mail.WAITING, Mail.SENDING, Mail.SENT])
def test_only_what_failed_is_sent_again(program: Program, report: Report, state: str) -> None:
    """One that is on its way, or arrived, would come twice."""
    Report.objects.update(mail_state=state)
    refused = program.json("POST", f"reports/{report.pk}/mail")
    assert (refused.status_code, refused.json()["code"]) == (409, "not_failed")
    report.refresh_from_db()
    assert report.mail_state == state


def test_the_next_try_is_told_only_while_it_waits(program: Program, report: Report) -> None:
    after = timezone.now()
    for state, told in ((Mail.WAITING, True), (Mail.SENDING, False)):
        Report.objects.update(mail_state=state, mail_after=after)
        seen = program.json("GET", f"reports/{report.pk}/mail").json()["next_try_at"]
        assert bool(seen) == told


def test_a_report_that_was_not_made_is_not_sent(program: Program, report: Report) -> None:
    Report.objects.update(state=JobState.FAILED)
    assert program.json("POST", f"reports/{report.pk}/mail").status_code == 409


def test_a_key_of_an_mes_learns_no_address_and_sends_nothing(report: Report) -> None:
    owner = UserFactory(role="engineer")
    mes = Program(key_of(owner, [one for one in SCOPES if not one.startswith("report_")]))
    for method in ("GET", "POST"):
        assert mes.json(method, f"reports/{report.pk}/mail").status_code == 403
    seen = mes.json("GET", f"reports/{report.pk}").json()
    assert seen["mail_state"] == "failed"
    assert "plant.example" not in str(seen)


def test_an_inspector_reads_and_does_not_send(report: Report) -> None:
    inspector = Program(key_of(UserFactory(role="inspector")))
    assert inspector.json("GET", f"reports/{report.pk}/mail").status_code == 200
    assert inspector.json("POST", f"reports/{report.pk}/mail").status_code == 403
    report.refresh_from_db()
    assert report.mail_state == Mail.FAILED
