"""What a worker does with a chunk: score picture by picture, write each result at once."""

import logging
import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import DatabaseError, transaction
from django.utils import timezone

from inspection import ml_adapter
from inspection.ids import new_id
from inspection.jobs import shutdown
from inspection.jobs.claim import Claim, LeaseLost, claim
from inspection.jobs.lease import Lease
from inspection.jobs.publish import enqueue
from inspection.live.push import push
from inspection.models import (
    Batch,
    Disposition,
    ImageResult,
    Inspection,
    InspectionImage,
    JobState,
    ScoringChunk,
    Verdict,
)

from . import announce, batch_end, fast_lane, gate
from .batches import announce_batch, batch_summary, skip_unfinished
from .fast_lane import NO_WAY, GiveWay
from .images import local_path
from .result_files import remove_pictures, save_pictures, strongest_place
from .verdicts import complete, judge

if TYPE_CHECKING:
    from PIL import Image as PillowImage

    from inspection.ml_adapter import Region, ScoredPicture

log = logging.getLogger(__name__)

GROUP_SECONDS = 0.5  # results are written about this often
MAX_GROUP = 16
PUSH_EVERY_S = 1.0
NOT_SCORED = "This picture could not be scored: {cause} Submit it again when that is mended."


def score_chunk(chunk_id: UUID | str) -> None:
    """Score what has no verdict in a queued chunk. A message that comes twice does nothing."""
    held = claim(ScoringChunk, chunk_id)
    if held is None:
        return
    try:
        with Lease(held) as lease:
            _score(held, lease)
    except LeaseLost:
        log.warning("chunk %s is no longer ours: nothing more is written", chunk_id)
    except DatabaseError:
        raise  # the row cannot be written either; the reaper takes over
    except Exception as error:
        log.exception("chunk %s failed", chunk_id)
        _failed(held, error)


def _score(held: Claim[ScoringChunk], lease: Lease) -> None:
    batch = Batch.objects.select_related("viewpoint").filter(chunks=held.id).first()
    told, groups = _Told(batch), _Groups(held)
    way = GiveWay(score_chunk) if batch else NO_WAY  # single units do not give way
    while group := groups.next():
        if lease.lost.is_set():
            raise LeaseLost(str(held.id))
        if held.cancel_requested():
            break
        if shutdown.requested():
            told.flush()
            _give_back(held)
            return
        _score_group(held, group, way)
        told.about(group)
    told.flush()
    _finish(held, batch)


class _Groups:
    """The chunk's unfinished inspections, a few at a time: as many as half a second takes,
    by how long the ones before took."""

    def __init__(self, held: Claim[ScoringChunk]) -> None:
        self._waiting = list(
            Inspection.objects.filter(chunk=held.id, verdict="")
            .select_related("model_version", "operating_point")
            .prefetch_related("pictures__image")
            .order_by("id")
        )
        self._size = 1
        self._began: float | None = None

    def next(self) -> list[Inspection]:
        """The next few; empty when there are none."""
        now = time.monotonic()
        if self._began is not None:
            share = GROUP_SECONDS / max(now - self._began, 1e-3)
            self._size = max(1, min(2 * self._size, int(self._size * share), MAX_GROUP))
        self._began = now
        group, self._waiting = self._waiting[: self._size], self._waiting[self._size :]
        return group


def _score_group(held: Claim[ScoringChunk], group: Sequence[Inspection], way: GiveWay) -> None:
    asked = [(inspection, item) for inspection in group for item in inspection.pictures.all()]
    opened = []
    for inspection, item in asked:
        opened.append((inspection, item, _open(item)))
        way()
    readable = [picture for _, _, picture in opened if not isinstance(picture, str)]
    folder = group[0].model_version.folder  # a chunk is judged by one model
    started = time.perf_counter() - way.spent
    scored = iter(ml_adapter.score(folder, readable, way.between) if readable else ())
    seconds = time.perf_counter() - way.spent - started
    infer_ms = round(1000 * seconds / max(1, len(readable)))
    outcomes: dict[UUID, list[tuple[InspectionImage, str | ScoredPicture]]] = {}
    for inspection, item, picture in opened:
        outcome = picture if isinstance(picture, str) else next(scored)
        outcomes.setdefault(inspection.pk, []).append((item, outcome))
    for inspection in group:
        _write(held, inspection, outcomes[inspection.pk], infer_ms)
        way()


