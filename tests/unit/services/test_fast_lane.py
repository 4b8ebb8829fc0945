"""A single unit is scored before, and in the midst of, the chunk of a batch."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from django.db import transaction

from inspection import ml_adapter
from inspection.jobs import shutdown
from inspection.jobs.reaper import publish_forgotten, reap_expired
from inspection.models import (
    Batch,
    ImageResult,
    Inspection,
    JobState,
    Lane,
    ModelVersion,
    ScoringChunk,
    Verdict,
)
from inspection.services import fast_lane, fast_times, scoring
from tests.factories.jobs import make_batch, make_chunk, make_image, make_inspection, make_version
from tests.factories.submission import make_asked, make_sender, send

pytestmark = pytest.mark.django_db(transaction=True)


def scored(score: float = 0.2) -> Any:
    """What the networks would say."""
    size = (8, 8)
    return SimpleNamespace(
        score=score,
        p_value=0.5,
        scores={"decision": score},
        paper_score=None,
        regions=[],
        map=np.zeros(size, np.float32),
        view=np.zeros((*size, 3), np.uint8),
        restored=np.zeros((*size, 3), np.uint8),
    )


class Networks:
    """Stands where the networks are slow: notes the order of pictures, and calls `between`
    before each, as they do before every layer."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.meanwhile: list[Any] = []

    def score(self, folder: str, pictures: list[Any], between: Any = None) -> list[Any]:
        found = []
        for picture in pictures:
            if between:
                if self.meanwhile:
                    self.meanwhile.pop()()
                between._next = 0.0  # not so soon after the last look, for a test
                between()
            self.order.append(picture.name)
            found.append(scored())
        return found


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> Networks:
    made = Networks()
    monkeypatch.setattr(ml_adapter, "score", made.score)
    monkeypatch.setattr(ml_adapter, "open_picture", lambda path: Path(path.stem))
    monkeypatch.setattr(scoring, "local_path", lambda image: Path(image.original_name))
    return made


@pytest.fixture
def version() -> ModelVersion:
    return make_version()


@pytest.fixture
def unit(version: ModelVersion) -> Any:
    """`unit("a")` submits a unit with a picture of that name; returns its inspection."""
    sender = make_sender(version)

    def submit(*names: str) -> Inspection:
        images = [make_image(f"{name}.png") for name in names]
        return send(sender, make_asked(version, images=images)).inspection

    return submit


def chunk_of(batch: Batch, *names: str) -> ScoringChunk:
    chunk = make_chunk(batch)
    for name in names:
        make_inspection(batch, make_image(f"{name}.png"), chunk=chunk)
    return chunk


def test_a_single_unit_is_scored_with_its_own_model_and_limits(
    networks: Networks, unit: Any, version: ModelVersion
) -> None:
    one = unit("a", "b")
    scoring.score_chunk(one.chunk_id)
    one.refresh_from_db()
    assert networks.order == ["a", "b"]
    assert one.verdict == Verdict.PASSED
    assert one.is_record
    assert one.updated_at == one.completed_at
    assert {r.model_version for r in one.results.all()} == {version}
    assert ScoringChunk.objects.get().state == JobState.DONE


def test_a_unit_that_comes_meanwhile_goes_first(
    networks: Networks, unit: Any, version: ModelVersion
) -> None:
    chunk = chunk_of(make_batch(version), "b1", "b2", "b3")
    networks.meanwhile = [lambda: (unit("f1"), unit("f2"))]
    scoring.score_chunk(chunk.pk)
    assert networks.order == ["f1", "f2", "b1", "b2", "b3"]
    assert not Inspection.objects.filter(verdict="").exists()
    assert set(ScoringChunk.objects.values_list("state", "attempt")) == {(JobState.DONE, 1)}
    assert ImageResult.objects.count() == 5


def test_no_unit_interrupts_another(networks: Networks, unit: Any) -> None:
    one = unit("f1")
    networks.meanwhile = [lambda: unit("f2")]
    scoring.score_chunk(one.chunk_id)
    assert networks.order == ["f1"]


