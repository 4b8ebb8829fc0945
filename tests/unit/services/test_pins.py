import pytest
from django.core.cache import cache

from inspection.errors import UserError
from inspection.models import AuditEvent, User
from inspection.services import users
from inspection.services.pins import TRIES, identify, set_pin
from tests.factories.user import PASSWORD, UserFactory


@pytest.fixture(autouse=True)
def fresh_counts() -> None:
    cache.clear()


@pytest.fixture
def ines(db: None) -> User:
    user = UserFactory(username="ines")
    set_pin(user, password=PASSWORD, badge="B-17", pin="4711x")
    return user


@pytest.mark.parametrize("name", ["ines", "INES", "b-17", " B-17 "])
def test_badge_or_name_and_pin_say_who_it_is(ines: User, name: str) -> None:
    assert identify(name, "4711x", "here") == ines


def test_the_pin_is_kept_as_a_hash_and_the_trail_does_not_tell_it(ines: User) -> None:
    assert "4711x" not in User.objects.get().pin
    event = AuditEvent.objects.get()
    assert event.after == {"badge": "B-17", "pin": True}
    assert event.before == {"badge": "", "pin": False}


@pytest.mark.parametrize(
    ("name", "pin"), [("ines", "4711X"), ("ines", ""), ("", ""), ("", "4711x"), ("otto", "4711x")]
)
def test_anything_else_is_refused_with_one_sentence(ines: User, name: str, pin: str) -> None:
    UserFactory(username="otto")  # has no PIN
    with pytest.raises(UserError) as refused:
        identify(name, pin, "here")
    assert refused.value.code == "wrong_pin"


def test_after_some_wrong_ones_even_the_right_one_waits(ines: User) -> None:
    for n in range(TRIES):
        with pytest.raises(UserError, match="wrong"):
            identify("ines", "nope", f"station {n}")
    with pytest.raises(UserError, match="Too many wrong PINs"):
        identify("ines", "4711x", "another station")


def test_a_station_that_tries_names_waits_too(ines: User) -> None:
    for n in range(TRIES):
        with pytest.raises(UserError):
            identify(f"user {n}", "4711x", "here")
    with pytest.raises(UserError, match="Too many wrong PINs"):
        identify("ines", "4711x", "here")
    assert identify("ines", "4711x", "elsewhere") == ines


def test_a_right_one_forgets_the_wrong_ones(ines: User) -> None:
    for _ in range(2 * TRIES):
        with pytest.raises(UserError, match="wrong"):
            identify("ines", "nope", "here")
        identify("ines", "4711x", "here")


def test_an_unknown_name_costs_a_hash_as_well(ines: User, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    monkeypatch.setattr("inspection.services.pins.make_password", made.append)
    with pytest.raises(UserError):
        identify("nobody", "4711x", "here")
    assert made == ["4711x"]


@pytest.mark.parametrize("pin", ["123", "1234567890123", "12 34", "1111", "2345", "ines"])
def test_a_pin_that_is_short_or_guessed_is_refused(ines: User, pin: str) -> None:
    with pytest.raises(UserError) as refused:
        set_pin(ines, password=PASSWORD, badge="B-17", pin=pin)
    assert refused.value.field == "pin"


def test_setting_needs_the_password_and_a_badge_of_ones_own(ines: User) -> None:
    with pytest.raises(UserError) as refused:
        set_pin(ines, password="wrong", badge="", pin="8520")
    assert refused.value.field == "password"
    for badge in ("b-17", "INES"):
        with pytest.raises(UserError) as refused:
            set_pin(UserFactory(), password=PASSWORD, badge=badge, pin="8520")
        assert refused.value.code == "badge_taken"


def test_an_empty_pin_takes_it_away_and_so_does_a_password_reset(ines: User) -> None:
    set_pin(ines, password=PASSWORD, badge="B-17", pin="")
    with pytest.raises(UserError):
        identify("ines", "", "here")
    set_pin(ines, password=PASSWORD, badge="B-17", pin="4711x")
    users.reset_password(None, ines)
    assert User.objects.get(pk=ines.pk).pin == ""


def test_who_is_disabled_or_has_a_one_time_password_gets_in_nowhere(ines: User) -> None:
    for change in ({"is_active": False}, {"is_active": True, "must_change_password": True}):
        User.objects.filter(pk=ines.pk).update(**change)
        with pytest.raises(UserError):
            identify("ines", "4711x", "here")