def _open(item: InspectionImage) -> "PillowImage.Image | str":
    """The picture, or a sentence that says why it cannot be read."""
    try:
        return ml_adapter.open_picture(local_path(item.image))
    except ml_adapter.PictureError as error:
        return f"{item.file_name}: {error}"
    except OSError:
        log.exception("picture %s cannot be read from the storage", item.image_id)
        return f"{item.file_name}: the stored file is missing or cannot be read. Upload it again."


def _write(
    held: Claim[ScoringChunk],
    inspection: Inspection,
    outcomes: "list[tuple[InspectionImage, str | ScoredPicture]]",
    infer_ms: int,
) -> None:
    """One inspection's results and verdict, in one transaction that is fenced by the token."""
    results = [_result(inspection, item, outcome) for item, outcome in outcomes]
    files: list[dict[str, str]] = []
    try:
        for result, (_, outcome) in zip(results, outcomes, strict=True):
            files.append(_save_files(result, outcome))
            result.infer_ms, result.queue_ms = infer_ms, _waited_ms(held, inspection)
        with transaction.atomic():
            held.fence()
            for result, keys in zip(results, files, strict=True):
                for name, key in keys.items():
                    setattr(result, name, key)
                result.save(force_insert=True)
            complete(inspection, results)
    except BaseException:
        for keys in files:
            remove_pictures(keys)
        raise


def _waited_ms(held: Claim[ScoringChunk], inspection: Inspection) -> int:
    """How long the inspection waited until a worker first took its chunk."""
    began = held.job.started_at or timezone.now()
    return max(0, round((began - inspection.created_at).total_seconds() * 1000))


def _result(
    inspection: Inspection, item: InspectionImage, outcome: "str | ScoredPicture"
) -> ImageResult:
    result = ImageResult(
        id=new_id(),
        inspection=inspection,
        picture=item,
        model_version=inspection.model_version,
        operating_point=inspection.operating_point,
    )
    if isinstance(outcome, str):
        return _as_error(result, outcome)
    judgement = judge(outcome.score, inspection.operating_point)
    if judgement.verdict == Verdict.ERROR:
        return _as_error(result, NOT_SCORED.format(cause="the model gave no number for it."))
    result.verdict, result.disposition = judgement.verdict, judgement.disposition
    result.score, result.p_value = outcome.score, outcome.p_value
    result.scores = _finite(outcome.scores)
    result.paper_score = _finite({"eq7": outcome.paper_score}).get("eq7")
    result.regions = [_region(region) for region in outcome.regions]
    passed = judgement.verdict == Verdict.PASSED and judgement.disposition == Disposition.AUTO
    if not result.regions and not passed:
        result.regions = [strongest_place(outcome.map)]
    return result


def _finite(scores: "Mapping[str, float | None]") -> dict[str, float]:
    """What a method without restoration or without memory cannot say is left out."""
    known = {name: value for name, value in scores.items() if value is not None}
    return {name: float(value) for name, value in known.items() if math.isfinite(value)}


def _as_error(result: ImageResult, sentence: str) -> ImageResult:
    result.verdict, result.disposition = Verdict.ERROR, Disposition.NEEDS_REVIEW
    result.error = sentence[:300]
    return result


