"""The desk's pages × every role; and no address of one product answers to somebody else's."""

from typing import Any
from uuid import UUID

import pytest
from django.test import Client
from django.urls import URLPattern, reverse

from inspection.models import (
    AuditEvent,
    ReviewState,
    Role,
    User,
)
from inspection.services.reviews import record_review
from inspection.web import urls
from tests.factories.membership import MembershipFactory
from tests.factories.review import EscapeFactory, ReasonCodeFactory
from tests.factories.user import UserFactory
from tests.unit.web.conftest import World, signed_in

ROLES = ("viewer", "inspector", "engineer", "administrator", "stranger", "nobody", "chief")
# page: what each of ROLES gets; the stranger administers another product, the chief all.
PAGES = {
    "home": (200, 200, 200, 200, 200, 200, 200),
    "defects": (200, 200, 200, 200, 200, 200, 200),
    "verify": (403, 200, 200, 200, 200, 403, 200),
    "verify_agreement": (200, 200, 200, 200, 200, 200, 200),
    "escapes": (200, 200, 200, 200, 200, 200, 200),
    "settings_audit": (403, 403, 200, 200, 200, 403, 200),
    "settings_users": (403, 403, 403, 403, 403, 403, 200),
    "verification": (200, 200, 200, 200, 404, 404, 200),
    "product_people": (403, 403, 403, 200, 404, 404, 200),
}
OF_A_PRODUCT = ("verification", "product_people")


def people(world: World) -> dict[str, User]:
    def member(role: Role) -> User:
        return MembershipFactory(product=world.product, role=role).user

    return {
        **{role.value: member(role) for role in Role},
        "stranger": MembershipFactory(role=Role.ADMINISTRATOR).user,
        "nobody": UserFactory(),
        "chief": UserFactory(role=Role.ADMINISTRATOR),
    }


@pytest.mark.parametrize("page", PAGES)
def test_who_opens_which_page(world: World, page: str) -> None:
    users = people(world)
    address = reverse(page, args=[world.product.pk] if page in OF_A_PRODUCT else [])
    got = {role: signed_in(users[role]).get(address).status_code for role in ROLES}
    assert got == dict(zip(ROLES, PAGES[page], strict=True))


def test_the_tab_of_the_audit_trail_is_there_for_who_may_open_it(world: World) -> None:
    users, tab = people(world), f'href="{reverse("settings_audit")}"'
    for role, opens in zip(ROLES, PAGES["settings_audit"], strict=True):
        page = signed_in(users[role]).get(reverse("settings_about")).content.decode()
        assert (tab in page) == (opens == 200), role


def test_what_pages_list_is_of_products_that_one_sees(world: World) -> None:
    users = people(world)
    secret = world.product.code
    review = {"verify": "inspector", "verify_agreement": "viewer", "defects": "viewer"}
    for page, member in review.items():
        assert secret in signed_in(users[member]).get(reverse(page)).content.decode(), page
        for other in ("stranger", "nobody"):
            assert secret not in signed_in(users[other]).get(reverse(page)).content.decode(), page


def one_of_each(world: World) -> dict[str, UUID]:
    """By the first parts of an address, the key of a thing of this product."""
    inspector = UserFactory(role=Role.INSPECTOR)
    review = record_review(inspector, world.inspection, state=ReviewState.CONFIRMED)
    reason = ReasonCodeFactory(product=world.product)
    keys: dict[str, Any] = {
        "products/datasets/": world.dataset,
        "products/pictures/": world.item,
        "products/reasons/": reason,
        "products/": world.product,
        "runs/": world.run,
        "batches/": world.batch,
        "inspections/": world.inspection,
        "verify/reviews/": review,
        "verify/escapes/": EscapeFactory(unit__product=world.product),
        "verify/": world.inspection,
        "models/": world.version,
        "uploads/": world.upload,
    }
    return {start: one.pk for start, one in keys.items()}


def addresses(world: World) -> dict[str, str]:
    """Every address that names one thing of this product."""
    keys, found = one_of_each(world), {}
    for pattern in urls.urlpatterns:
        assert isinstance(pattern, URLPattern)
        start = next((one for one in keys if str(pattern.pattern).startswith(one)), None)
        names = set(pattern.pattern.converters)
        if start is None or "key" not in names or not names <= {"key", "item", "action", "name"}:
            continue
        values = dict.fromkeys(names, "x") | {"key": keys[start]}
        if "item" in names:
            values["item"] = world.item.pk
        found[str(pattern.name)] = reverse(str(pattern.name), kwargs=values)
    return found


HIDDEN = {404, 405}  # as if it were not there, or not asked for so


def test_a_stranger_finds_nothing_by_any_address(world: World) -> None:
    all_of_them = addresses(world)
    assert len(all_of_them) > 35
    stranger = signed_in(MembershipFactory(role=Role.ADMINISTRATOR).user)
    before = AuditEvent.objects.count()
    for name, address in all_of_them.items():
        assert stranger.get(address).status_code in HIDDEN, name
        assert stranger.post(address, POSTED).status_code in HIDDEN, name
    assert AuditEvent.objects.count() == before


POSTED = {
    "state": "DefectConfirmed",
    "reason": "because",
    "username": "somebody",
    "role": "administrator",
    "code": "X",
    "text": "X",
    "name": "X",
    "exclude": "yes",
    "keep": "yes",
}


