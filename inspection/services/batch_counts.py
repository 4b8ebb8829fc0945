"""How a batch stands: counts, state, time left."""

from datetime import timedelta
from typing import Any

from django.db.models import Count, Max, Min, Q

from inspection.models import Batch, Disposition, Inspection, ScoringChunk, Verdict

COUNTED_AFTER = 5  # results, before the time that is left is told from how fast they come


def batch_summary(batch: Batch) -> dict[str, Any]:
    """Counts, time left in seconds and state, in two queries.

    `passed`, `failed` and `review` exclude each other: an inspection that needs review counts
    there whatever side of the limit it lies on. `scored` is everything with a verdict.
    """
    auto, review = Q(disposition=Disposition.AUTO), Q(disposition=Disposition.NEEDS_REVIEW)
    counts: dict[str, Any] = Inspection.objects.filter(batch=batch).aggregate(
        total=Count("pk"),
        scored=Count("pk", filter=~Q(verdict="")),
        passed=Count("pk", filter=Q(verdict=Verdict.PASSED) & auto),
        failed=Count("pk", filter=Q(verdict=Verdict.FAILED) & auto),
        review=Count("pk", filter=Q(verdict__in=(Verdict.PASSED, Verdict.FAILED)) & review),
        errors=Count("pk", filter=Q(verdict=Verdict.ERROR)),
        skipped=Count("pk", filter=Q(verdict=Verdict.SKIPPED)),
        last=Max("completed_at"),
    )
    last = counts.pop("last")
    started = ScoringChunk.objects.filter(batch=batch).aggregate(first=Min("started_at"))["first"]
    counts["state"] = _state(batch, counts)
    counts["eta_s"] = _eta(counts, (last - started) if last and started else None)
    return counts


def _state(batch: Batch, counts: dict[str, Any]) -> str:
    """open (more may come) → scoring → done | cancelled."""
    unfinished = counts["scored"] < counts["total"]
    if batch.cancel_requested_at:
        return "cancelling" if unfinished else "cancelled"
    if batch.sealed_at is None:
        return "open"
    return "scoring" if unfinished else "done"


def _eta(counts: dict[str, Any], spent: timedelta | None) -> float | None:
    """Seconds until the rest is scored, from how fast results came so far; None before there
    are enough of them: the speed at calibration says little of a machine that does other work."""
    left = counts["total"] - counts["scored"]
    if left == 0:
        return 0.0
    if counts["scored"] < COUNTED_AFTER or not spent:
        return None
    return round(left * spent.total_seconds() / counts["scored"], 1)
