import csv
import io
from datetime import timedelta
from typing import Any

import pytest
from django.http import QueryDict
from django.utils import timezone

from inspection.errors import NotAllowed, UserError, WrongState
from inspection.models import AuditEvent, Escape, Product, Role, Unit, User
from inspection.services import escapes, kpi_facts, lot_csv, score_sources
from inspection.services.escapes import report_escape, report_once, withdraw_escape
from inspection.services.lot_facts import LotFacts
from inspection.services.quality_facts import QualityFacts
from inspection.services.retraining import propose_good_parts
from inspection.web import reads_inspection, reads_today
from inspection.web.scope import Scope
from tests.factories.inspection import InspectionFactory, InspectionImageFactory
from tests.factories.membership import MembershipFactory
from tests.factories.review import ReasonCodeFactory, UnitFactory
from tests.factories.unit import LotFactory
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


class TestPositions:
    """Panels: one serial number or panel with positions 1 to 4 under it."""

    @pytest.fixture
    def positions(self, unit: Unit) -> list[Unit]:
        product = unit.product
        return [
            UnitFactory(product=product, serial_number="S-7", panel_id="P-7", position_number=n)
            for n in (2, 1, 3, 4)
        ]

    def test_it_lands_where_it_is_said_to_be(self, positions: list[Unit]) -> None:
        user = UserFactory(role=Role.INSPECTOR)
        escape = report_escape(
            user, serial_number="S-7", panel_id="P-7", position_number=3, found_where="Customer"
        )
        assert escape.unit == positions[2]
        event = AuditEvent.objects.get()
        assert (event.after["panel"], event.after["position"]) == ("P-7", 3)

    def test_what_may_be_several_is_refused_and_the_positions_are_named(
        self, positions: list[Unit]
    ) -> None:
        user = UserFactory(role=Role.INSPECTOR)
        with pytest.raises(UserError, match="P-7/1, P-7/2, P-7/3, P-7/4") as refused:
            report_escape(user, serial_number="S-7", found_where="Customer")
        assert (refused.value.code, refused.value.field) == ("ambiguous_unit", "position_number")
        with pytest.raises(UserError, match="position: 1, 2, 3, 4"):
            report_escape(user, panel_id="P-7", found_where="Customer")
        assert not Escape.objects.exists()

    def test_several_panels_are_named_too(self, positions: list[Unit]) -> None:
        other = UnitFactory(
            product=positions[0].product, serial_number="S-7", panel_id="P-8", position_number=1
        )
        user = UserFactory(role=Role.INSPECTOR)
        with pytest.raises(UserError, match="P-7/1, P-8/1") as refused:
            report_escape(user, serial_number="S-7", position_number=1, found_where="Customer")
        assert refused.value.field == "panel_id"
        escape = report_escape(
            user, serial_number="S-7", panel_id="P-8", position_number=1, found_where="Customer"
        )
        assert escape.unit == other

    def test_no_panel_and_position_0_can_be_said(self, positions: list[Unit]) -> None:
        alone = UnitFactory(product=positions[0].product, serial_number="S-7")
        user = UserFactory(role=Role.INSPECTOR)
        places: list[dict[str, Any]] = [{"position_number": 0}, {"panel_id": ""}]
        for place in places:
            found = report_escape(user, serial_number="S-7", found_where="Customer", **place)
            assert found.unit == alone

    def test_a_unit_without_a_serial_number_is_its_panel_and_position(self, unit: Unit) -> None:
        bare = UnitFactory(
            product=unit.product, serial_number="", panel_id="P-9", position_number=2
        )
        user = UserFactory(role=Role.INSPECTOR)
        escape = report_escape(user, panel_id=" P-9 ", position_number=2, found_where="Customer")
        assert escape.unit == bare
        with pytest.raises(UserError, match="P-9, 3") as refused:
            report_escape(user, panel_id="P-9", position_number=3, found_where="Customer")
        assert (refused.value.code, refused.value.field) == ("no_such_unit", "panel_id")

    def test_serial_numbers_of_one_position_are_named(self, unit: Unit) -> None:
        for serial in ("S-8", "S-9"):
            UnitFactory(
                product=unit.product, serial_number=serial, panel_id="P-9", position_number=2
            )
        user = UserFactory(role=Role.INSPECTOR)
        with pytest.raises(UserError, match="S-8, S-9") as refused:
            report_escape(user, panel_id="P-9", position_number=2, found_where="Customer")
        assert refused.value.field == "serial_number"

    def test_where_nothing_names_it_it_is_asked_for(self, unit: Unit) -> None:
        with pytest.raises(UserError, match="Give the serial number"):
            report_escape(UserFactory(role=Role.INSPECTOR), found_where="Customer")