def _region(region: "Region") -> dict[str, Any]:
    """What a page shows of it; outlines to a ten-thousandth of the picture."""
    names = ("x", "y", "width", "height", "area", "peak")
    return {
        **{name: float(getattr(region, name)) for name in names},
        "polygon": [[round(x, 4), round(y, 4)] for x, y in region.polygon],
        "p_value": None if region.p_value is None else float(region.p_value),
    }


def _save_files(result: ImageResult, outcome: "str | ScoredPicture") -> dict[str, str]:
    if isinstance(outcome, str) or result.verdict == Verdict.ERROR:
        return {}
    return save_pictures(result.pk, outcome, result.model_version)


# --- how it ended ----------------------------------------------------------------------


def _finish(held: Claim[ScoringChunk], batch: Batch | None) -> None:
    with transaction.atomic():
        held.fence()
        cancelled = held.cancel_requested()
        if cancelled:
            skip_unfinished(Inspection.objects.filter(chunk=held.id))
        held.finish(JobState.CANCELLED if cancelled else JobState.DONE)
    if batch is None:
        fast_lane.note_times(held.id)
        return
    batch_end.settle(batch.pk)
    batch.refresh_from_db(fields=["sealed_at", "cancel_requested_at"])
    announce_batch(batch)
    try:
        gate.settle(batch)
    except Exception:  # the chunk is done all the same; the scheduler settles it later
        log.exception("the gate that waits for batch %s was not settled", batch.pk)


def _give_back(held: Claim[ScoringChunk]) -> None:
    with transaction.atomic():
        if held.requeue(count_attempt=False):
            enqueue(held.job)


def _failed(held: Claim[ScoringChunk], error: Exception) -> None:
    """An error that met the whole chunk: again while attempts remain (the reaper publishes
    it, so that it is not tried in a tight loop), else its pictures have no verdict but Error."""
    if held.may_retry():
        held.requeue(count_attempt=True)
        return
    with transaction.atomic():
        if held.finish(JobState.FAILED, error_code="scoring_failed", error=_cause(error)):
            settle_chunk(ScoringChunk.objects.select_related("batch").get(pk=held.id))


def settle_chunk(chunk: ScoringChunk) -> None:
    """What the end of a chunk means for its inspections; runs in the caller's transaction."""
    if chunk.state == JobState.CANCELLED:
        skip_unfinished(Inspection.objects.filter(chunk=chunk))
    elif chunk.state == JobState.FAILED:
        for inspection in Inspection.objects.filter(chunk=chunk, verdict=""):
            _write_error(inspection, NOT_SCORED.format(cause=chunk.error))
    else:
        return
    if chunk.batch:
        batch_end.settle_later(chunk.batch.pk)
        announce_batch(chunk.batch)


def _write_error(inspection: Inspection, sentence: str) -> None:
    results = [
        _as_error(
            ImageResult(
                inspection=inspection,
                picture=item,
                model_version_id=inspection.model_version_id,
                operating_point_id=inspection.operating_point_id,
            ),
            sentence,
        )
        for item in inspection.pictures.all()
    ]
    for result in results:
        result.save(force_insert=True)
    complete(inspection, results)


def _cause(error: Exception) -> str:
    return f"scoring stopped on an error ({type(error).__name__}: {error})."[:250]


class _Told:
    """Pushes results as they exist, at most about once a second."""

    def __init__(self, batch: Batch | None) -> None:
        self.batch = batch
        self._waiting: list[str] = []
        self._next = 0.0

    def about(self, group: Sequence[Inspection]) -> None:
        self._waiting += [str(inspection.pk) for inspection in group]
        now = time.monotonic()
        if now >= self._next:
            self._next = now + PUSH_EVERY_S
            self.flush()

    def flush(self) -> None:
        if self.batch is None or not self._waiting:
            return  # of a single unit its verdict tells (services.verdicts)
        summary = batch_summary(self.batch)
        push(f"batch:{self.batch.pk}", "result", inspection_ids=self._waiting, summary=summary)
        push("jobs", "jobs", **announce.batch_line(self.batch, summary))
        self._waiting = []
