"""Users and memberships by program: the rules of the pages, and no password in any answer."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from inspection.models import SCOPES, AuditEvent, Membership, Product, Role, User
from inspection.services import pins, users
from tests.factories.api_key import Program, key_of
from tests.factories.membership import MembershipFactory
from tests.factories.product import ProductFactory
from tests.factories.user import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def product() -> Product:
    return ProductFactory(code="BOARD-A")


@pytest.fixture
def admin() -> User:
    return UserFactory(username="admin", role="administrator")


@pytest.fixture
def program(admin: User) -> Program:
    return Program(key_of(admin))


@pytest.fixture
def local(product: Product) -> Program:
    """A key of somebody who administers BOARD-A only."""
    boss = MembershipFactory(product=product, role=Role.ADMINISTRATOR, user__username="boss").user
    return Program(key_of(boss))


# --- users -------------------------------------------------------------------------------


def test_a_user_is_made_with_a_role_and_a_password_that_nobody_is_told(
    program: Program, product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users, "one_time_password", lambda: "once-upon-a-time")
    body = {"username": "ida", "name": "Ida Berg", "role": "inspector", "product": "board-a"}
    made = program.json("POST", "users", body)
    assert made.status_code == 201, made.content
    ida = User.objects.get(username="ida")
    assert ida.check_password("once-upon-a-time")
    told = made.json()
    assert told == program.json("GET", f"users/{ida.pk}").json()
    assert told["roles"] == [{"product": "BOARD-A", "role": "inspector"}]
    assert (told["name"], told["must_change_password"], told["enabled"]) == ("Ida Berg", True, True)
    assert "once-upon-a-time" not in made.content.decode()
    written = AuditEvent.objects.filter(object_id=ida.pk)
    assert set(written.values_list("action", "actor_name")) == {
        ("user.created", "admin"),
        ("user.role_set", "admin"),
    }


def test_no_answer_holds_a_password_or_a_hash(program: Program, admin: User) -> None:
    pins.set_pin(admin, password=PASSWORD, badge="B1", pin="4817")
    admin.refresh_from_db()
    answers = [program.json("GET", at).content.decode() for at in ("users", f"users/{admin.pk}")]
    for text in answers:
        assert admin.pin
        assert admin.pin not in text
        assert admin.password not in text
        assert "username" in text
    assert set(program.json("GET", f"users/{admin.pk}").json()) & {"password", "pin"} == set()


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"username": "ADMIN"}, "/username"),
        ({"username": "with space"}, "/username"),
        ({"username": "ida", "role": "king"}, "/role"),
        ({"username": "ida", "product": "BOARD-A"}, "/role"),
        ({"username": "ida", "role": "viewer", "product": "BOARD-Z"}, "/product"),
        ({"username": "ida", "password": "a long enough password"}, "/password"),
        ({"username": "ida", "is_superuser": True}, "/is_superuser"),
        ({}, "/username"),
    ],
)
def test_a_wrong_user_is_refused(
    program: Program, product: Product, body: dict[str, Any], pointer: str
) -> None:
    refused = program.json("POST", "users", body)
    assert refused.status_code == 422
    assert [one["pointer"] for one in refused.json()["errors"]] == [pointer]
    assert User.objects.count() == 1


def test_who_is_disabled_is_out_and_comes_back(program: Program) -> None:
    ida = UserFactory(username="ida", role="viewer")
    hers = Program(key_of(ida))
    assert hers.json("GET", "me").status_code == 200
    at = f"users/{ida.pk}"
    assert program.json("POST", f"{at}/disable").json()["enabled"] is False
    assert hers.json("GET", "me").status_code == 401
    twice = program.json("POST", f"{at}/disable")
    assert (twice.status_code, twice.json()["code"]) == (409, "already_disabled")
    listed = program.json("GET", "users?enabled=false").json()["results"]
    assert [one["username"] for one in listed] == ["ida"]
    assert program.json("POST", f"{at}/enable").json()["enabled"] is True
    assert hers.json("GET", "me").status_code == 200
    actions = AuditEvent.objects.filter(object_id=ida.pk, action__in=["user.disabled"])
    assert [event.actor_name for event in actions] == ["admin"]


def test_the_last_administrator_stays(program: Program, admin: User) -> None:
    refused = program.json("POST", f"users/{admin.pk}/disable")
    assert (refused.status_code, refused.json()["code"]) == (409, "last_administrator")
    own = admin.memberships.get()
    for answer in (
        program.json("PATCH", f"memberships/{own.pk}", {"role": "viewer"}),
        program.json("DELETE", f"memberships/{own.pk}"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "last_administrator")
    own.refresh_from_db()
    assert own.role == Role.ADMINISTRATOR


def test_a_list_of_users_asks_a_fixed_number_of_questions(program: Program) -> None:
    MembershipFactory()
    program.json("GET", "users")  # notes that the key is used, once a minute
    with CaptureQueriesContext(connection) as few:
        program.json("GET", "users")
    for _ in range(5):
        MembershipFactory()
    with CaptureQueriesContext(connection) as many:
        assert len(program.json("GET", "users").json()["results"]) == 7
    assert len(many) == len(few)


def test_other_keys_of_an_administrator_do_not_open_users(admin: User) -> None:
    others = [one for one in SCOPES if not one.startswith("users:")]
    program = Program(key_of(admin, others))
    for method, path in (("GET", "users"), ("POST", "users"), ("GET", "memberships")):
        assert program.json(method, path, {} if method == "POST" else None).status_code == 403


# --- memberships -------------------------------------------------------------------------


def test_a_role_is_given_changed_and_taken_away(program: Program, product: Product) -> None:
    ida = UserFactory(username="ida")
    body = {"username": "IDA", "product": "BOARD-A", "role": "viewer"}
    given = program.json("POST", "memberships", body)
    assert given.status_code == 201, given.content
    told = given.json()
    assert (told["user"], told["product"], told["role"]) == (str(ida.pk), "BOARD-A", "viewer")
    at = f"memberships/{told['id']}"
    assert told == program.json("GET", at).json()
    assert program.json("PATCH", at, {"role": "engineer"}).json()["role"] == "engineer"
    again = program.json("POST", "memberships", {**body, "role": "inspector"})
    assert (again.status_code, again.json()["id"]) == (200, told["id"])
    listed = program.json("GET", "memberships?username=ida&product=BOARD-A").json()["results"]
    assert [one["role"] for one in listed] == ["inspector"]
    assert program.json("DELETE", at).status_code == 204
    assert program.json("GET", at).status_code == 404
    events = AuditEvent.objects.filter(action="user.role_set", object_id=ida.pk).order_by("id")
    assert [(event.before["role"], event.after["role"]) for event in events] == [
        (None, "viewer"),
        ("viewer", "engineer"),
        ("engineer", "inspector"),
        ("inspector", None),
    ]
    assert {event.product for event in events} == {product}


def test_a_role_that_was_changed_meanwhile_stays(program: Program) -> None:
    member = MembershipFactory(role=Role.VIEWER)
    at = f"memberships/{member.pk}"
    tag = program.json("GET", at)["ETag"]
    program.json("PATCH", at, {"role": "engineer"})
    late = program.json("PATCH", at, {"role": "inspector"}, **{"If-Match": tag})
    assert late.status_code == 412
    assert program.json("DELETE", at, **{"If-Match": tag}).status_code == 412
    member.refresh_from_db()
    assert member.role == Role.ENGINEER


def test_who_gives_up_a_role_of_their_own_is_told_that_it_worked(local: Program) -> None:
    own = Membership.objects.get(user__username="boss")
    given_up = local.json("PATCH", f"memberships/{own.pk}", {"role": "viewer"})
    assert (given_up.status_code, given_up.json()["role"]) == (200, "viewer")
    assert local.json("GET", f"memberships/{own.pk}").status_code == 403


def test_without_a_product_the_role_is_for_all(program: Program) -> None:
    UserFactory(username="ida")
    given = program.json("POST", "memberships", {"username": "ida", "role": "viewer"})
    assert (given.status_code, given.json()["product"]) == (201, None)
    assert Membership.objects.get(user__username="ida").product is None


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"username": "nobody"}, "/username"),
        ({"username": "gone"}, "/username"),
        ({"role": "king"}, "/role"),
        ({"product": "BOARD-Z"}, "/product"),
        ({"user": "ida"}, "/user"),
    ],
)
def test_a_wrong_membership_is_refused(
    program: Program, product: Product, fields: dict[str, Any], pointer: str
) -> None:
    UserFactory(username="ida")
    UserFactory(username="gone", is_active=False)
    body = {"username": "ida", "product": "BOARD-A", "role": "viewer", **fields}
    refused = program.json("POST", "memberships", body)
    assert refused.status_code == 422
    assert [one["pointer"] for one in refused.json()["errors"]] == [pointer]


def test_who_administers_a_product_gives_roles_there_and_nowhere_else(
    local: Program, product: Product, admin: User
) -> None:
    other = MembershipFactory(product=ProductFactory(code="BOARD-B"))
    disabled = MembershipFactory(product=product, user__is_active=False)
    UserFactory(username="ida")
    mine = {"username": "ida", "product": "BOARD-A", "role": "inspector"}
    assert local.json("POST", "memberships", mine).status_code == 201
    seen = {one["username"] for one in local.json("GET", "memberships").json()["results"]}
    assert seen == {"boss", "ida", "admin"}, "of everything too: they may do something here"
    assert local.json("GET", f"memberships/{other.pk}").status_code == 404
    assert local.json("GET", f"memberships/{disabled.pk}").status_code == 404
    everywhere = admin.memberships.get()
    for answer, status in (
        (local.json("GET", "users"), 403),
        (local.json("POST", "users", {"username": "new"}), 403),
        (local.json("POST", "memberships", {**mine, "product": "BOARD-B"}), 422),
        (local.json("POST", "memberships", {"username": "boss", "role": "administrator"}), 403),
        (local.json("PATCH", f"memberships/{everywhere.pk}", {"role": "viewer"}), 403),
        (local.json("DELETE", f"memberships/{everywhere.pk}"), 403),
    ):
        assert answer.status_code == status, answer.content
    assert Membership.objects.get(pk=everywhere.pk).role == Role.ADMINISTRATOR


def test_who_may_give_no_role_learns_no_names(product: Product) -> None:
    engineer = Program(key_of(UserFactory(role="engineer")))
    UserFactory(username="ida")
    answers = [
        engineer.json(
            "POST", "memberships", {"username": name, "product": "BOARD-A", "role": "viewer"}
        )
        for name in ("ida", "nobody")
    ]
    assert [answer.status_code for answer in answers] == [403, 403]
    assert answers[0].json() == answers[1].json()
