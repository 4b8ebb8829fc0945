"""Who may work on a row, and what a worker whose token is gone can still do: nothing."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from inspection.jobs.claim import LeaseLost, claim
from inspection.models import JobState, TrainingRun
from tests.factories.jobs import make_run

pytestmark = pytest.mark.django_db


def test_only_one_of_two_messages_gets_the_run() -> None:
    run = make_run()
    first, second = claim(TrainingRun, run.pk), claim(TrainingRun, run.pk)
    assert first is not None
    assert second is None
    run.refresh_from_db()
    assert (run.state, run.attempt, run.token) == (JobState.RUNNING, 1, first.token)


def test_a_claim_has_a_lease_from_the_first_moment() -> None:
    held = claim(TrainingRun, make_run().pk)
    assert held is not None
    assert held.job.lease_expires_at is not None
    assert held.job.lease_expires_at > timezone.now()


def test_a_run_that_is_not_there_or_to_be_cancelled_is_not_taken() -> None:
    assert claim(TrainingRun, uuid4()) is None
    assert claim(TrainingRun, make_run(cancel_requested_at=timezone.now()).pk) is None
    assert claim(TrainingRun, make_run(state=JobState.PAUSED).pk) is None


def test_the_start_of_the_first_attempt_is_kept() -> None:
    long_ago = timezone.now() - timedelta(hours=3)
    held = claim(TrainingRun, make_run(started_at=long_ago).pk)
    assert held is not None
    assert held.job.started_at == long_ago


def test_late_writes_of_an_old_token_do_nothing() -> None:
    run = make_run()
    old = claim(TrainingRun, run.pk)
    assert old is not None
    old.requeue(count_attempt=True)
    new = claim(TrainingRun, run.pk)
    assert new is not None

    assert not old.renew()
    assert not old.write(error="late")
    assert not old.finish(JobState.FAILED, error="a late failure of a duplicate")
    assert not old.requeue(count_attempt=True)
    with pytest.raises(LeaseLost):
        old.fence()
    with pytest.raises(LeaseLost):
        old.cancel_requested()
    run.refresh_from_db()
    assert (run.state, run.token, run.error) == (JobState.RUNNING, new.token, "")


def test_an_orderly_stop_spends_no_attempt_but_a_new_claim_has_a_new_token() -> None:
    run = make_run()
    tokens = set()
    for _ in range(run.max_attempts + 3):
        held = claim(TrainingRun, run.pk)
        assert held is not None
        tokens.add(held.token)
        held.requeue(count_attempt=False)
    run.refresh_from_db()
    assert run.attempt == 0
    assert len(tokens) == run.max_attempts + 3


def test_an_ended_run_is_held_by_nobody() -> None:
    held = claim(TrainingRun, make_run().pk)
    assert held is not None
    held.finish(JobState.DONE)
    run = TrainingRun.objects.get(pk=held.id)
    assert (run.token, run.lease_expires_at) == (None, None)
    assert run.finished_at is not None


def test_a_pause_is_no_end() -> None:
    held = claim(TrainingRun, make_run().pk)
    assert held is not None
    held.finish(JobState.PAUSED)
    assert TrainingRun.objects.get(pk=held.id).finished_at is None
