"""What the page of a run says while there is nothing to show."""

from datetime import timedelta

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from inspection.models import JobState, TrainingRun
from inspection.services import announce
from tests.unit.web.conftest import World
from tests.unit.web.test_pages import read

OLD = {"fraction": 0.7, "step": 70, "steps": 100, "rate": 3.0, "eta_total_s": 125}


@pytest.fixture
def run(world: World) -> TrainingRun:
    world.run.progress = OLD
    world.run.save()
    return world.run


def now(run: TrainingRun, **fields: object) -> None:
    TrainingRun.objects.filter(pk=run.pk).update(**fields)


def test_a_run_that_was_killed_says_that_it_goes_on_by_itself(
    run: TrainingRun, engineer: Client
) -> None:
    now(run, state=JobState.QUEUED, attempt=1)
    page = read(engineer, "run", run.pk)
    state = engineer.get(reverse("run_state", args=[run.pk])).json()
    assert "Stopped unexpectedly; goes on by itself within a minute." in page
    assert state["note"].startswith("Stopped unexpectedly")
    assert "2 min 5 s" not in page, "a run that waits has no time left"
    assert state["progress"] == {}


def test_a_waiting_run_has_no_numbers_anywhere(run: TrainingRun, engineer: Client) -> None:
    now(run, state=JobState.QUEUED, attempt=0)
    assert "Waits for its turn" in read(engineer, "run", run.pk)
    run.refresh_from_db()
    line = announce.run_line(run)
    assert (line["fraction"], line["eta_s"]) == (None, None)


def test_a_worker_that_is_silent_is_spoken_of(run: TrainingRun, engineer: Client) -> None:
    soon = timezone.now() + timedelta(seconds=settings.JOB_LEASE_S)
    now(run, state=JobState.RUNNING, attempt=1, lease_expires_at=soon)
    page = read(engineer, "run", run.pk)
    assert "silent" not in page
    assert "2 min 5 s" in page
    now(run, lease_expires_at=timezone.now() + timedelta(seconds=5))
    assert "Its worker is silent" in read(engineer, "run", run.pk)
