"""A locked station shows nothing, and a PIN opens the station and nothing else."""

import time

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from inspection.models import ReviewClaim, Role, User
from inspection.services.pins import set_pin
from inspection.web.station import ACTIVE_AT, GRACE_S
from tests.factories.membership import MembershipFactory
from tests.factories.user import PASSWORD, UserFactory
from tests.unit.web.conftest import World, signed_in

LOCK = "/lock/"


@pytest.fixture(autouse=True)
def fresh_counts() -> None:
    cache.clear()


@pytest.fixture
def ines(world: World) -> User:
    user = MembershipFactory(user__username="ines", product=world.product, role=Role.INSPECTOR).user
    set_pin(user, password=PASSWORD, badge="B-1", pin="4711x")
    return user


@pytest.fixture
def egon(db: None) -> User:
    user = UserFactory(username="egon", role=Role.ADMINISTRATOR)
    set_pin(user, password=PASSWORD, badge="B-2", pin="8520y")
    return user


@pytest.fixture
def station(ines: User) -> Client:
    client = signed_in(ines)
    assert client.get(reverse("verify")).status_code == 200
    return client


def test_nothing_is_shown_until_the_pin(station: Client, world: World) -> None:
    assert ReviewClaim.objects.exists()
    assert station.post(LOCK)["Location"] == LOCK
    assert not ReviewClaim.objects.exists(), "what was held is put back"
    addresses = [reverse("verify"), reverse("products"), *world.pages().values()]
    for address in [*addresses, *world.files().values()]:
        assert station.get(address)["Location"] == LOCK, address
    htmx = station.get(reverse("products"), headers={"HX-Request": "true"})
    assert (htmx.status_code, htmx["HX-Redirect"]) == (204, LOCK)
    script = station.post(
        reverse("review", args=[world.inspection.pk]),
        {"state": "DefectConfirmed"},
        headers={"Accept": "application/json"},
    )
    assert (script.status_code, script.json()["go"]) == (423, LOCK)
    door = station.get(LOCK).content.decode()
    assert world.product.name not in door
    assert station.post(LOCK, {"who": "", "pin": "wrong"}).status_code == 200
    assert station.get(reverse("verify"))["Location"] == LOCK
    assert station.post(LOCK, {"who": "", "pin": "4711x"})["Location"] == reverse("verify")
    assert station.get(reverse("verify")).status_code == 200
    assert station.get(reverse("products")).status_code == 200, "the same person as before"


def test_the_next_person_gets_the_station_and_nothing_else(
    station: Client, egon: User, world: World
) -> None:
    before = station.session.session_key
    station.post(LOCK)
    assert station.post(LOCK, {"who": "B-2", "pin": "8520y"})["Location"] == reverse("verify")
    assert station.session.session_key != before
    page = station.get(reverse("verify"))
    assert "egon" in page.content.decode()
    said = station.post(reverse("review", args=[world.inspection.pk]), {"state": "DefectConfirmed"})
    assert said.status_code == 302
    world.inspection.refresh_from_db()
    assert world.inspection.reviewed_by == egon
    for name in ("products", "settings_users", "models", "account_pin", "account_change_password"):
        answer = station.get(reverse(name))
        assert answer.status_code == 403, name
        assert "Sign in with your password for this" in answer.content.decode()
    for address in world.pages().values():
        assert station.get(address).status_code == 403, address
    made = station.post(reverse("settings_users"), {"username": "evil", "role": "administrator"})
    assert made.status_code == 403
    assert station.get(reverse("thumb", args=[world.item.image_id])).status_code == 404


def test_wrong_pins_run_out(station: Client) -> None:
    station.post(LOCK)
    for _ in range(5):
        assert "is wrong" in station.post(LOCK, {"who": "B-1", "pin": "0"}).content.decode()
    last = station.post(LOCK, {"who": "B-1", "pin": "4711x"}).content.decode()
    assert "Too many wrong PINs" in last
    assert station.get(reverse("verify"))["Location"] == LOCK


def gone_for(client: Client, seconds: float) -> None:
    session = client.session
    session[ACTIVE_AT] = int(time.time() - seconds)
    session.save()