class TestTwice:
    def test_word_for_word_it_is_one_report_for_a_day_and_then_another(self, unit: Unit) -> None:
        user = UserFactory(role=Role.INSPECTOR)
        first, _ = report_once(user, serial_number="S-1", found_where="Customer")
        assert report_once(user, serial_number="S-1", found_where="Customer") == (first, False)
        Escape.objects.update(created_at=timezone.now() - timedelta(days=90))
        again, new = report_once(user, serial_number="S-1", found_where="Customer")
        assert new, "mended and sold once more, it came back once more"
        assert again != first

    def test_the_same_key_is_the_same_report(self, unit: Unit) -> None:
        user = UserFactory(role=Role.INSPECTOR)
        said: dict[str, Any] = {
            "serial_number": "S-1",
            "found_where": "Customer",
            "idempotency_key": "k-1",
        }
        first, new = report_once(user, **said)
        again, newer = report_once(user, **said)
        assert (again, new, newer) == (first, True, False)
        Escape.objects.update(created_at=timezone.now() - timedelta(days=9))
        assert report_once(user, **said) == (first, False), "a key is good for longer than a day"
        with pytest.raises(UserError) as refused:
            report_once(user, **{**said, "comment": "another"})
        assert refused.value.code == "idempotency_key_reused"
        somebody, _ = report_once(UserFactory(role=Role.INSPECTOR), **said)
        assert somebody != first
        assert Escape.objects.count() == 2

    def test_a_key_that_another_request_was_faster_with_is_found(self, unit: Unit) -> None:
        """The look before writing saw nothing; the constraint says that it is there."""
        user = UserFactory(role=Role.INSPECTOR)
        other = UnitFactory(product=unit.product, serial_number="S-2")
        report_once(user, serial_number="S-2", found_where="Line", idempotency_key="k")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(escapes, "_known", _blind_once(escapes._known))
            with pytest.raises(UserError) as refused:
                report_once(user, serial_number="S-1", found_where="Line", idempotency_key="k")
        assert refused.value.code == "idempotency_key_reused"
        assert list(Escape.objects.values_list("unit", flat=True)) == [other.pk]

    def test_word_for_word_is_the_same_until_it_is_withdrawn(self, unit: Unit) -> None:
        user = UserFactory(role=Role.INSPECTOR)
        said = {"serial_number": "S-1", "found_where": "Customer"}
        first = report_escape(user, **said)
        assert report_escape(user, **said) == first
        another = report_escape(user, **said, comment="a second defect")
        assert another != first
        withdraw_escape(user, first, reason="wrong number")
        assert report_escape(user, **said) not in (first, another)


def _blind_once(real: Any) -> Any:
    seen: list[bool] = []

    def known(*args: Any) -> Any:
        if not seen:
            seen.append(True)
            return None
        return real(*args)

    return known