def test_a_worker_that_is_told_to_stop_takes_no_more_units(
    networks: Networks, unit: Any, version: ModelVersion
) -> None:
    chunk = chunk_of(make_batch(version), "b1", "b2")
    networks.meanwhile = [lambda: (unit("f1"), shutdown.request())]
    try:
        scoring.score_chunk(chunk.pk)
    finally:
        shutdown.reset()
    assert networks.order == ["b1"]
    chunk.refresh_from_db()
    assert (chunk.state, chunk.attempt) == (JobState.QUEUED, 0)


def test_nothing_is_looked_for_inside_a_transaction(networks: Networks, unit: Any) -> None:
    one = unit("f1")
    way = fast_lane.GiveWay(scoring.score_chunk)
    with transaction.atomic():
        way()
    assert networks.order == []
    way()
    assert networks.order == ["f1"]
    assert way.spent > 0
    one.refresh_from_db()
    assert one.verdict


def test_looks_are_twenty_milliseconds_apart(
    networks: Networks, django_assert_num_queries: Any
) -> None:
    way = fast_lane.GiveWay(scoring.score_chunk)
    with django_assert_num_queries(1):
        way()
        way()


def test_a_unit_that_failed_is_not_tried_in_a_tight_loop(
    networks: Networks, unit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = unit("f1")
    calls = []

    def broken(*_: Any) -> Any:
        calls.append(1)
        raise RuntimeError("out of memory")

    monkeypatch.setattr(ml_adapter, "score", broken)
    fast_lane.GiveWay(scoring.score_chunk)()
    assert len(calls) == 1
    chunk = ScoringChunk.objects.get(pk=one.chunk_id)
    assert (chunk.state, chunk.attempt, chunk.published_at) == (JobState.QUEUED, 1, None)
    publish_forgotten(ScoringChunk)
    for _ in range(3):
        ScoringChunk.objects.update(published_at="2026-01-01T00:00Z")
        fast_lane.GiveWay(scoring.score_chunk)()
    one.refresh_from_db()
    assert one.verdict == Verdict.ERROR, "never Passed"
    assert len(calls) == 4


def test_the_reaper_publishes_each_lane_to_its_own_queue(
    unit: Any, version: ModelVersion, empty_queues: None
) -> None:
    from inspection.jobs.publish import waiting_messages

    unit("f1")
    chunk_of(make_batch(version), "b1")
    ScoringChunk.objects.update(published_at=None)
    assert waiting_messages("fast") == 1
    assert publish_forgotten(ScoringChunk) == 2
    assert (waiting_messages("fast"), waiting_messages("score")) == (2, 1)


def test_a_dead_workers_unit_goes_back_to_the_queue_and_then_is_an_error(unit: Any) -> None:
    one = unit("f1")
    rows = ScoringChunk.objects.filter(pk=one.chunk_id)
    rows.update(state=JobState.RUNNING, attempt=1, lease_expires_at="2026-01-01T00:00Z")
    assert reap_expired(ScoringChunk, scoring.settle_chunk) == 1
    assert rows.get().state == JobState.QUEUED
    rows.update(state=JobState.RUNNING, attempt=4, lease_expires_at="2026-01-01T00:00Z")
    assert reap_expired(ScoringChunk, scoring.settle_chunk) == 1
    one.refresh_from_db()
    assert one.verdict == Verdict.ERROR


def test_its_times_are_counted(networks: Networks, unit: Any) -> None:
    before = fast_times.histograms()
    scoring.score_chunk(unit("f1").chunk_id)
    after = fast_times.histograms()
    for stage in fast_times.STAGES:
        assert after[stage].buckets[-1] == ("+Inf", before[stage].buckets[-1][1] + 1)
    assert after["total"].total_s >= before["total"].total_s


def test_a_chunk_of_a_batch_is_in_no_fast_metric(networks: Networks, version: ModelVersion) -> None:
    before = fast_times.histograms()
    scoring.score_chunk(chunk_of(make_batch(version), "b1").pk)
    assert fast_times.histograms() == before
    assert ScoringChunk.objects.get().lane == Lane.BATCH


def test_prometheus_reads_the_times(networks: Networks, unit: Any, client: Any) -> None:
    scoring.score_chunk(unit("f1").chunk_id)
    text = client.get("/metrics").content.decode()
    for stage in fast_times.STAGES:
        assert f'kintsugi_unit_seconds_bucket{{le="+Inf",stage="{stage}"}}' in text
        assert f'kintsugi_unit_seconds_sum{{stage="{stage}"}}' in text
