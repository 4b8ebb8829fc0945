"""A batch as other systems see it."""

from typing import Any

from inspection.models import Batch

from .batch_counts import batch_summary


def batch_facts(batch: Batch, counts: dict[str, Any] | None = None) -> dict[str, Any]:
    """The batch by its public names, with its counts (see `batch_summary`), which are asked for
    unless they are given."""
    viewpoint, version = batch.viewpoint, batch.model_version
    return {
        "id": str(batch.pk),
        "name": batch.name,
        "purpose": batch.purpose,
        "recipe": {"name": viewpoint.recipe_name, "revision": version.revision},
        "lot_id": batch.lot.code if batch.lot else "",
        "work_order": batch.lot.work_order if batch.lot else "",
        "station_id": batch.station.code if batch.station else None,
        "counts": batch_summary(batch) if counts is None else counts,
        "created_at": batch.created_at.isoformat(),
        "sealed_at": batch.sealed_at.isoformat() if batch.sealed_at else None,
        "completed_at": batch.completed_at.isoformat() if batch.completed_at else None,
    }
