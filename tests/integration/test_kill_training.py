"""Whatever is killed in the middle of a training run: it goes on by itself, and ends once."""

import os
import re
from collections.abc import Callable

import psutil
import pytest

from inspection.models import (
    JobState,
    ModelVersion,
    RunLogLine,
    RunMetric,
    SnapshotImage,
    TrainingRun,
    Viewpoint,
)
from inspection.services import training
from tests.integration.conftest import GOOD_PARTS
from tests.processes import Worker, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.timeout(480)]
StartWorker = Callable[..., Worker]
STEPS, SOME_STEPS = 450, 15


@pytest.fixture
def run(viewpoint: Viewpoint) -> TrainingRun:
    """So many steps that every kill meets it in the middle."""
    return training.start_run(
        None, viewpoint, preset="tiny", budget_minutes=1, steps=STEPS, vetting="keep"
    )


def resumed_at(run: TrainingRun) -> list[int]:
    """The step of its checkpoint that each attempt went on from."""
    messages = RunLogLine.objects.filter(run=run).values_list("message", flat=True)
    found = [re.fullmatch(r"Continuing inpaint at step (\d+)\.", line) for line in messages]
    return [int(match[1]) for match in found if match]


def in_the_middle(run: TrainingRun, *, resumes: int) -> bool:
    """The attempt after that many resumes is some steps into the inpainting."""
    run.refresh_from_db()
    assert run.state in (JobState.QUEUED, JobState.RUNNING), (run.state, run.error)
    began = resumed_at(run)
    if len(began) != resumes or run.state != JobState.RUNNING or run.stage != "inpaint":
        return False
    return run.progress["step"] > max([0, *began]) + SOME_STEPS


def wait_until_in_the_middle(run: TrainingRun, worker: Worker, *, resumes: int) -> psutil.Process:
    """Returns the training process."""
    wait_for(
        lambda: in_the_middle(run, resumes=resumes),
        120,
        f"attempt {resumes + 1} is in the middle of an epoch",
    )
    trainer = worker.trainer()
    assert trainer is not None
    return trainer


def in_state(run: TrainingRun, state: JobState) -> bool:
    run.refresh_from_db()
    assert run.state in (state, JobState.QUEUED, JobState.RUNNING), (run.state, run.error)
    return run.state == state


def gone(process: psutil.Process) -> bool:
    try:
        os.kill(process.pid, 0)
        return process.status() == psutil.STATUS_ZOMBIE
    except (ProcessLookupError, psutil.NoSuchProcess):
        return True


def test_a_run_survives_kill_9_of_all_three_and_ends_once(
    run: TrainingRun, worker: StartWorker
) -> None:
    worker("default", beat=True)  # the reaper
    at_work = worker("train")

    trainer = wait_until_in_the_middle(run, at_work, resumes=0)
    at_work.task_process().kill()
    wait_for(lambda: gone(trainer), 30, "the training process follows its parent")

    trainer = wait_until_in_the_middle(run, at_work, resumes=1)
    trainer.kill()

    trainer = wait_until_in_the_middle(run, at_work, resumes=2)
    at_work.kill_whole()
    wait_for(lambda: gone(trainer), 30, "the training process follows its parent")

    worker("train")
    wait_for(lambda: in_state(run, JobState.DONE), 240, "the run is done")
    assert run.attempt == 4
    began = resumed_at(run)
    assert len(began) == 3
    assert sorted(began) == began
    assert began[0] > 0, "no attempt started over"
    check_one_model(run)


def check_one_model(run: TrainingRun) -> None:
    """Exactly one, a candidate as every first try is, with every picture's use written down."""
    version = ModelVersion.objects.get()
    assert version.training_run == run
    assert version.state == ModelVersion.State.CANDIDATE
    assert version.operating_points.count() == 1
    steps = list(RunMetric.objects.filter(run=run).values_list("stage", "step"))
    assert len(steps) == len(set(steps)) > 0
    used = run.snapshot.items.exclude(split=SnapshotImage.Split.NONE)
    assert used.count() == GOOD_PARTS
    assert used.filter(split=SnapshotImage.Split.CALIBRATION).count() >= 40
    run.snapshot.refresh_from_db()
    assert len(run.snapshot.digest) == 64


def test_sigterm_puts_the_run_back_and_cancel_frees_the_slot(
    run: TrainingRun, worker: StartWorker
) -> None:
    at_work = worker("train")
    wait_until_in_the_middle(run, at_work, resumes=0)
    assert at_work.terminate() == 0
    run.refresh_from_db()
    assert (run.state, run.attempt) == (JobState.QUEUED, 0), "an orderly stop is no crash"
    assert run.published_at is not None, "the next worker need not wait for the reaper"

    at_work = worker("train")
    trainer = wait_until_in_the_middle(run, at_work, resumes=1)
    training.cancel_run(None, run)
    wait_for(lambda: in_state(run, JobState.CANCELLED), 40, "the run is cancelled")
    assert gone(trainer)
    assert not ModelVersion.objects.exists()

    training.resume_run(None, run)
    wait_until_in_the_middle(run, at_work, resumes=2)
    began = resumed_at(run)
    assert 0 < began[0] < began[1], "each went on from where the one before stopped"


def test_what_a_person_leaves_out_after_the_vetting_is_not_learnt_from(
    viewpoint: Viewpoint, worker: StartWorker
) -> None:
    run = training.start_run(None, viewpoint, preset="tiny", budget_minutes=1, steps=4)
    worker("train")
    wait_for(lambda: in_state(run, JobState.PAUSED), 120, "the run waits for a person")
    flagged = run.snapshot.items.filter(vet_flagged=True)
    assert flagged.count() >= 1
    worst = run.snapshot.items.get(vet_rank=1)
    assert worst.vet_score is not None
    assert worst.reason
    training.decide_vetting(None, run, worst, keep=False)
    training.continue_after_vetting(None, run)
    wait_for(lambda: in_state(run, JobState.DONE), 120, "the run is done")
    worst.refresh_from_db()
    assert worst.split == SnapshotImage.Split.NONE
    used = run.snapshot.items.exclude(split=SnapshotImage.Split.NONE)
    assert used.count() == GOOD_PARTS - 1
    assert run.model_version.manifest["images"]["excluded"] in (1, [str(worst.image_id)])
