from datetime import timedelta

import pytest
from django.utils import timezone

from inspection.errors import NotAllowed, UserError
from inspection.models import AuditEvent, Escape, Role, Unit
from inspection.services.escapes import report_escape
from tests.factories.membership import MembershipFactory
from tests.factories.review import ReasonCodeFactory, UnitFactory
from tests.factories.user import UserFactory
from tests.factories.viewpoint import ViewpointFactory


@pytest.fixture
def unit(db: None) -> Unit:
    return UnitFactory(serial_number="S-1")


def test_an_escape_is_reported_by_the_number_on_the_part(unit: Unit) -> None:
    user = MembershipFactory(product=unit.product, role=Role.INSPECTOR).user
    escape = report_escape(user, serial_number=" S-1 ", found_where="Final test", comment="dead")
    assert (escape.unit, escape.found_where, escape.reported_by) == (unit, "Final test", user)
    event = AuditEvent.objects.get()
    assert (event.action, event.product) == ("escape.reported", unit.product)
    assert event.after["serial"] == "S-1"


@pytest.mark.parametrize("serial", ["S-2", "", "%"])
def test_a_number_that_nobody_knows_is_refused(unit: Unit, serial: str) -> None:
    UnitFactory(product=unit.product, serial_number="", panel_id="P", position_number=1)
    user = UserFactory(role=Role.INSPECTOR)
    with pytest.raises(UserError) as refused:
        report_escape(user, serial_number=serial, found_where="Customer")
    assert (refused.value.code, refused.value.field) == ("no_such_unit", "serial_number")


def test_a_number_of_a_product_that_one_does_not_see_does_not_exist(unit: Unit) -> None:
    stranger = MembershipFactory(role=Role.ADMINISTRATOR).user
    with pytest.raises(UserError) as refused:
        report_escape(stranger, serial_number="S-1", found_where="Customer")
    assert refused.value.code == "no_such_unit"


def test_a_viewer_reports_nothing(unit: Unit) -> None:
    viewer = MembershipFactory(product=unit.product, role=Role.VIEWER).user
    with pytest.raises(NotAllowed):
        report_escape(viewer, serial_number="S-1", found_where="Customer")
    assert not Escape.objects.exists()


def test_two_products_with_one_number_need_the_product(unit: Unit) -> None:
    other = UnitFactory(serial_number="S-1")
    user = UserFactory(role=Role.INSPECTOR)
    with pytest.raises(UserError) as refused:
        report_escape(user, serial_number="S-1", found_where="Customer")
    assert (refused.value.code, refused.value.field) == ("ambiguous_serial", "product")
    escape = report_escape(user, serial_number="S-1", product=other.product, found_where="Customer")
    assert escape.unit == other


def test_what_cannot_be_is_refused_with_its_field(unit: Unit) -> None:
    user = UserFactory(role=Role.INSPECTOR)
    tomorrow = timezone.now() + timedelta(days=1)
    wrong: list[tuple[dict[str, object], str]] = [
        ({"found_where": " "}, "found_where"),
        ({"found_where": "x" * 121}, "found_where"),
        ({"found_at": tomorrow}, "found_at"),
        ({"viewpoint": ViewpointFactory()}, "viewpoint"),
        ({"reason_code": ReasonCodeFactory()}, "reason_code"),
    ]
    for fields, field in wrong:
        with pytest.raises(UserError) as refused:
            report_escape(user, serial_number="S-1", **{"found_where": "Customer", **fields})  # type: ignore[arg-type]
        assert refused.value.field == field
    assert not Escape.objects.exists()
