"""An inspection as other systems see it: REST answers, events and MQTT say the same."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from inspection.models import ImageResult, Inspection, Submission

# What `verdict_facts` reads besides the row itself: for select_related.
FACTS_OF = (
    "viewpoint__product",
    "unit",
    "lot",
    "station",
    "model_version",
    "operating_point",
    "review_reason",
    "submission",
)
MOST_DEFECTS = 50  # an event stays under 20 kB; the picture's page shows all


def sequence_key(inspection: Inspection) -> str:
    """What is told of one unit reaches a receiver in order."""
    if inspection.unit_id:
        return f"unit:{inspection.unit_id}"
    return f"inspection:{inspection.pk}"


def status(inspection: Inspection) -> str:
    """queued | completed; a verdict ends it, whichever it is."""
    return "completed" if inspection.verdict else "queued"


def verdict_facts(
    inspection: Inspection, results: list[ImageResult] | None = None
) -> dict[str, Any]:
    """The verdict by its public names. Without a verdict `result` is None, never Passed.

    `results`: of its pictures in their order, where a list has read them already."""
    if results is None:
        results = results_of([inspection]).get(inspection.pk, [])
    unit, submission = inspection.unit, _submission(inspection)
    point, version = inspection.operating_point, inspection.model_version
    return {
        "id": str(inspection.pk),
        "status": status(inspection),
        "result": inspection.verdict or None,
        "disposition": inspection.disposition or None,
        "score": inspection.score,
        "threshold": point.threshold_fail,
        "review_threshold": point.threshold_review,
        "p_value": inspection.p_value,
        "model_revision": version.revision,
        "error": inspection.error,
        "defects": _defects(results),
        "timing_ms": timing_ms(inspection, results),
        "external_id": submission.external_id if submission else None,
        "station_id": inspection.station.code if inspection.station else None,
        "recipe": {"name": inspection.viewpoint.recipe_name, "revision": version.revision},
        "work_order": inspection.work_order,
        "lot_id": inspection.lot.code if inspection.lot else "",
        "panel_id": unit.panel_id if unit else "",
        "serial_number": unit.serial_number if unit else "",
        "position_number": unit.position_number if unit else 0,
        "side": submission.panel_side if submission else inspection.viewpoint.side,
        "part_number": inspection.viewpoint.product.code,
        "verification": inspection.review_state,
        "reason_code": inspection.review_reason.code if inspection.review_reason else None,
        "purpose": inspection.purpose,
        "decision_of_record": inspection.is_record,
        "batch": str(inspection.batch_id) if inspection.batch_id else None,
        "captured_at": _time(inspection.captured_at),
        "created_at": _time(inspection.created_at),
        "completed_at": _time(inspection.completed_at),
        "reviewed_at": _time(inspection.reviewed_at),
        "updated_at": _time(inspection.updated_at),
    }


def results_of(inspections: Iterable[Inspection]) -> dict[UUID, list[ImageResult]]:
    """The results of many inspections, each in the order of its pictures, in one query."""
    rows = ImageResult.objects.filter(inspection__in=[one.pk for one in inspections])
    found: dict[UUID, list[ImageResult]] = {}
    for row in rows.order_by("picture__index"):
        found.setdefault(row.inspection_id, []).append(row)
    return found


def timing_ms(inspection: Inspection, results: list[ImageResult]) -> dict[str, int | None]:
    """Milliseconds until a worker took it, of all its inferences, and from arrival to verdict."""
    waits = [one.queue_ms for one in results if one.queue_ms is not None]
    work = [one.infer_ms for one in results if one.infer_ms is not None]
    total = None
    if inspection.completed_at:
        total = round((inspection.completed_at - inspection.created_at).total_seconds() * 1000)
    return {
        "queue": max(waits, default=None),
        "infer": sum(work) if work else None,
        "total": total,
    }


def _defects(results: list[ImageResult]) -> list[dict[str, Any]]:
    """Where pictures differ from good parts, the strongest first; fractions of the picture."""
    found = [
        {
            "image": number,
            "x": region["x"],
            "y": region["y"],
            "width": region["width"],
            "height": region["height"],
            "area": region.get("area"),
            "peak": region.get("peak"),
            "p_value": region.get("p_value"),
        }
        for number, result in enumerate(results)
        for region in result.regions
    ]
    found.sort(key=lambda one: -(one["peak"] or 0.0))
    return found[:MOST_DEFECTS]


def _submission(inspection: Inspection) -> Submission | None:
    return getattr(inspection, "submission", None)


def _time(moment: Any) -> str | None:
    return moment.isoformat() if moment else None
