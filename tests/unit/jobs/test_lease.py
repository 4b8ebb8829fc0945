"""A worker that cannot renew its lease must stop."""

from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError
from pytest_django import Settings

from inspection.jobs.claim import Claim, claim
from inspection.jobs.lease import Lease
from inspection.models import JobState, TrainingRun
from tests.factories.jobs import make_run


@pytest.fixture
def held(transactional_db: None, settings: Settings) -> Claim[TrainingRun]:
    settings.JOB_LEASE_S = 1
    taken = claim(TrainingRun, make_run().pk)
    assert taken is not None
    return taken


def test_a_lease_is_renewed_while_the_work_goes_on(held: Claim[TrainingRun]) -> None:
    first_end = held.job.lease_expires_at
    assert first_end is not None
    with Lease(held) as lease:
        assert not lease.lost.wait(0.8)
    held.job.refresh_from_db()
    assert held.job.lease_expires_at is not None
    assert held.job.lease_expires_at > first_end


def test_a_worker_whose_row_was_given_away_is_told(held: Claim[TrainingRun]) -> None:
    with Lease(held) as lease:
        TrainingRun.objects.update(token=uuid4())
        assert lease.lost.wait(2)


def test_a_worker_that_ended_its_job_itself_has_lost_nothing(held: Claim[TrainingRun]) -> None:
    with Lease(held) as lease:
        held.finish(JobState.DONE)
        assert not lease.lost.wait(0.6)


def test_a_worker_that_cannot_reach_the_database_stops_when_its_lease_is_over(
    held: Claim[TrainingRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(self: Claim[Any]) -> bool:
        raise OperationalError("no connection")

    monkeypatch.setattr(Claim, "renew", unreachable)
    with Lease(held) as lease:
        assert not lease.lost.wait(0.6), "one failed renewal is no reason to stop"
        assert lease.lost.wait(2)
