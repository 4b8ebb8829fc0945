"""Pages of an archived product: shown, marked, and left out where something new is chosen."""

import pytest
from django.test import Client
from django.urls import reverse

from inspection.models import AuditEvent, Product, Role
from inspection.services.products import archive_product
from tests.factories.membership import MembershipFactory
from tests.factories.product import ProductFactory
from tests.factories.user import UserFactory
from tests.unit.web.conftest import World, signed_in
from tests.unit.web.test_permissions import store

BEGIN = {"upload_new", "train", "batch_new"}


@pytest.fixture
def shelved(world: World) -> Product:
    archive_product(None, world.product)
    world.product.refresh_from_db()
    return world.product


def test_every_page_and_picture_stays_for_who_could_see_it(
    world: World, shelved: Product, engineer: Client, stranger: Client
) -> None:
    store(world)
    for name, address in (world.pages() | world.files()).items():
        wanted = 302 if name in BEGIN else 200
        assert engineer.get(address).status_code == wanted, name
        assert stranger.get(address).status_code == 404, name


def test_nothing_can_be_begun_on_its_pages(
    world: World, shelved: Product, engineer: Client
) -> None:
    pages = world.pages()
    text = engineer.get(pages["product"]).content.decode()
    assert "Archived" in text
    assert reverse("product_restore", args=[shelved.pk]) in text
    for name in BEGIN:
        assert pages[name] not in text, name
        said = engineer.get(pages[name], follow=True).content.decode()
        assert "is archived, so nothing new is learned or judged for it" in said, name


def test_the_list_has_it_under_archived(shelved: Product, engineer: Client) -> None:
    page = reverse("products")
    listed = engineer.get(page).content.decode()
    assert shelved.name not in listed
    assert "?archived=1" in listed
    assert "Every product is archived." in listed
    archived = engineer.get(page, {"archived": "1"}).content.decode()
    assert shelved.name in archived
    assert "Archived products" in archived
    assert shelved.name not in engineer.get(page, {"archived": "1", "q": "nix"}).content.decode()
    other = signed_in(MembershipFactory(role=Role.ADMINISTRATOR).user)
    assert "archived=1" not in other.get(page).content.decode()
    assert shelved.name not in other.get(page, {"archived": "1"}).content.decode()
    nothing = other.get(page, {"archived": "1"}).content.decode()
    assert "No product is archived." in nothing


def test_menus_leave_it_out_unless_it_is_the_one_that_is_shown(shelved: Product) -> None:
    chief = signed_in(UserFactory(role=Role.ADMINISTRATOR))
    used = ProductFactory()
    option = f'<option value="{shelved.code}"'
    today = chief.get("/").content.decode()
    assert option not in today
    assert f'<option value="{used.code}"' in today
    assert f"{option} selected" in chief.get("/", {"product": shelved.code}).content.decode()
    reports = chief.get(reverse("reports")).content.decode()
    orders = [f'value="{one.pk}"' for one in (shelved, used)]
    assert [reports.count(one) for one in orders] == [1, 2], "to order, and to have sent"
    folder = chief.get(reverse("folder_new")).content.decode()
    assert shelved.code not in folder
    hook = chief.get(reverse("endpoint_new", args=["webhook"])).content.decode()
    assert f'value="{shelved.pk}"' not in hook
    assert f'value="{used.pk}"' in hook


def test_rights_on_it_can_still_be_taken_away(shelved: Product) -> None:
    chief = signed_in(UserFactory(role=Role.ADMINISTRATOR))
    who = MembershipFactory(product=shelved, role=Role.ENGINEER).user
    assert shelved.code in chief.get(reverse("settings_person", args=[who.pk])).content.decode()
    address = reverse("settings_user", args=[who.pk, "role"])
    chief.post(address, {"role": "", "product": str(shelved.pk), "back": "person"})
    assert not who.memberships.exists()


def test_an_engineer_restores_it(shelved: Product, engineer: Client, viewer: Client) -> None:
    address = reverse("product_restore", args=[shelved.pk])
    page = reverse("product", args=[shelved.pk])
    assert address not in viewer.get(page).content.decode()
    assert viewer.post(address).status_code == 403
    assert engineer.get(address).status_code == 405
    said = engineer.post(address, follow=True).content.decode()
    assert "is in use again" in said
    assert address not in said
    shelved.refresh_from_db()
    assert shelved.archived_at is None
    assert AuditEvent.objects.filter(action="product.restored", product=shelved).count() == 1
    assert shelved.name in engineer.get(reverse("products")).content.decode()


def test_an_engineer_archives_it_with_a_reason(
    world: World, engineer: Client, viewer: Client
) -> None:
    address = reverse("product_archive", args=[world.product.pk])
    assert (
        address in engineer.get(reverse("product_edit", args=[world.product.pk])).content.decode()
    )
    assert viewer.post(address).status_code == 403
    assert engineer.get(address).status_code == 405
    said = engineer.post(address, {"reason": " end of life "}, follow=True).content.decode()
    assert "is archived." in said
    assert reverse("product_restore", args=[world.product.pk]) in said
    event = AuditEvent.objects.get(action="product.archived", product=world.product)
    assert event.reason == "end of life"
    again = engineer.post(address, follow=True).content.decode()
    assert "is archived already" in again
    edit = reverse("product_edit", args=[world.product.pk])
    assert address not in engineer.get(edit, follow=True).content.decode()
