"""Rows and messages: a message may be lost or come twice, and neither matters.

The runs here have no pictures, so the training process refuses them at once: a run that is
`failed` with the process's own sentence was worked on.
"""

from collections.abc import Callable

import pytest

from inspection.jobs.publish import TASKS, enqueue, publish, waiting_messages
from inspection.models import JobState, RunLogLine, TrainingRun
from inspection.services import training
from tests.factories.jobs import make_run
from tests.processes import EmbeddedRedis, Worker, wait_for
from webapp.celery import app

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
StartWorker = Callable[..., Worker]


def worked_on(*runs: TrainingRun) -> bool:
    done = TrainingRun.objects.filter(pk__in=[run.pk for run in runs], state=JobState.FAILED)
    return done.count() == len(runs)


def test_a_message_that_comes_three_times_is_worked_on_once(worker: StartWorker) -> None:
    worker("train")
    run = make_run()
    for _ in range(3):
        publish(TrainingRun, run.pk)
    wait_for(lambda: worked_on(run), 100, "the run was worked on")
    wait_for(lambda: waiting_messages("train") == 0, 60, "the other messages were taken")
    run.refresh_from_db()
    assert run.attempt == 1
    assert RunLogLine.objects.filter(run=run, level="error").count() == 1


def test_what_was_enqueued_while_redis_was_down_is_worked_on_later(
    worker: StartWorker, redis_server: EmbeddedRedis | None
) -> None:
    if redis_server is None:
        pytest.skip("the Redis of TEST_REDIS_URL is not ours to stop")
    worker("train", "default", beat=True)
    redis_server.stop()
    runs = [make_run() for _ in range(3)]
    for run in runs:
        enqueue(run)
    waiting = TrainingRun.objects.filter(state=JobState.QUEUED, published_at=None)
    assert waiting.count() == 3, "the rows stay"
    redis_server.start()
    wait_for(lambda: worked_on(*runs), 150, "the same worker worked on all of them")


def test_a_run_that_was_cancelled_while_it_waited_never_starts(worker: StartWorker) -> None:
    cancelled, after = make_run(), make_run()
    publish(TrainingRun, cancelled.pk)
    publish(TrainingRun, after.pk)
    training.cancel_run(None, cancelled)
    worker("train")
    wait_for(lambda: worked_on(after), 100, "the run behind it was worked on")
    cancelled.refresh_from_db()
    assert (cancelled.state, cancelled.attempt) == (JobState.CANCELLED, 0)


def test_a_message_that_is_no_id_of_ours_does_not_stop_the_worker(worker: StartWorker) -> None:
    app.send_task(TASKS[TrainingRun], args=["01234567-89ab-7def-8123-456789abcdef"])
    run = make_run()
    publish(TrainingRun, run.pk)
    worker("train")
    wait_for(lambda: worked_on(run), 100, "the run behind it was worked on")
