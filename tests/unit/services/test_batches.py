"""Batches: pinned model, chunks, closing, cancelling, and what the page is told."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from inspection.errors import UserError, WrongState
from inspection.models import (
    Batch,
    Disposition,
    Inspection,
    JobState,
    ModelVersion,
    Purpose,
    ScoringChunk,
    Verdict,
)
from inspection.services import batches
from tests.factories.jobs import (
    make_batch,
    make_chunk,
    make_image,
    make_inspection,
    make_version,
    make_viewpoint,
)

pytestmark = pytest.mark.django_db


def add(batch: Batch, how_many: int) -> None:
    for n in range(how_many):
        batches.add_image(batch, make_image(), f"{n}.png")


def sizes(batch: Batch) -> list[int]:
    return [c.inspections.count() for c in ScoringChunk.objects.filter(batch=batch)]


def test_without_a_model_there_is_no_batch() -> None:
    with pytest.raises(UserError, match="Train one first"):
        batches.open_batch(None, make_viewpoint(), name="Monday", purpose="production")


def test_a_candidate_judges_trials_but_no_production_parts() -> None:
    version = make_version(state=ModelVersion.State.CANDIDATE)
    ask: dict[str, Any] = {"name": "Monday", "model_version": version}
    with pytest.raises(UserError, match="Promote it first"):
        batches.open_batch(None, version.viewpoint, purpose="production", **ask)
    batch = batches.open_batch(None, version.viewpoint, purpose="trial", **ask)
    assert batch.operating_point == version.operating_points.get()


def test_what_the_mes_calls_the_parts_reaches_the_inspections() -> None:
    version = make_version()
    batch = batches.open_batch(
        None,
        version.viewpoint,
        name="Monday",
        purpose=Purpose.PRODUCTION,
        lot_code="L-7",
        work_order="WO-1",
    )
    inspection = batches.add_image(
        batch, make_image(), "a.png", serial_number="S1", reference_label="bridge"
    )
    assert inspection.unit is not None
    assert (inspection.unit.serial_number, inspection.work_order) == ("S1", "WO-1")
    assert inspection.lot is not None
    assert (inspection.lot.code, inspection.reference_label) == ("L-7", "bridge")


def test_a_lot_keeps_its_work_order() -> None:
    viewpoint = make_version().viewpoint
    ask: dict[str, Any] = {"name": "Monday", "purpose": Purpose.PRODUCTION, "lot_code": "L-7"}
    batches.open_batch(None, viewpoint, **ask)
    named = batches.open_batch(None, viewpoint, work_order="WO-1", **ask)
    assert named.lot is not None
    assert named.lot.work_order == "WO-1"
    with pytest.raises(UserError, match="belongs to work order WO-1"):
        batches.open_batch(None, viewpoint, work_order="WO-2", **ask)


@pytest.mark.parametrize(("rate", "size"), [(None, 2), (0.2, 1), (2.0, 4), (10.4, 20), (500.0, 64)])
def test_a_chunk_takes_about_two_seconds(rate: float | None, size: int) -> None:
    assert batches.chunk_size(ModelVersion(images_per_second=rate)) == size


def test_full_chunks_are_queued_as_pictures_come_and_the_rest_when_sealed() -> None:
    batch = make_batch()  # four pictures a chunk
    add(batch, 5)
    assert batches.dispatch(batch) == 1
    add(batch, 1)
    assert batches.dispatch(batch) == 0
    batches.seal(None, batch)
    batches.seal(None, batch)
    assert sizes(batch) == [4, 2]
    with pytest.raises(WrongState, match="open a new batch"):
        add(batch, 1)


def test_a_cancelled_batch_skips_what_has_no_verdict() -> None:
    batch = make_batch()
    done = make_inspection(batch, verdict=Verdict.FAILED, completed_at=timezone.now())
    queued, running = make_chunk(batch), make_chunk(batch, state=JobState.RUNNING)
    waiting = make_inspection(batch, chunk=queued)
    at_work = make_inspection(batch, chunk=running)
    batches.cancel_batch(None, batch)
    verdicts = dict(Inspection.objects.values_list("pk", "verdict"))
    assert verdicts[done.pk] == Verdict.FAILED
    assert verdicts[waiting.pk] == Verdict.SKIPPED
    assert verdicts[at_work.pk] == "", "its worker settles it"
    queued.refresh_from_db()
    running.refresh_from_db()
    assert queued.state == JobState.CANCELLED
    assert running.cancel_requested_at is not None
    with pytest.raises(WrongState):
        batches.cancel_batch(None, batch)


def test_a_batch_that_is_done_is_not_called_cancelled() -> None:
    batch = make_batch()
    batches.seal(None, batch)
    with pytest.raises(WrongState, match="has a verdict already"):
        batches.cancel_batch(None, batch)
    batch.refresh_from_db()
    assert batch.cancel_requested_at is None


def test_the_summary_counts_each_part_once(django_assert_max_num_queries: Any) -> None:
    batch = make_batch(sealed_at=timezone.now())
    now = timezone.now()
    auto, review = Disposition.AUTO, Disposition.NEEDS_REVIEW
    for verdict, disposition in [
        (Verdict.PASSED, auto),
        (Verdict.PASSED, auto),
        (Verdict.PASSED, review),
        (Verdict.FAILED, auto),
        (Verdict.FAILED, review),
        (Verdict.ERROR, review),
        (Verdict.SKIPPED, auto),
    ]:
        make_inspection(batch, verdict=verdict, disposition=disposition, completed_at=now)
    make_inspection(batch)
    make_inspection(batch)
    with django_assert_max_num_queries(3):
        summary = batches.batch_summary(batch)
    assert summary == {
        "total": 9,
        "scored": 7,
        "passed": 2,
        "failed": 1,
        "review": 2,
        "errors": 1,
        "skipped": 1,
        "eta_s": None,  # nothing says when the first of them was begun
        "state": "scoring",
    }


@pytest.mark.parametrize(("scored", "left"), [(4, None), (5, 4.0)])
def test_the_time_left_is_measured_or_not_told(scored: int, left: float | None) -> None:
    batch = make_batch(sealed_at=timezone.now())
    began = timezone.now() - timedelta(seconds=scored * 2)
    make_chunk(batch, started_at=began)
    for _ in range(scored):
        done = began + timedelta(seconds=scored * 2)
        make_inspection(batch, verdict=Verdict.PASSED, disposition="auto", completed_at=done)
    make_inspection(batch)
    make_inspection(batch)
    assert batches.batch_summary(batch)["eta_s"] == left
