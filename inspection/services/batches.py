"""Batches: pictures submitted together, cut into chunks that many workers share."""

from typing import Any

from django.db import transaction
from django.db.models import Max, Q
from django.utils import timezone

from inspection import policies
from inspection.errors import UserError, WrongState
from inspection.jobs.cancel import request_cancel
from inspection.jobs.publish import enqueue
from inspection.live.push import push
from inspection.models import (
    Batch,
    Disposition,
    Image,
    Inspection,
    InspectionImage,
    JobState,
    ModelVersion,
    Purpose,
    ScoringChunk,
    Station,
    User,
    Verdict,
    Viewpoint,
)

from . import announce, batch_end, outbox
from .access import require
from .audit import record
from .batch_counts import batch_summaries as batch_summaries
from .batch_counts import batch_summary as batch_summary
from .disk import check_free_space
from .locking import lock_row
from .units import lot_of, unit_of

CHUNK_SECONDS = 2.0  # a single unit in the fast queue waits at most this long for its turn
MAX_CHUNK = 64


def open_batch(
    user: User | None,
    viewpoint: Viewpoint,
    *,
    name: str,
    purpose: str,
    lot_code: str = "",
    work_order: str = "",
    station: Station | None = None,
    model_version: ModelVersion | None = None,
) -> Batch:
    """Open a batch; its model and operating point are pinned now and never change."""
    product = viewpoint.product
    require(user, policies.REVIEW, product)
    if purpose != Purpose.RESCORE:  # what is there may be judged again, to answer a question
        policies.check_in_use(product)
    check_free_space()
    if not name.strip():
        raise UserError("name_missing", "Give the batch a name.", field="name")
    if purpose not in Purpose.values:
        raise UserError(
            "unknown_purpose", "There is no purpose “{purpose}”.", purpose=purpose, field="purpose"
        )
    with transaction.atomic():
        lock_row(viewpoint)  # numbers batches one after the other; no model is promoted meanwhile
        version = _fresh(model_version) if model_version else _active_model(viewpoint)
        _check_model(version, viewpoint, purpose)
        last = viewpoint.batches.aggregate(last=Max("number"))["last"] or 0
        batch = Batch.objects.create(
            viewpoint=viewpoint,
            number=last + 1,
            name=name.strip()[:120],
            purpose=purpose,
            lot=lot_of(product, lot_code.strip() or work_order.strip(), work_order.strip()),
            station=station,
            model_version=version,
            operating_point=version.operating_points.get(in_force=True),
            created_by=user,
        )
        record(
            user,
            "batch.opened",
            batch,
            product=product,
            after={"purpose": purpose, "model": str(version)},
        )
    return batch


def _active_model(viewpoint: Viewpoint) -> ModelVersion:
    active = viewpoint.model_versions.filter(state=ModelVersion.State.ACTIVE).first()
    if active is None:
        raise UserError(
            "no_model",
            "{viewpoint} has no model yet that could judge pictures. Train one first.",
            viewpoint=viewpoint,
            field="model_version",
        )
    return active


def _fresh(version: ModelVersion) -> ModelVersion:
    """The row as it is now: it may have been retired since somebody chose it."""
    version.refresh_from_db(fields=["state"])
    return version


def _check_model(version: ModelVersion, viewpoint: Viewpoint, purpose: str) -> None:
    if version.viewpoint_id != viewpoint.pk:
        raise UserError(
            "other_model", "This model was trained for another product.", field="model_version"
        )
    if purpose == Purpose.PRODUCTION and version.state != ModelVersion.State.ACTIVE:
        raise UserError(
            "not_promoted",
            "{version} does not judge production parts. Promote it first, or open a trial.",
            version=version,
            field="model_version",
        )


def add_image(
    batch: Batch,
    image: Image,
    file_name: str,
    *,
    reference_label: str = "",
    serial_number: str = "",
    panel_id: str = "",
    position_number: int = 0,
) -> Inspection:
    """Ask about one picture. It waits until `dispatch` cuts it into a chunk."""
    with transaction.atomic():
        lock_row(batch)  # so that nothing slips in behind the last chunk of a sealed batch
        batch.refresh_from_db(fields=["sealed_at", "cancel_requested_at"])
        policies.check_open(batch)
        inspection = Inspection.objects.create(
            viewpoint_id=batch.viewpoint_id,
            batch=batch,
            purpose=batch.purpose,
            unit=unit_of(
                batch.viewpoint.product,
                serial_number=serial_number.strip(),
                panel_id=panel_id.strip(),
                position_number=position_number,
                lot=batch.lot,
            ),
            lot=batch.lot,
            station_id=batch.station_id,
            work_order=batch.lot.work_order if batch.lot else "",
            model_version_id=batch.model_version_id,
            operating_point_id=batch.operating_point_id,
            reference_label=reference_label[:60],
        )
        InspectionImage.objects.create(
            inspection=inspection, image=image, file_name=file_name[:255]
        )
    return inspection


