"""What the reaper puts right, and what it must leave alone."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone
from pytest_django import Settings

from inspection.jobs import publish as publishing
from inspection.jobs import reaper
from inspection.jobs.cancel import request_cancel
from inspection.models import JobState, TrainingRun
from tests.factories.jobs import make_run
from tests.processes import EmbeddedRedis

pytestmark = pytest.mark.django_db
PAST = timedelta(seconds=-1)
FUTURE = timedelta(seconds=60)


def running(lease: timedelta | None, **fields: Any) -> TrainingRun:
    ends = None if lease is None else timezone.now() + lease
    return make_run(
        state=JobState.RUNNING, token=uuid4(), attempt=1, lease_expires_at=ends, **fields
    )


def reap(run: TrainingRun) -> TrainingRun:
    reaper.reap_expired(TrainingRun, lambda job: None)
    reaper.cancel_queued(TrainingRun, lambda job: None)
    run.refresh_from_db()
    return run


def test_a_run_whose_lease_ran_out_is_queued_again() -> None:
    run = reap(running(PAST))
    assert (run.state, run.token, run.published_at) == (JobState.QUEUED, None, None)


def test_a_running_run_without_any_lease_is_caught_too() -> None:
    assert reap(running(None)).state == JobState.QUEUED


def test_a_run_that_is_worked_on_is_left_alone() -> None:
    assert reap(running(FUTURE)).state == JobState.RUNNING


def test_after_its_last_attempt_a_run_fails_with_a_sentence() -> None:
    run = reap(running(PAST, max_attempts=1))
    assert run.state == JobState.FAILED
    assert "died 1 times" in run.error
    assert run.finished_at is not None


def test_a_run_that_paused_while_somebody_cancelled_it_is_cancelled() -> None:
    run = make_run(state=JobState.PAUSED, cancel_requested_at=timezone.now())
    assert reap(run).state == JobState.CANCELLED


def test_one_row_that_cannot_be_settled_does_not_hold_up_the_others() -> None:
    bad, good = running(PAST), running(PAST)

    def settle(job: TrainingRun) -> None:
        if job.pk == bad.pk:
            raise ValueError("a bug")

    assert reaper.reap_expired(TrainingRun, settle) == 1
    bad.refresh_from_db()
    good.refresh_from_db()
    assert (bad.state, good.state) == (JobState.RUNNING, JobState.QUEUED)


def test_a_cancelled_run_whose_worker_died_is_cancelled_and_not_run_again() -> None:
    run = running(PAST)
    assert not request_cancel(run)
    assert reap(run).state == JobState.CANCELLED


def test_a_cancel_that_met_a_run_on_its_way_back_to_the_queue_is_kept() -> None:
    assert reap(make_run(cancel_requested_at=timezone.now())).state == JobState.CANCELLED


def test_what_hangs_on_a_job_is_settled_with_it() -> None:
    run = running(PAST, max_attempts=1)
    settled: list[str] = []
    reaper.reap_expired(TrainingRun, lambda job: settled.append(job.state))
    reaper.reap_expired(TrainingRun, lambda job: settled.append(job.state))
    assert settled == [JobState.FAILED]
    assert run.pk


class TestPublishing:
    @pytest.fixture(autouse=True)
    def _short(self, settings: Settings, empty_queues: None) -> None:
        settings.JOB_STALE_QUEUED_S = 10

    def messages(self) -> int:
        return publishing.waiting_messages("train")

    def test_a_row_that_was_never_published_is(self) -> None:
        run = make_run()
        assert reaper.publish_forgotten(TrainingRun) == 1
        run.refresh_from_db()
        assert run.published_at is not None
        assert self.messages() == 1
        assert reaper.publish_forgotten(TrainingRun) == 0, "once is enough"

    def test_a_row_whose_message_was_lost_is_published_again(self) -> None:
        make_run(published_at=timezone.now() - timedelta(seconds=11))
        assert reaper.publish_forgotten(TrainingRun) == 1
        assert self.messages() == 1

    def test_rows_that_wait_long_with_their_messages_safe_gather_no_more_of_them(self) -> None:
        run = make_run()
        publishing.publish(TrainingRun, run.pk)
        TrainingRun.objects.update(published_at=timezone.now() - timedelta(hours=5))
        assert reaper.publish_forgotten(TrainingRun) == 0
        assert self.messages() == 1

    def test_a_broker_that_is_down_fails_nothing_and_costs_no_time(
        self, redis_server: EmbeddedRedis | None
    ) -> None:
        if redis_server is None:
            pytest.skip("the Redis of TEST_REDIS_URL is not ours to stop")
        runs = [make_run() for _ in range(30)]
        redis_server.stop()
        try:
            started = timezone.now()
            for run in runs:
                publishing._publish_unless_down(TrainingRun, run.pk)
            assert reaper.publish_forgotten(TrainingRun) == 0
            assert timezone.now() - started < timedelta(seconds=20)
        finally:
            redis_server.start()
            publishing._silent_until = 0.0
        assert not TrainingRun.objects.exclude(published_at=None).exists()
        assert reaper.publish_forgotten(TrainingRun) == 30
        assert self.messages() == 30
