"""A message that cannot be sent: batches keep silent for a while, single units do not."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from kombu.exceptions import OperationalError

from inspection.jobs import publish as publishing
from inspection.jobs import reaper
from inspection.jobs.cancel import request_cancel
from inspection.models import JobState, Lane, ScoringChunk
from inspection.services import scoring_upkeep
from tests.factories.jobs import make_batch, make_chunk
from tests.processes import EmbeddedRedis

pytestmark = pytest.mark.django_db
Broker = Callable[..., list[str]]


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    """`broker(failures=1)`: a broker that refuses so many messages; returns the queues of all
    that were tried."""
    monkeypatch.setattr(publishing, "_silent_until", 0.0)
    monkeypatch.setattr(publishing, "_hung_until", 0.0)
    monkeypatch.setattr(publishing, "PAUSE_AFTER_FAILURE_S", 60.0)
    monkeypatch.setattr(publishing, "HANGS_S", 30.0)  # only this machine may be slow

    def make(*, failures: int, takes_s: float = 0.0) -> list[str]:
        tried: list[str] = []

        def send(*_: Any, queue: str, **__: Any) -> None:
            tried.append(queue)
            time.sleep(takes_s)
            if len(tried) <= failures:
                raise OperationalError("connection reset by peer")

        monkeypatch.setattr(publishing.app, "send_task", send)
        return tried

    return make


def unit(**fields: Any) -> ScoringChunk:
    """A queued single unit that was submitted a while ago."""
    queued_at = timezone.now() - timedelta(seconds=10)
    fields = {"queued_at": queued_at, **fields}
    return ScoringChunk.objects.create(lane=Lane.FAST, number=0, **fields)


def enqueue(chunk: ScoringChunk, commits: Any) -> None:
    with commits(execute=True):
        publishing.enqueue(chunk)
    chunk.refresh_from_db()


def test_a_unit_is_tried_twice_at_once(
    broker: Broker, django_capture_on_commit_callbacks: Any
) -> None:
    tried, one = broker(failures=1), unit()
    enqueue(one, django_capture_on_commit_callbacks)
    assert tried == ["fast", "fast"]
    assert one.published_at is not None


def test_a_redis_that_comes_back_gets_the_next_message_at_once_and_what_is_left_soon(
    redis_server: EmbeddedRedis | None,
    empty_queues: None,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
) -> None:
    if redis_server is None:
        pytest.skip("the Redis of TEST_REDIS_URL is not ours to stop")
    monkeypatch.setattr(publishing, "_silent_until", 0.0)
    lost, one = unit(), unit(queued_at=timezone.now())
    redis_server.stop()
    try:
        enqueue(lost, django_capture_on_commit_callbacks)
    finally:
        redis_server.start()
    assert lost.published_at is None
    enqueue(one, django_capture_on_commit_callbacks)
    assert one.published_at is not None
    assert reaper.publish_units() == 1
    assert publishing.waiting_messages("fast") == 2


def test_a_failure_silences_batches_and_not_units(
    broker: Broker, django_capture_on_commit_callbacks: Any
) -> None:
    tried, chunk, one = broker(failures=1), make_chunk(make_batch()), unit()
    for job in (chunk, chunk, one):
        enqueue(job, django_capture_on_commit_callbacks)
    assert tried == ["score", "fast"]
    assert (chunk.published_at, one.published_at is None) == (None, False)


def test_a_broker_that_hangs_does_not_hold_up_every_unit(
    broker: Broker, django_capture_on_commit_callbacks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "HANGS_S", 0.01)
    tried = broker(failures=9, takes_s=0.02)
    for _ in range(3):
        enqueue(unit(), django_capture_on_commit_callbacks)
    assert tried == ["fast"]


def test_units_without_a_message_are_published_by_whoever_scores(broker: Broker) -> None:
    lost = unit()
    others = [
        unit(published_at=timezone.now()),
        unit(queued_at=timezone.now()),
        unit(attempt=1),
        unit(state=JobState.RUNNING),
        make_chunk(make_batch(), queued_at=timezone.now() - timedelta(hours=1)),
    ]
    before = {one.pk: one.published_at for one in others}
    tried = broker(failures=0)
    assert [reaper.publish_units(), reaper.publish_units()] == [1, 0]
    assert tried == ["fast"]
    lost.refresh_from_db()
    assert lost.published_at is not None
    assert dict(ScoringChunk.objects.filter(pk__in=before).values_list("pk", "published_at")) == (
        before
    )


def test_a_cancelled_unit_is_not_published(broker: Broker) -> None:
    one, tried = unit(), broker(failures=0)
    request_cancel(one)
    assert (reaper.publish_units(), tried) == (0, [])


def test_publishing_stops_at_the_first_failure_and_goes_on_later(broker: Broker) -> None:
    units, tried = [unit() for _ in range(3)], broker(failures=1)
    assert (reaper.publish_units(), len(tried)) == (0, 1)
    assert reaper.publish_units() == len(units)


@pytest.mark.django_db(transaction=True)
def test_a_look_that_fails_is_followed_by_others() -> None:
    def broken() -> None:
        raise RuntimeError("the database is away")

    scoring_upkeep.once(broken)