# --- chunks ----------------------------------------------------------------------------


def chunk_size(version: ModelVersion) -> int:
    """How many pictures a worker scores in about two seconds with this model."""
    return max(1, min(MAX_CHUNK, int((version.images_per_second or 1.0) * CHUNK_SECONDS)))


def dispatch(batch: Batch, sealing: bool = False) -> int:
    """Cut waiting inspections into chunks and queue them: full ones, or all when sealing.

    Returns how many chunks were queued.
    """
    size = chunk_size(batch.model_version)
    with transaction.atomic():
        lock_row(batch)
        waiting = Inspection.objects.filter(batch=batch, chunk=None, verdict="").order_by("id")
        ids = list(waiting.values_list("pk", flat=True))
        whole = len(ids) if sealing else len(ids) - len(ids) % size
        parts = [ids[start : start + size] for start in range(0, whole, size)]
        number = ScoringChunk.objects.filter(batch=batch).aggregate(n=Max("number"))["n"] or 0
        for offset, part in enumerate(parts, start=1):
            chunk = ScoringChunk.objects.create(batch=batch, number=number + offset)
            Inspection.objects.filter(pk__in=part).update(chunk=chunk)
            enqueue(chunk)
    return len(parts)


def seal(user: User | None, batch: Batch) -> None:
    """Nothing more is coming: what is left becomes the last chunk."""
    require(user, policies.REVIEW, batch.viewpoint.product)
    with transaction.atomic():
        lock_row(batch)
        sealed = Batch.objects.filter(pk=batch.pk, sealed_at=None, cancel_requested_at=None)
        if not sealed.update(sealed_at=timezone.now()):
            return  # done already
        batch.refresh_from_db()
        dispatch(batch, sealing=True)
        batch_end.settle(batch.pk)
        announce_batch(batch)


def cancel_batch(user: User | None, batch: Batch) -> None:
    """Stop scoring. What has a verdict keeps it; the rest is skipped."""
    product = batch.viewpoint.product
    require(user, policies.REVIEW, product)
    with transaction.atomic():
        lock_row(batch)
        now = timezone.now()
        if not Batch.objects.filter(pk=batch.pk, cancel_requested_at=None).update(
            cancel_requested_at=now
        ):
            raise WrongState(
                "already_cancelled", "Batch {batch} was cancelled already.", batch=batch.name
            )
        unfinished = Inspection.objects.filter(batch=batch, verdict="").exists()
        if not unfinished and Batch.objects.filter(pk=batch.pk, sealed_at__isnull=False).exists():
            raise WrongState(
                "already_done", "Every part of {batch} has a verdict already.", batch=batch.name
            )
        Batch.objects.filter(pk=batch.pk, sealed_at=None).update(sealed_at=now)
        for chunk in ScoringChunk.objects.filter(
            batch=batch, state__in=(JobState.QUEUED, JobState.RUNNING)
        ):
            request_cancel(chunk)
        running = Q(chunk__state=JobState.RUNNING)  # its worker skips the rest of it
        skip_unfinished(Inspection.objects.filter(batch=batch).exclude(running))
        batch_end.settle(batch.pk)
        batch.refresh_from_db()
        record(user, "batch.cancelled", batch, product=product)
        announce_batch(batch)


def skip_unfinished(inspections: Any) -> int:
    """Give `Skipped` to those of `inspections` that have no verdict, in the caller's
    transaction."""
    ids, now = list(inspections.filter(verdict="").values_list("pk", flat=True)), timezone.now()
    skipped = Inspection.objects.filter(pk__in=ids, verdict="").update(
        verdict=Verdict.SKIPPED,
        disposition=Disposition.AUTO,
        completed_at=now,
        updated_at=now,
    )
    if skipped:
        ours = Inspection.objects.filter(pk__in=ids, verdict=Verdict.SKIPPED, completed_at=now)
        outbox.inspections_completed(ours.values_list("pk", flat=True))
    return skipped


# --- what a batch looks like -----------------------------------------------------------


def announce_batch(batch: Batch) -> None:
    """Tell the batch's page and the list of jobs how the batch stands."""
    summary = batch_summary(batch)
    push(f"batch:{batch.pk}", "state", **summary)
    push("jobs", "jobs", **announce.batch_line(batch, summary))