def test_a_viewer_changes_nothing_by_any_address(world: World) -> None:
    all_of_them = addresses(world)
    viewer = signed_in(MembershipFactory(product=world.product, role=Role.VIEWER).user)
    before = AuditEvent.objects.count()
    for name, address in all_of_them.items():
        data = {**POSTED, "reason": ""} if "review" in name else POSTED
        status = viewer.post(address, data).status_code
        assert status in (302, 400, 403, 404, 405, 409, 412), (name, status)
        assert AuditEvent.objects.count() == before, name


def test_roles_of_a_product_are_given_by_its_administrators(world: World) -> None:
    users = people(world)
    newcomer = UserFactory(username="newcomer")
    address = reverse("product_member", args=[world.product.pk])
    data = {"username": "newcomer", "role": "engineer"}
    for role, status in (("viewer", 403), ("engineer", 403), ("stranger", 404), ("nobody", 404)):
        assert signed_in(users[role]).post(address, data).status_code == status, role
    assert not newcomer.memberships.exists()
    boss = signed_in(users["administrator"])
    assert boss.post(address, data).status_code == 302
    assert newcomer.memberships.get().role == Role.ENGINEER
    assert newcomer.memberships.get().product == world.product
    event = AuditEvent.objects.get(action="user.role_set")
    assert (event.before, event.after) == ({"role": None}, {"role": "engineer"})
    assert (
        "newcomer" in boss.get(reverse("product_people", args=[world.product.pk])).content.decode()
    )
    boss.post(address, {"username": "newcomer", "role": ""})
    assert not newcomer.memberships.exists()
    text = boss.post(address, {"username": "nobody-known"}, follow=True).content.decode()
    assert "There is no user" in text


def test_roles_are_set_on_the_page_of_a_person(world: World) -> None:
    chief = signed_in(UserFactory(role=Role.ADMINISTRATOR))
    who = UserFactory()
    page = reverse("settings_person", args=[who.pk])
    assert world.product.code in chief.get(page).content.decode()
    data = {"role": "inspector", "product": str(world.product.pk), "back": "person"}
    assert chief.post(reverse("settings_user", args=[who.pk, "role"]), data)["Location"] == page
    assert who.memberships.get().product == world.product
    engineer = signed_in(MembershipFactory(product=world.product, role=Role.ENGINEER).user)
    assert engineer.get(page).status_code == 403


class TestAudit:
    def rows(self, client: Client, **query: str) -> str:
        return client.get(reverse("settings_audit"), query).content.decode()

    @pytest.fixture
    def chief(self, world: World) -> Client:
        part = world.inspection
        record_review(
            UserFactory(username="ines", role=Role.INSPECTOR),
            part,
            state=ReviewState.CONFIRMED,
            comment="on R22",
        )
        return signed_in(UserFactory(username="chief", role=Role.ADMINISTRATOR))

    def test_before_and_after_stand_side_by_side(self, chief: Client) -> None:
        text = self.rows(chief)
        assert '<td class="was">NotVerifiedYet</td><td class="now">DefectConfirmed</td>' in text
        assert "on R22" in text

    def test_each_filter_narrows_and_nonsense_finds_nothing(
        self, chief: Client, world: World
    ) -> None:
        key = str(world.inspection.pk)
        for query, there in (
            ({"who": "ines"}, True),
            ({"who": "otto"}, False),
            ({"who": "system"}, False),
            ({"type": "inspection"}, True),
            ({"type": "user"}, False),
            ({"type": "actor__password"}, False),
            ({"object": key}, True),
            ({"object": key[:12]}, True),
            ({"object": "no such"}, False),
            ({"since": "2000-01-01", "until": "2100-01-01"}, True),
            ({"since": "2100-01-01"}, False),
            ({"until": "2000-01-01"}, False),
        ):
            assert ("on R22" in self.rows(chief, **query)) is there, query

    def test_pages_follow_each_other_by_key(
        self, chief: Client, monkeypatch: pytest.MonkeyPatch, world: World
    ) -> None:
        monkeypatch.setattr("inspection.web.views.audit.PAGE", 2)
        for n in range(4):
            UserFactory(username=f"made-{n}")
            AuditEvent.objects.create(
                actor_name="system",
                action="user.created",
                object_type="user",
                object_id=world.product.pk,
                object_name=f"made-{n}",
            )
        text, seen = self.rows(chief), []
        while True:
            seen += [n for n in range(4) if f">made-{n}</a>" in text]
            if "Older ones" not in text:
                break
            text = self.rows(chief, after=text.split("after=")[1].split('"')[0])
        assert sorted(seen) == [0, 1, 2, 3]

    def test_an_engineer_sees_what_befell_their_products_only(
        self, chief: Client, world: World
    ) -> None:
        engineer = signed_in(MembershipFactory(product=world.product, role=Role.ENGINEER).user)
        stranger = signed_in(MembershipFactory(role=Role.ADMINISTRATOR).user)
        AuditEvent.objects.create(
            actor_name="system",
            action="user.created",
            object_type="user",
            object_id=world.product.pk,
            object_name="not-for-engineers",
        )
        assert "on R22" in self.rows(engineer)
        assert "not-for-engineers" not in self.rows(engineer)
        assert "on R22" not in self.rows(stranger)
        assert "not-for-engineers" in self.rows(chief)