def test_a_station_whose_browser_slept_is_locked_all_the_same(
    station: Client, settings: object
) -> None:
    limit = settings.REVIEW_LOCK_MINUTES * 60  # type: ignore[attr-defined]
    gone_for(station, limit - 5)
    assert station.get(reverse("verify")).status_code == 200
    gone_for(station, limit + GRACE_S + 5)
    assert station.get(reverse("verify"))["Location"] == LOCK
    assert "This station is locked" in station.get(LOCK).content.decode()
    gone_for(station, 0)
    assert station.get(reverse("verify"))["Location"] == LOCK, "only a PIN opens it again"


def test_who_reads_other_pages_is_not_locked_out_of_the_station(station: Client) -> None:
    gone_for(station, 3600)
    station.get(reverse("products"), headers={"Sec-Fetch-Dest": "document"})
    assert station.get(reverse("verify")).status_code == 200


def handed_over(station: Client) -> Client:
    """The station with the session of the next person, who came by PIN."""
    station.post(LOCK)
    assert station.post(LOCK, {"who": "B-2", "pin": "8520y"})["Location"] == reverse("verify")
    return station


def opened(client: Client, address: str):  # type: ignore[no-untyped-def]
    return client.get(address, headers={"Sec-Fetch-Dest": "document"})


def test_an_idle_session_of_a_pin_is_locked_on_whichever_page_comes_next(
    station: Client, egon: User, world: World, settings: object
) -> None:
    client = handed_over(station)
    idle = settings.REVIEW_LOCK_MINUTES * 60 + GRACE_S + 5  # type: ignore[attr-defined]
    notices, picture = reverse("notifications"), next(iter(world.files().values()))
    assert opened(client, notices).status_code == 200
    for address in (notices, picture, reverse("jobs_running"), reverse("products")):
        gone_for(client, idle)
        assert opened(client, address)["Location"] == LOCK, address
        assert opened(client, reverse("verify"))["Location"] == LOCK, "the visit undid nothing"
    script = client.get(reverse("jobs_running"), headers={"Accept": "application/json"})
    assert (script.status_code, script.json()["go"]) == (423, LOCK)
    assert "This station is locked" in client.get(LOCK).content.decode()
    gone_for(client, 0)
    assert opened(client, notices)["Location"] == LOCK, "only a PIN opens it again"
    assert client.post(LOCK, {"who": "", "pin": "8520y"})["Location"] == reverse("verify")
    assert opened(client, notices).status_code == 200


def test_a_pin_does_not_leave_the_station_by_opening_another_page(
    station: Client, egon: User
) -> None:
    client = handed_over(station)
    opened(client, reverse("notifications"))
    assert client.session[ACTIVE_AT]
    session = client.session
    del session[ACTIVE_AT]
    session.save()
    assert opened(client, reverse("notifications"))["Location"] == LOCK, "nothing is known of it"
    assert client.get(LOCK).status_code == 200


def test_a_lock_of_zero_minutes_never_locks(station: Client, egon: User, settings: object) -> None:
    settings.REVIEW_LOCK_MINUTES = 0  # type: ignore[attr-defined]
    gone_for(station, 10**6)
    assert station.get(reverse("verify")).status_code == 200
    client = handed_over(station)
    gone_for(client, 10**6)
    assert opened(client, reverse("notifications")).status_code == 200


def test_a_link_to_the_door_does_not_lock(station: Client) -> None:
    assert station.get(LOCK)["Location"] == reverse("verify")
    assert station.get(reverse("products")).status_code == 200


def test_badge_and_pin_are_set_with_the_password(ines: User) -> None:
    client, page = signed_in(ines), reverse("account_pin")
    new = {"badge": "B-9", "pin": "abc7", "pin_again": "abc7"}
    wrong = client.post(page, {**new, "password": "wrong"}).content.decode()
    assert "This is not your password" in wrong
    typo = client.post(page, {**new, "pin_again": "x", "password": PASSWORD}).content.decode()
    assert "The two are not the same" in typo
    assert client.post(page, {**new, "password": PASSWORD}).status_code == 302
    ines.refresh_from_db()
    assert ines.badge == "B-9"
    assert "abc7" not in client.get(page).content.decode()
