"""A lot is judged again beside what was said of it, never over it."""

import pytest

from inspection.errors import NotAllowed, UserError
from inspection.models import AuditEvent, Inspection, ModelVersion, Purpose, Role, Unit
from inspection.services.rescoring import rescore_lot
from tests.factories.batch import BatchFactory
from tests.factories.inspection import InspectionFactory, InspectionImageFactory
from tests.factories.jobs import make_version
from tests.factories.membership import MembershipFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def lot():
    version = make_version()
    product = version.viewpoint.product
    lot = product.lots.create(code="L-1", work_order="WO-9")
    batch = BatchFactory(model_version=version, lot=lot)
    for n in range(3):
        unit = Unit.objects.create(product=product, serial_number=f"S{n}", lot=lot)
        inspection = InspectionFactory(batch=batch, lot=lot, unit=unit, is_record=True)
        InspectionImageFactory.create_batch(2 if n == 0 else 1, inspection=inspection) if n else [
            InspectionImageFactory(inspection=inspection, index=i) for i in range(2)
        ]
    InspectionFactory(batch=batch, lot=lot, waiting=True)
    return lot


def other(lot) -> ModelVersion:
    viewpoint = lot.product.viewpoints.get()
    return make_version(viewpoint, state=ModelVersion.State.RETIRED)


def test_every_judged_part_is_asked_about_again_and_nothing_old_changes(lot) -> None:
    version, fields = other(lot), ("pk", "verdict", "score", "is_record", "model_version")
    before = list(Inspection.objects.order_by("id").values_list(*fields))
    batch = rescore_lot(None, lot, version, reason="escape at the customer")
    again = Inspection.objects.filter(batch=batch)
    assert again.count() == 3, "what waits for its first verdict is not asked again"
    assert sum(inspection.pictures.count() for inspection in again) == 4
    for inspection in again:
        assert inspection.origin is not None
        assert inspection.unit == inspection.origin.unit
        assert (inspection.purpose, inspection.verdict) == (Purpose.RESCORE, "")
        assert (inspection.model_version, inspection.is_record) == (version, False)
        assert inspection.chunk is not None, "it is queued"
    assert (batch.lot, batch.purpose) == (lot, Purpose.RESCORE)
    assert (
        list(Inspection.objects.exclude(batch=batch).order_by("id").values_list(*fields)) == before
    )
    event = AuditEvent.objects.get(action="lot.rescored")
    assert (event.reason, event.after["parts"]) == ("escape at the customer", 3)


def test_a_reason_the_right_product_and_an_engineer_are_needed(lot) -> None:
    version = other(lot)
    with pytest.raises(UserError, match="Say why"):
        rescore_lot(None, lot, version, reason=" ")
    with pytest.raises(UserError, match="another product"):
        rescore_lot(None, lot, make_version(), reason="x")
    inspector = MembershipFactory(product=lot.product, role=Role.INSPECTOR).user
    with pytest.raises(NotAllowed):
        rescore_lot(inspector, lot, version, reason="x")
    empty = lot.product.lots.create(code="L-2")
    with pytest.raises(UserError, match="No part of lot L-2"):
        rescore_lot(None, empty, version, reason="x")