class TestWithdrawn:
    def test_it_stays_on_record_with_its_reason(self, unit: Unit) -> None:
        user = UserFactory(role=Role.INSPECTOR)
        escape = report_escape(user, serial_number="S-1", found_where="Customer")
        withdraw_escape(user, escape, reason=" wrong number ")
        assert (escape.withdrawn_by, escape.withdrawn_reason) == (user, "wrong number")
        assert escape.withdrawn_at
        event = AuditEvent.objects.get(action="escape.withdrawn")
        assert (event.product, event.reason) == (unit.product, "wrong number")
        with pytest.raises(WrongState) as refused:
            withdraw_escape(user, escape, reason="again")
        assert refused.value.code == "already_withdrawn"

    @pytest.mark.parametrize("reason", ["", "  ", "x" * 301])
    def test_without_a_reason_it_stands(self, unit: Unit, reason: str) -> None:
        user = UserFactory(role=Role.INSPECTOR)
        escape = report_escape(user, serial_number="S-1", found_where="Customer")
        with pytest.raises(UserError) as refused:
            withdraw_escape(user, escape, reason=reason)
        assert refused.value.field == "reason"
        assert Escape.objects.get().withdrawn_at is None

    def test_who_may(self, unit: Unit) -> None:
        reporter, other = (
            MembershipFactory(product=unit.product, role=Role.INSPECTOR).user for _ in range(2)
        )
        escape = report_escape(reporter, serial_number="S-1", found_where="Customer")
        with pytest.raises(NotAllowed):
            withdraw_escape(other, escape, reason="mine is better")
        engineer = MembershipFactory(product=unit.product, role=Role.ENGINEER).user
        withdraw_escape(engineer, escape, reason="wrong number")
        reporter.memberships.update(role=Role.VIEWER)
        second = report_escape(engineer, serial_number="S-1", found_where="Line")
        with pytest.raises(NotAllowed):
            withdraw_escape(reporter, second, reason="no")

    def test_units_are_counted_and_the_withdrawn_are_not(self, unit: Unit) -> None:
        """In the figures of the API, of Today and of the quality report alike."""
        user = UserFactory(role=Role.ADMINISTRATOR)
        product = unit.product
        UnitFactory(product=product, serial_number="S-2")
        first = report_escape(user, serial_number="S-1", found_where="Customer")
        report_escape(user, serial_number="S-1", found_where="Customer", comment="again")
        wrong = report_escape(user, serial_number="S-2", found_where="Customer")
        assert counted(user, product) == {2}
        withdraw_escape(user, wrong, reason="wrong number")
        assert counted(user, product) == {1}
        for one in Escape.objects.filter(unit=first.unit):
            withdraw_escape(user, one, reason="a mistake")
        assert counted(user, product) == {None}, "then nobody knows"


def counted(user: User, product: Product) -> set[int | None]:
    begin, end = timezone.now() - timedelta(days=1), timezone.now() + timedelta(days=1)
    return {
        kpi_facts.downstream([product.pk], begin, end),
        reads_today.escapes(Scope.read(user, QueryDict())),
        QualityFacts(product, begin, end).escapes(),
    }


def test_a_withdrawn_report_bars_no_part_from_learning_and_is_no_known_defect(db: None) -> None:
    user = UserFactory(role=Role.ENGINEER)
    part = InspectionFactory(
        verdict="Passed", disposition="auto", is_record=True, score=0.4, completed_at=timezone.now()
    )
    part.unit = UnitFactory(product=part.viewpoint.product, serial_number="S-1")
    part.save(update_fields=["unit"])
    InspectionImageFactory(inspection=part)
    escape = report_escape(user, serial_number="S-1", found_where="Customer")
    report_escape(user, serial_number="S-1", found_where="Customer", comment="again")
    assert list(score_sources._escaped(part.model_version)) == [part]
    with pytest.raises(UserError, match="confirmed defect"):
        propose_good_parts(user, [part])
    for one in Escape.objects.all():
        withdraw_escape(user, one, reason="wrong number")
    assert not score_sources._escaped(part.model_version).exists()
    assert reads_inspection.escapes(part) == []
    assert propose_good_parts(user, [part]).added
    assert escape.unit == part.unit


def test_a_lot_report_tells_position_and_not_what_was_withdrawn(db: None) -> None:
    user = UserFactory(role=Role.ENGINEER)
    lot = LotFactory()
    for n in (1, 2):
        UnitFactory(
            product=lot.product, lot=lot, serial_number="", panel_id="P-1", position_number=n
        )
    kept = report_escape(user, panel_id="P-1", position_number=2, found_where="Customer")
    wrong = report_escape(user, panel_id="P-1", position_number=1, found_where="Customer")
    withdraw_escape(user, wrong, reason="wrong position")
    assert list(LotFacts.of(lot).escapes()) == [kept]
    file = io.BytesIO()
    lot_csv.write(LotFacts.of(lot), file, lambda *_: None)
    header, *rows = csv.reader(io.StringIO(file.getvalue().decode("utf-8-sig")))
    told = next(row for row in rows if row[0] == "escape")
    named = [told[header.index(name)] for name in ("serial", "panel", "position")]
    assert named == ["", "P-1", "2"]
