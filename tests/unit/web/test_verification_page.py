"""Reason codes and checks by chance, set by engineers on the page of the product."""

import pytest
from django.test import Client
from django.urls import reverse

from inspection.models import AuditEvent, Escape, Product, Role
from tests.factories.membership import MembershipFactory
from tests.factories.product import ProductFactory
from tests.factories.review import EscapeFactory, UnitFactory
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


def test_an_escape_of_one_position_is_reported_and_told_apart(
    engineer: Client, product: Product
) -> None:
    for n in (1, 2):
        UnitFactory(product=product, serial_number="S-1", panel_id="P-7", position_number=n)
    page = reverse("escapes")
    said = {"serial_number": "S-1", "found_where": "Customer"}
    refused = engineer.post(page, said).content.decode()
    assert "P-7/1, P-7/2" in refused
    answer = engineer.post(page, {**said, "panel_id": "P-7", "position_number": "2"})
    assert answer.status_code == 302
    assert Escape.objects.get().unit.position_number == 2
    text = engineer.get(page, {"q": "p-7"}).content.decode()
    assert "Panel P-7 · Position 2" in text
    start = engineer.get(page, {"panel": "P-9", "position": "4"}).content.decode()
    assert 'value="P-9"' in start
    assert 'value="4"' in start


def test_an_escape_is_withdrawn_with_a_reason_and_struck_through(
    engineer: Client, product: Product
) -> None:
    escape = EscapeFactory(unit__product=product, unit__serial_number="S-1")
    page, address = reverse("escapes"), reverse("escape_withdraw", args=[escape.pk])
    colleague = MembershipFactory(product=product, role=Role.INSPECTOR).user
    assert address not in signed_in(colleague).get(page).content.decode()
    assert signed_in(colleague).post(address, {"reason": "no"}).status_code == 403
    assert address in engineer.get(page).content.decode()
    engineer.post(address, {"reason": ""})
    escape.refresh_from_db()
    assert escape.withdrawn_at is None
    answer = engineer.post(address, {"reason": "wrong number"}, follow=True).content.decode()
    assert "is withdrawn" in answer
    assert "<s><strong>S-1</strong></s>" in answer
    assert "wrong number" in answer
    assert address not in answer
    assert AuditEvent.objects.get(action="escape.withdrawn").reason == "wrong number"
    stranger = signed_in(MembershipFactory(role=Role.ADMINISTRATOR).user)
    assert stranger.post(address, {"reason": "x"}).status_code == 404
