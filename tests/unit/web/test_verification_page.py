"""Reason codes and checks by chance, set by engineers on the page of the product."""

import pytest
from django.test import Client
from django.urls import reverse

from inspection.models import Escape, Product, Role
from tests.factories.membership import MembershipFactory
from tests.factories.product import ProductFactory
from tests.factories.review import UnitFactory
from tests.unit.web.conftest import signed_in


@pytest.fixture
def product(db: None) -> Product:
    return ProductFactory(code="AX-7")


@pytest.fixture
def engineer(product: Product) -> Client:
    return signed_in(MembershipFactory(product=product, role=Role.ENGINEER).user)


def test_codes_are_added_and_retired(engineer: Client, product: Product) -> None:
    page = reverse("verification", args=[product.pk])
    assert "No reason codes yet" in engineer.get(page).content.decode()
    engineer.post(page, {"code": "BRIDGE", "text": "Solder bridge"})
    again = engineer.post(page, {"code": "bridge", "text": "Again"}).content.decode()
    assert "has the reason code BRIDGE already" in again
    assert "Solder bridge" in again
    code = product.reason_codes.get()
    viewer = signed_in(MembershipFactory(product=product, role=Role.VIEWER).user)
    assert viewer.post(page, {"code": "X", "text": "X"}).status_code == 403
    assert viewer.post(reverse("reason_retire", args=[code.pk])).status_code == 403
    engineer.post(reverse("reason_retire", args=[code.pk]))
    code.refresh_from_db()
    assert code.retired_at is not None


def test_shares_are_percent_on_the_page_and_fractions_in_the_row(
    engineer: Client, product: Product
) -> None:
    page = reverse("verification", args=[product.pk])
    engineer.post(page, {"audit_percent": "2.5", "second_percent": "10"})
    product.refresh_from_db()
    assert (product.audit_rate, product.second_look_rate) == (0.025, 0.1)
    assert 'value="2.5"' in engineer.get(page).content.decode()
    wrong = engineer.post(page, {"audit_percent": "101", "second_percent": "-1"})
    assert wrong.status_code == 200
    product.refresh_from_db()
    assert product.audit_rate == 0.025


def test_an_escape_is_reported_and_listed(engineer: Client, product: Product) -> None:
    UnitFactory(product=product, serial_number="S-1")
    page = reverse("escapes")
    unknown = engineer.post(page, {"serial_number": "S-2", "found_where": "Customer"})
    assert "was ever inspected here" in unknown.content.decode()
    answer = engineer.post(page, {"serial_number": "S-1", "found_where": "Customer"})
    assert answer.status_code == 302
    assert Escape.objects.get().unit.serial_number == "S-1"
    assert "S-1" in engineer.get(page).content.decode()
    assert "S-1" not in engineer.get(page, {"q": "S-9"}).content.decode()
    stranger = signed_in(MembershipFactory(role=Role.ADMINISTRATOR).user)
    assert "S-1" not in stranger.get(page).content.decode()
    viewer = signed_in(MembershipFactory(product=product, role=Role.VIEWER).user)
    assert "Report an escape" not in viewer.get(page).content.decode()
    sent = viewer.post(page, {"serial_number": "S-1", "found_where": "Customer"})
    assert sent.status_code in (200, 403)
    assert Escape.objects.count() == 1
