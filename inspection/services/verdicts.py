"""From scores to verdicts. What a score means is settled here and nowhere else."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Exists, QuerySet
from django.utils import timezone

from inspection.live.push import push
from inspection.models import (
    Disposition,
    ImageResult,
    Inspection,
    InspectionImage,
    OperatingPoint,
    Purpose,
    Verdict,
)

from . import outbox
from .reviews import draw_audit
from .tallies import Counted, moved

# A score may differ by this much between two devices; so close to the limit a person looks.
DEVICE_MARGIN = 1e-3

CELLS = 8  # a side of the grid that places on a part are counted by

_WORST_FIRST = (Verdict.ERROR, Verdict.FAILED, Verdict.PASSED)


@dataclass(frozen=True)
class Judgement:
    verdict: Verdict
    disposition: Disposition


def judge(score: float, point: OperatingPoint) -> Judgement:
    """The verdict on one score at one operating point.

    Failed when the score lies above `threshold_fail` (the same event as p ≤ alpha_fail).
    Between the two thresholds (alpha_fail < p ≤ alpha_review) the verdict is what the
    threshold says, Passed, and the disposition says that a person must look: `needs_review`.
    So is a score within 1e-3 of the fail threshold, on either side, since another device may
    have put it on the other. A score that is no number is an error, never a pass.
    """
    if not math.isfinite(score):
        return Judgement(Verdict.ERROR, Disposition.NEEDS_REVIEW)
    failed = score > point.threshold_fail
    close = abs(score - point.threshold_fail) <= DEVICE_MARGIN * abs(point.threshold_fail)
    doubtful = close or (not failed and score > point.threshold_review)
    return Judgement(
        Verdict.FAILED if failed else Verdict.PASSED,
        Disposition.NEEDS_REVIEW if doubtful else Disposition.AUTO,
    )


def complete(inspection: Inspection, results: Iterable[ImageResult]) -> bool:
    """Write the inspection's verdict, the worst of its images'; False when it has one already.

    Runs in the caller's transaction.
    """
    ranked = sorted(results, key=_severity)
    worst = ranked[0]
    scored = [result for result in ranked if result.score is not None]
    highest = max(scored, key=lambda result: result.score or 0.0, default=None)
    doubtful = any(result.disposition == Disposition.NEEDS_REVIEW for result in ranked)
    failed_for_sure = worst.verdict == Verdict.FAILED and worst.disposition == Disposition.AUTO
    needs_review = doubtful and not failed_for_sure
    now = timezone.now()
    written = Inspection.objects.filter(pk=inspection.pk, verdict="").update(
        verdict=worst.verdict,
        disposition=Disposition.NEEDS_REVIEW if needs_review else Disposition.AUTO,
        score=highest.score if highest else None,
        p_value=highest.p_value if highest else None,
        error=worst.error,
        cell=strongest_cell(ranked),
        completed_at=now,
        updated_at=now,
    )
    if not written:
        return False
    if inspection.batch_id is None:
        tell(inspection.pk)
    if worst.verdict in (Verdict.PASSED, Verdict.FAILED) and _make_record(inspection):
        draw_audit(inspection)
        moved(None, Counted.of(Inspection.objects.get(pk=inspection.pk)))
    if inspection.purpose == Purpose.PRODUCTION:
        outbox.inspections_completed([inspection.pk])
    return True


def tell(inspection_id: UUID) -> None:
    """Who waits for the verdict of a single unit is woken, after the commit."""
    push(f"inspection:{inspection_id}", "verdict", id=inspection_id)


def strongest_cell(results: Iterable[ImageResult]) -> int | None:
    """Where on the part the strongest region has its middle, on the grid of CELLS × CELLS, row
    by row from the top left; None where nothing differs."""
    regions = [region for result in results for region in result.regions]
    if not regions:
        return None
    region = max(regions, key=lambda one: float(one.get("peak") or 0.0))
    column, row = (
        min(CELLS - 1, max(0, int(CELLS * (region[at] + region[size] / 2))))
        for at, size in (("x", "width"), ("y", "height"))
    )
    return row * CELLS + column


def _severity(result: ImageResult) -> tuple[int, bool]:
    return _WORST_FIRST.index(Verdict(result.verdict)), result.disposition != Disposition.AUTO


def _make_record(inspection: Inspection) -> bool:
    """The first production inspection of a unit that came to a decision is the one that
    counts. Two at once: the database lets one through, the other stays a retest."""
    if inspection.purpose != Purpose.PRODUCTION:
        return False
    earlier = _counted_before(inspection)
    try:
        with transaction.atomic():
            first = Inspection.objects.filter(~Exists(earlier), pk=inspection.pk)
            return bool(first.update(is_record=True))
    except IntegrityError:
        return False


def _counted_before(inspection: Inspection) -> QuerySet[Inspection]:
    """Decisions of record on the same unit. A part that came without a serial number is known
    by its picture alone: the same picture again is the same part, another one another part."""
    records = Inspection.objects.filter(viewpoint_id=inspection.viewpoint_id, is_record=True)
    if inspection.unit_id is not None:
        return records.filter(unit_id=inspection.unit_id)
    pictures = InspectionImage.objects.filter(inspection=inspection).values("image_id")
    return records.filter(unit=None, pictures__image_id__in=pictures)
