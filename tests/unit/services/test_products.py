from decimal import Decimal

import pytest

from inspection.errors import NotAllowed, UserError
from inspection.models import AuditEvent, Dataset, Product
from inspection.services import products
from tests.factories.membership import MembershipFactory
from tests.factories.product import ProductFactory
from tests.factories.user import UserFactory
from tests.factories.viewpoint import ViewpointFactory

pytestmark = pytest.mark.django_db


def test_a_product_comes_with_a_viewpoint_and_a_dataset() -> None:
    user = UserFactory(role="engineer")
    product = products.create_product(user, code=" PN-1 ", name="Relay board", cost_escape="12")
    viewpoint = product.viewpoints.get()
    assert (product.code, product.cost_escape, viewpoint.code) == ("PN-1", Decimal(12), "main")
    assert products.good_dataset(viewpoint) == Dataset.objects.get(name="Good parts")
    event = AuditEvent.objects.get(action="product.created")
    assert (event.actor, event.product, event.after["code"]) == (user, product, "PN-1")


@pytest.mark.parametrize(
    ("fields", "field", "says"),
    [
        ({"code": "  "}, "code", "is missing"),
        ({"name": ""}, "name", "is missing"),
        ({"code": "x" * 61}, "code", "60"),
        ({"opportunities_per_unit": 0}, "opportunities_per_unit", "1 or more"),
        ({"opportunities_per_unit": "many"}, "opportunities_per_unit", "whole number"),
        ({"cost_escape": "a lot"}, "cost_escape", "amount like 12.50"),
        ({"cost_overkill": "-1"}, "cost_overkill", "from 0"),
        ({"cost_overkill": "NaN"}, "cost_overkill", "from 0"),
        ({"ipc_class": 4}, "ipc_class", "not a valid choice"),
        ({"currency": "EURO"}, "currency", "3 characters"),
    ],
)
def test_a_wrong_field_is_named(fields: dict, field: str, says: str) -> None:
    with pytest.raises(UserError) as refused:
        products.create_product(None, **{"code": "PN-1", "name": "Relay board", **fields})
    assert refused.value.field == field
    assert says in refused.value.message
    assert not Product.objects.exists()


def test_a_part_number_is_taken_whatever_its_case() -> None:
    ProductFactory(code="pn-1", name="Old board")
    with pytest.raises(UserError, match="Old board") as refused:
        products.create_product(None, code="PN-1", name="New board")
    assert refused.value.code == "code_taken"


def test_only_what_changed_is_written_down() -> None:
    product = ProductFactory(name="Relay board")
    products.edit_product(None, product, name="Relay board B", code=product.code)
    event = AuditEvent.objects.get()
    assert (event.before, event.after) == ({"name": "Relay board"}, {"name": "Relay board B"})
    products.edit_product(None, product, name="Relay board B")
    assert AuditEvent.objects.count() == 1


def test_archive_once() -> None:
    product = ProductFactory()
    products.archive_product(None, product, "no longer made")
    assert product.archived_at is not None
    assert AuditEvent.objects.get().reason == "no longer made"
    with pytest.raises(UserError, match="archived already"):
        products.archive_product(None, product)


def test_what_was_archived_is_restored_once_and_on_record() -> None:
    product = ProductFactory(code="PN-1")
    engineer = MembershipFactory(product=product, role="engineer").user
    with pytest.raises(UserError, match="PN-1 is not archived"):
        products.restore_product(engineer, product)
    products.archive_product(engineer, product)
    with pytest.raises(UserError, match="restore that product"):
        products.create_product(None, code="pn-1", name="Another")
    inspector = MembershipFactory(product=product, role="inspector").user
    stranger = MembershipFactory(role="administrator").user
    for user in (inspector, stranger):
        with pytest.raises(NotAllowed):
            products.restore_product(user, product)
    products.restore_product(engineer, product)
    assert product.archived_at is None
    event = AuditEvent.objects.get(action="product.restored")
    assert (event.actor, event.product) == (engineer, product)


def test_a_second_viewpoint_has_a_dataset_of_its_own() -> None:
    main = ViewpointFactory()
    bottom = products.create_viewpoint(None, main.product, code="bottom", name="Bottom side")
    assert products.good_dataset(bottom) != products.good_dataset(main)
    with pytest.raises(UserError, match="has a viewpoint") as refused:
        products.create_viewpoint(None, main.product, code="BOTTOM", name="again")
    assert refused.value.field == "code"


def test_who_may() -> None:
    product = ProductFactory()
    engineer = MembershipFactory(product=product, role="engineer").user
    products.edit_product(engineer, product, name="B")
    with pytest.raises(NotAllowed):
        products.create_product(engineer, code="PN-9", name="x")
    inspector = MembershipFactory(product=product, role="inspector").user
    with pytest.raises(NotAllowed):
        products.edit_product(inspector, product, name="C")
