"""The bell in the frame and the page with all notifications."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from inspection.models import User
from inspection.services.notifications import notify
from tests.factories.user import UserFactory
from tests.unit.web.conftest import signed_in


@pytest.fixture
def user(db: None) -> User:
    return UserFactory(role="engineer")


@pytest.fixture
def client(user: User) -> Client:
    return signed_in(user)


def test_the_bell_counts_what_is_unread_with_one_question(client: Client, user: User) -> None:
    notify(user, kind="x", title="Run 3 is done", url="/jobs/")
    with CaptureQueriesContext(connection) as asked:
        page = client.get(reverse("settings_about")).content.decode()
    assert 'id="bell-count" aria-hidden="true">1</span>' in page
    assert "Notifications, 1 unread" in page
    assert sum("inspection_notification" in query["sql"] for query in asked) == 1


def test_without_any_the_bell_is_silent(client: Client) -> None:
    page = client.get(reverse("settings_about")).content.decode()
    assert 'id="bell-count" aria-hidden="true" hidden></span>' in page


def test_the_list_is_the_persons_own(client: Client, user: User) -> None:
    notify(user, kind="x", title="For you")
    notify(UserFactory(), kind="x", title="For another")
    for page in ("notifications", "notifications_bell"):
        shown = client.get(reverse(page)).content.decode()
        assert "For you" in shown
        assert "For another" not in shown


def test_opening_one_marks_it_and_goes_there(client: Client, user: User) -> None:
    [notice] = notify(user, kind="x", title="Ready", url="/jobs/")
    answer = client.post(reverse("notification_open", args=[notice.pk]))
    notice.refresh_from_db()
    assert (answer.status_code, answer.url, notice.read_at is None) == (302, "/jobs/", False)


@pytest.mark.parametrize("url", ["", "https://elsewhere.example/", "//elsewhere.example", "jobs"])
def test_it_never_leads_to_another_host(client: Client, user: User, url: str) -> None:
    [notice] = notify(user, kind="x", title="Odd", url=url)
    answer = client.post(reverse("notification_open", args=[notice.pk]))
    assert answer.url == reverse("notifications")


def test_nobody_opens_or_reads_those_of_another(client: Client) -> None:
    [notice] = notify(UserFactory(), kind="x", title="For another")
    assert client.post(reverse("notification_open", args=[notice.pk])).status_code == 404
    client.post(reverse("notifications_read"))
    notice.refresh_from_db()
    assert notice.read_at is None


def test_reading_needs_a_post(client: Client, user: User) -> None:
    [notice] = notify(user, kind="x", title="Still new")
    assert client.get(reverse("notifications_read")).status_code == 405
    assert client.get(reverse("notification_open", args=[notice.pk])).status_code == 405


def test_all_are_read_at_once_in_the_bell(client: Client, user: User) -> None:
    notify(user, kind="x", title="One")
    answer = client.post(reverse("notifications_read"), headers={"HX-Request": "true"})
    assert 'data-unread=""' in answer.content.decode()


def test_a_long_list_is_paged_by_key(client: Client, user: User) -> None:
    for n in range(51):
        notify(user, kind="x", title=f"number {n:02}")
    first = client.get(reverse("notifications"))
    rest = client.get(reverse("notifications"), {"after": str(first.context["after"])})
    assert "number 00" not in first.content.decode()
    assert "number 00" in rest.content.decode()
    assert client.get(reverse("notifications"), {"after": "x"}).status_code == 404
