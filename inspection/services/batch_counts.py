"""How a batch stands: counts, state, time left."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Count, Max, Min, Q

from inspection.models import Batch, Disposition, Inspection, ScoringChunk, Verdict

COUNTED_AFTER = 5  # results, before the time that is left is told from how fast they come
AUTO, REVIEW = Q(disposition=Disposition.AUTO), Q(disposition=Disposition.NEEDS_REVIEW)
COUNTS = {
    "total": Count("pk"),
    "scored": Count("pk", filter=~Q(verdict="")),
    "passed": Count("pk", filter=Q(verdict=Verdict.PASSED) & AUTO),
    "failed": Count("pk", filter=Q(verdict=Verdict.FAILED) & AUTO),
    "review": Count("pk", filter=Q(verdict__in=(Verdict.PASSED, Verdict.FAILED)) & REVIEW),
    "errors": Count("pk", filter=Q(verdict=Verdict.ERROR)),
    "skipped": Count("pk", filter=Q(verdict=Verdict.SKIPPED)),
}


def batch_summary(batch: Batch) -> dict[str, Any]:
    """Counts, time left in seconds and state, in two queries.

    `passed`, `failed` and `review` exclude each other: an inspection that needs review counts
    there whatever side of the limit it lies on. `scored` is everything with a verdict.
    """
    return batch_summaries([batch])[batch.pk]


def batch_summaries(batches: Iterable[Batch]) -> dict[UUID, dict[str, Any]]:
    """The summary of each by its id, in two queries for all of them."""
    wanted = {batch.pk: batch for batch in batches}
    rows: Any = Inspection.objects.filter(batch__in=wanted).order_by().values("batch")
    counted = {row.pop("batch"): row for row in rows.annotate(**COUNTS, last=Max("completed_at"))}
    chunks = ScoringChunk.objects.filter(batch__in=wanted).order_by().values_list("batch")
    started = dict(chunks.annotate(first=Min("started_at")))
    none = dict.fromkeys(COUNTS, 0) | {"last": None}
    return {
        key: _summary(batch, counted.get(key, none), started.get(key))
        for key, batch in wanted.items()
    }


def _summary(batch: Batch, counted: dict[str, Any], started: datetime | None) -> dict[str, Any]:
    counts = dict(counted)
    last = counts.pop("last")
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
