"""Notifications by program: one's own, and nobody else's."""

from uuid import uuid4

import pytest

from inspection.models import SCOPES, Notification, User
from inspection.services import notifications
from tests.factories.api_key import Program, key_of
from tests.factories.user import UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def ida() -> User:
    return UserFactory(username="ida", role="viewer")


@pytest.fixture
def program(ida: User) -> Program:
    return Program(key_of(ida))


def told(who: User, *titles: str) -> list[Notification]:
    return [
        notifications.notify(who, kind="run", title=title, text="Look.", url="/runs/1/")[0]
        for title in titles
    ]


def test_ones_own_are_told_newest_first(program: Program, ida: User) -> None:
    first, second = told(ida, "One", "Two")
    (others,) = told(UserFactory(role="administrator"), "Theirs")
    listed = program.json("GET", "notifications").json()["results"]
    assert [row["id"] for row in listed] == [str(second.pk), str(first.pk)]
    one = program.json("GET", f"notifications/{first.pk}").json()
    assert one == listed[1]
    assert (one["title"], one["kind"], one["url"], one["read_at"]) == (
        "One",
        "run",
        "/runs/1/",
        None,
    )
    assert set(one) == {"id", "created_at", "kind", "title", "text", "url", "read_at"}
    assert program.json("GET", f"notifications/{others.pk}").status_code == 404


def test_an_administrator_reads_nobody_elses(ida: User) -> None:
    (hers,) = told(ida, "Hers")
    admin = Program(key_of(UserFactory(role="administrator")))
    assert admin.json("GET", "notifications").json()["results"] == []
    assert admin.json("GET", f"notifications/{hers.pk}").status_code == 404
    assert admin.json("POST", "notifications/read", {"ids": [str(hers.pk)]}).json() == {"marked": 0}
    assert admin.json("POST", "notifications/read").json() == {"marked": 0}
    hers.refresh_from_db()
    assert hers.read_at is None


def test_some_are_marked_or_all(program: Program, ida: User) -> None:
    first, second, third = told(ida, "One", "Two", "Three")
    body = {"ids": [str(first.pk), str(uuid4())]}
    assert program.json("POST", "notifications/read", body).json() == {"marked": 1}
    unread = program.json("GET", "notifications?unread=true").json()["results"]
    assert [row["id"] for row in unread] == [str(third.pk), str(second.pk)]
    (read,) = program.json("GET", "notifications?unread=false").json()["results"]
    assert read["id"] == str(first.pk)
    assert read["read_at"] is not None
    assert program.json("POST", "notifications/read", {"ids": []}).json() == {"marked": 0}
    assert program.json("POST", "notifications/read", {}).json() == {"marked": 2}
    assert notifications.unread_count(ida) == 0


@pytest.mark.parametrize(
    "body", [{"ids": ["one"]}, {"ids": None}, {"all": True}, {"ids": [str(uuid4())] * 501}]
)
def test_what_is_no_list_of_keys_marks_nothing(program: Program, ida: User, body: dict) -> None:
    told(ida, "One")
    assert program.json("POST", "notifications/read", body).status_code == 422
    assert notifications.unread_count(ida) == 1


def test_a_key_without_the_scope_reads_none(ida: User) -> None:
    told(ida, "One")
    others = [one for one in SCOPES if not one.startswith("notifications:")]
    assert Program(key_of(ida, others)).json("GET", "notifications").status_code == 403
    reader = Program(key_of(ida, ["notifications:read"]))
    assert len(reader.json("GET", "notifications").json()["results"]) == 1
    assert reader.json("POST", "notifications/read").status_code == 403
