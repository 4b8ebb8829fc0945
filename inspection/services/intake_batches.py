"""The batches of a watched folder: one is kept open per lot while its files come."""

from datetime import timedelta

from django.db.models import Q, QuerySet
from django.utils import timezone

from inspection.models import Batch, Intake, ModelVersion, Purpose

from . import batches
from .intake_patterns import Read


def batch_for(intake: Intake, said: Read) -> Batch:
    """The open batch of this folder and lot, judged by the model that judges now."""
    lot = said.lot or said.work_order
    active = Q(model_version__state=ModelVersion.State.ACTIVE)
    there = _open_batches(intake).filter(active, **_of_lot(lot)).order_by("-id").first()
    if there:
        work_order = there.lot.work_order if there.lot else ""
        if not said.work_order or said.work_order == work_order:
            return there
    moment = timezone.localtime().strftime("%Y-%m-%d %H:%M")
    batch = batches.open_batch(
        intake.created_by,
        intake.viewpoint,
        name=f"{intake.name} · {lot or moment}",
        purpose=Purpose.PRODUCTION,
        lot_code=lot,
        work_order=said.work_order,
        station=intake.station,
    )
    Batch.objects.filter(pk=batch.pk).update(intake=intake)
    return batch


def dispatch_waiting(intake: Intake) -> None:
    """Parts do not wait for their chunk to be full: a machine drops them one by one. Also what
    an earlier look added and was killed before it got here."""
    waiting = _open_batches(intake).filter(inspections__chunk=None, inspections__verdict="")
    for batch in waiting.distinct():
        batches.dispatch(batch, sealing=True)


def seal_quiet(intake: Intake) -> None:
    """Close the batches of lots that nothing came for, and of models that judge no more. The
    system does so: a lot must end even when who set the folder up has lost the role."""
    quiet = timezone.now() - timedelta(minutes=intake.quiet_minutes)
    for batch in _open_batches(intake):
        last = batch.inspections.order_by("-id").values_list("created_at", flat=True).first()
        stale = batch.model_version.state != ModelVersion.State.ACTIVE
        if stale or (last or batch.created_at) < quiet:
            batches.seal(None, batch)


def _open_batches(intake: Intake) -> QuerySet[Batch]:
    open_ = intake.batches.filter(sealed_at=None, cancel_requested_at=None)
    return open_.select_related("lot", "viewpoint__product", "model_version")


def _of_lot(lot: str) -> dict[str, object]:
    return {"lot__code": lot} if lot else {"lot": None}
