"""A worker that cannot renew its lease must stop."""

import threading
import time
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError
from pytest_django import Settings

from inspection.jobs.claim import Claim, claim
from inspection.jobs.lease import Lease
from inspection.models import JobState, TrainingRun
from tests.factories.jobs import make_run
from tests.processes import wait_for


@pytest.fixture
def held(transactional_db: None, settings: Settings) -> Claim[TrainingRun]:
    settings.JOB_LEASE_S = 1
    taken = claim(TrainingRun, make_run().pk)
    assert taken is not None
    return taken


def test_a_lease_is_renewed_while_the_work_goes_on(held: Claim[TrainingRun]) -> None:
    ends = [held.job.lease_expires_at]

    def renewed() -> bool:
        held.job.refresh_from_db()
        ends.append(held.job.lease_expires_at)
        return len(set(ends)) > 3

    with Lease(held) as lease:
        wait_for(renewed, 30, "three renewals")
    assert not lease.lost.is_set()
    assert ends == sorted(ends), "each later than the one before"


def test_a_worker_whose_row_was_given_away_is_told(held: Claim[TrainingRun]) -> None:
    with Lease(held) as lease:
        TrainingRun.objects.update(token=uuid4())
        assert lease.lost.wait(20)


def test_a_worker_that_ended_its_job_itself_has_lost_nothing(
    held: Claim[TrainingRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    refused, renew = threading.Event(), Claim.renew

    def watched(self: Claim[Any]) -> bool:
        renewed = renew(self)
        if not renewed:
            refused.set()
        return renewed

    monkeypatch.setattr(Claim, "renew", watched)
    with Lease(held) as lease:
        held.finish(JobState.DONE)
        assert refused.wait(20), "the row is nobody's any more"
    assert not lease.lost.is_set()


def test_a_worker_that_cannot_reach_the_database_stops_when_its_lease_is_over(
    held: Claim[TrainingRun], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.JOB_LEASE_S = 5
    asked: list[float] = []

    def unreachable(self: Claim[Any]) -> bool:
        asked.append(time.monotonic())
        raise OperationalError("no connection")

    monkeypatch.setattr(Claim, "renew", unreachable)
    began = time.monotonic()
    with Lease(held) as lease:
        assert lease.lost.wait(20)
        assert time.monotonic() - began >= 5, "the lease was not over yet"
    assert len(asked) > 1, "one failed renewal is no reason to stop"
