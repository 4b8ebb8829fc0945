import io
import threading

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from inspection.errors import NotAllowed, UserError, WrongState
from inspection.models import AuditEvent, Membership, Role, User
from inspection.services import users
from tests.factories.product import ProductFactory
from tests.factories.user import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin() -> User:
    return UserFactory(username="admin", role="administrator")


def test_a_new_user_has_a_one_time_password_and_a_role(admin: User) -> None:
    product = ProductFactory()
    who, password = users.create_user(admin, username="ida", role="inspector", product=product)
    assert who.check_password(password)
    assert who.must_change_password
    assert len(password) >= 20
    assert Membership.objects.get(user=who).role == Role.INSPECTOR
    actions = set(AuditEvent.objects.filter(object_id=who.pk).values_list("action", flat=True))
    assert actions == {"user.created", "user.role_set"}
    assert password not in str(list(AuditEvent.objects.values()))


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"username": "ADMIN"}, "username_taken"),
        ({"username": "with space"}, "invalid"),
        ({"username": ""}, "invalid"),
        ({"username": "ida", "role": "king"}, "bad_role"),
    ],
)
def test_a_wrong_user_is_refused(admin: User, fields: dict, code: str) -> None:
    with pytest.raises(UserError) as refused:
        users.create_user(admin, **fields)
    assert refused.value.code == code
    assert User.objects.count() == 1


def test_disabling_ends_sessions_at_once(admin: User, client) -> None:
    who = UserFactory()
    client.force_login(who)
    users.disable_user(admin, who)
    assert not client.session.exists(client.session.session_key)
    assert not client.login(username=who.username, password=PASSWORD)
    users.enable_user(admin, who)
    assert client.login(username=who.username, password=PASSWORD)


def test_a_reset_ends_sessions_and_asks_for_a_new_password(admin: User, client) -> None:
    who, other = UserFactory(), UserFactory()
    client.force_login(who)
    key = client.session.session_key
    client.logout()
    client.force_login(other)
    password = users.reset_password(admin, who)
    who.refresh_from_db()
    assert who.must_change_password
    assert who.check_password(password)
    assert not client.session.exists(key)
    assert client.session.exists(client.session.session_key)


def test_the_last_administrator_stays(admin: User) -> None:
    with pytest.raises(WrongState, match="last administrator"):
        users.disable_user(admin, admin)
    with pytest.raises(WrongState, match="last administrator"):
        users.set_role(admin, admin, "viewer")
    UserFactory(role="administrator", is_active=False)  # does not count
    with pytest.raises(WrongState):
        users.disable_user(admin, admin)
    UserFactory(role="administrator")
    users.disable_user(None, admin)
    assert not User.objects.get(pk=admin.pk).is_active


@pytest.mark.django_db(transaction=True)
def test_two_administrators_cannot_disable_each_other_at_once() -> None:
    one, two = (UserFactory(role="administrator") for _ in range(2))
    start, refused = threading.Barrier(2), []

    def disable(actor: User, who: User) -> None:
        try:
            start.wait()
            users.disable_user(actor, who)
        except UserError as error:
            refused.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=disable, args=pair) for pair in ((one, two), (two, one))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1
    assert users.administrators().count() == 1


def test_a_product_administrator_rules_only_that_product() -> None:
    mine, other = ProductFactory(), ProductFactory()
    boss, who = UserFactory(), UserFactory()
    boss.memberships.create(product=mine, role=Role.ADMINISTRATOR)
    users.set_role(boss, who, "engineer", mine)
    for forbidden in (
        lambda: users.set_role(boss, who, "engineer", other),
        lambda: users.set_role(boss, boss, "administrator"),
        lambda: users.reset_password(boss, who),
        lambda: users.disable_user(boss, who),
        lambda: users.create_user(boss, username="x"),
    ):
        with pytest.raises(NotAllowed):
            forbidden()


def test_taking_a_role_away(admin: User) -> None:
    who = UserFactory(role="engineer")
    assert users.set_role(admin, who, None) is None
    assert not who.memberships.exists()
    event = AuditEvent.objects.get(action="user.role_set")
    assert (event.before, event.after) == ({"role": "engineer"}, {"role": None})


# --- manage.py user ----------------------------------------------------------------------


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("user", *arguments, stdout=out)
    return out.getvalue()


def test_the_command(admin: User) -> None:
    ProductFactory(code="PN-1")
    shown = run("create", "ida", "--role", "inspector", "--product", "pn-1", "--full-name", "Ida B")
    password = shown.split("One-time password: ")[1].split()[0]
    ida = User.objects.get(username="ida")
    assert ida.check_password(password)
    assert str(ida) == "Ida B"
    assert "inspector of PN-1" in run("list")
    run("disable", "IDA")
    assert "(disabled)" in run("list")
    run("enable", "ida")
    assert "One-time password" in run("reset", "ida")
    run("role", "ida", "--role", "none", "--product", "PN-1")
    assert "no role" in run("list")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("disable", "nobody"), "There is no user nobody"),
        (("create", "ida", "--product", "PN-9", "--role", "viewer"), "no product"),
        (("disable", "admin"), "last administrator"),
    ],
)
def test_the_command_says_what_is_wrong(admin: User, arguments: tuple, says: str) -> None:
    with pytest.raises(CommandError, match=says):
        run(*arguments)
