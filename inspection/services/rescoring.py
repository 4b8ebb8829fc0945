"""A lot judged again by another version, for containment. What was said before stays as it is:
every re-score is an inspection of its own that names the one it repeats."""

from collections.abc import Sequence

from django.db import transaction
from django.db.models import QuerySet

from inspection import policies
from inspection.errors import UserError
from inspection.models import (
    Batch,
    Inspection,
    InspectionImage,
    Lot,
    ModelVersion,
    Purpose,
    User,
)

from . import batches
from .access import require
from .audit import record

MOST = 20_000  # parts at once
AT_A_TIME = 500


def parts_of(lot: Lot, version: ModelVersion) -> QuerySet[Inspection]:
    """What a re-score repeats: every production inspection of the lot seen from there."""
    return Inspection.objects.filter(
        lot=lot, viewpoint_id=version.viewpoint_id, purpose=Purpose.PRODUCTION
    ).exclude(verdict="")


def rescore_lot(user: User | None, lot: Lot, version: ModelVersion, *, reason: str) -> Batch:
    """Queue all parts of `lot` for `version`, whatever its state; returns the batch.

    Verdicts, reviews and figures of the lot do not change.
    """
    product = version.viewpoint.product
    require(user, policies.MANAGE, product)
    if not reason.strip():
        raise UserError("reason_missing", "Say why this lot is judged again.", field="reason")
    if lot.product_id != product.pk:
        raise UserError(
            "other_product", "Lot {lot} belongs to another product.", lot=lot, field="lot"
        )
    _check_count(lot, parts_of(lot, version).count())
    with transaction.atomic():
        batch = batches.open_batch(
            user,
            version.viewpoint,
            name=f"Lot {lot} again, model {version.number}",
            purpose=Purpose.RESCORE,
            lot_code=lot.code,
            work_order=lot.work_order,
            model_version=version,
        )
        parts = list(parts_of(lot, version).order_by("id").prefetch_related("pictures"))
        for begin in range(0, len(parts), AT_A_TIME):
            _ask_again(batch, parts[begin : begin + AT_A_TIME])
        after = {"lot": str(lot), "parts": len(parts), "model": str(version)}
        record(user, "lot.rescored", batch, product=product, after=after, reason=reason)
        batches.seal(user, batch)
    return batch


def _check_count(lot: Lot, count: int) -> None:
    if not count:
        raise UserError(
            "nothing_judged",
            "No part of lot {lot} was judged from this viewpoint.",
            lot=lot,
            field="lot",
        )
    if count > MOST:
        raise UserError(
            "too_many",
            "Lot {lot} has {count} parts; at most {most} go at once.",
            lot=lot,
            count=count,
            most=MOST,
            field="lot",
        )


def _ask_again(batch: Batch, origins: Sequence[Inspection]) -> None:
    asked = [
        Inspection(
            viewpoint_id=batch.viewpoint_id,
            batch=batch,
            purpose=batch.purpose,
            origin=origin,
            unit_id=origin.unit_id,
            lot_id=origin.lot_id,
            station_id=origin.station_id,
            work_order=origin.work_order,
            captured_at=origin.captured_at,
            model_version_id=batch.model_version_id,
            operating_point_id=batch.operating_point_id,
        )
        for origin in origins
    ]
    Inspection.objects.bulk_create(asked)
    InspectionImage.objects.bulk_create(
        InspectionImage(
            inspection=inspection,
            image_id=picture.image_id,
            index=picture.index,
            file_name=picture.file_name,
        )
        for inspection, origin in zip(asked, origins, strict=True)
        for picture in origin.pictures.all()
    )
