"""What a worker does with a training run: start the process, hear it, settle how it ended."""

import json
import logging
import os
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from inspection import ml_adapter
from inspection.errors import UserError
from inspection.jobs import shutdown
from inspection.jobs.claim import Claim, LeaseLost, claim
from inspection.jobs.lease import Lease
from inspection.jobs.publish import enqueue
from inspection.jobs.trainer import Trainer, relay
from inspection.models import JobState, RunLogLine, SnapshotImage, TrainingRun

from . import announce, follow_up, outbox
from .disk import check_free_space
from .images import local_path
from .registering import BadModelFolder, finish_run
from .run_relay import RunRelay

log = logging.getLogger(__name__)

SIDES = ("x", "y", "width", "height")
DONE, BUG, REFUSED, CANCELLED, PAUSED, STOPPED = 0, 1, 2, 3, 4, 75  # exit statuses


def run_training(run_id: UUID | str) -> None:
    """Work on a queued run until it ends, pauses, or must be given back.

    A message for a row that is not queued (it came twice, or late) does nothing.
    """
    held = claim(TrainingRun, run_id)
    if held is None:
        return
    try:
        with Lease(held) as lease:
            _forget_progress(held)
            announce.run_state(held.job)
            _work(held, lease)
    except LeaseLost:
        log.warning("training run %s is no longer ours: nothing more is written", run_id)
        return
    run = TrainingRun.objects.select_related("viewpoint__product").get(pk=run_id)
    announce.run_state(run)
    follow_up.run_ended(run)


def _forget_progress(held: Claim[TrainingRun]) -> None:
    """Steps, speed and time left of an earlier attempt would be read as those of this one."""
    held.job.progress, held.job.stage = {}, ""
    held.write(progress={}, stage="")


def _work(held: Claim[TrainingRun], lease: Lease) -> None:
    try:
        check_free_space()
        job_file = write_job(held.job)
    except UserError as refusal:
        end_run(held, JobState.FAILED, error_code=refusal.code, error=refusal.message)
        return
    except OSError as error:
        end_run(held, JobState.FAILED, error_code="run_folder", error=f"The run's folder: {error}")
        return
    relay_to = RunRelay(held)
    trainer = Trainer(job_file.parent, ml_adapter.trainer_command(job_file))
    try:
        status = relay(trainer, held, lease, relay_to)
    finally:
        trainer.close()
    _settle(held, status, trainer, relay_to)


# --- the job file ----------------------------------------------------------------------


def run_folder(run: TrainingRun) -> Path:
    """The folder that belongs to the training process of `run`."""
    return Path(settings.RUNS_DIR) / str(run.pk)


def write_job(run: TrainingRun) -> Path:
    """Write job.json (docs/trainer-protocol.md) and return its path."""
    folder = run_folder(run)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "job.json"
    part = file.with_suffix(".part")
    part.write_text(json.dumps(_job(run, folder)))
    part.replace(file)
    return file


def _job(run: TrainingRun, folder: Path) -> dict[str, Any]:
    items = list(run.snapshot.items.select_related("image").order_by("id"))
    excluded = SnapshotImage.Decision.EXCLUDED
    return {
        "out": str(folder),
        "method": run.method,
        "preset": run.preset,
        "seed": run.seed,
        "images": [
            {"id": str(item.image_id), "path": str(local_path(item.image))} for item in items
        ],
        "budget_minutes": run.budget_minutes,
        "steps": run.steps,
        "device": settings.DEVICE,
        "threads": settings.TRAINER_THREADS or os.cpu_count() or 1,
        "nice": settings.TRAINER_NICE,
        "weights_dir": str(settings.WEIGHTS_DIR),
        "vetting": run.vetting,
        "excluded": {
            str(item.image_id): item.reason or "left out by a person"
            for item in items
            if item.decision == excluded
        },
        "vetted": run.vetted,
        "repair_zones": [[zone[name] for name in SIDES] for zone in run.repair_zones],
        "symmetries": run.symmetries,
        "min_free_gb": settings.MIN_FREE_GB,
        "exit_with_parent": True,
    }


# --- how it ended ----------------------------------------------------------------------


def end_run(held: Claim[TrainingRun], state: JobState, **fields: Any) -> None:
    """End the run without a model and tell other systems, if it is still ours."""
    with transaction.atomic():
        if held.finish(state, **fields):
            outbox.run_finished(TrainingRun.objects.get(pk=held.id))


def _settle(held: Claim[TrainingRun], status: int, trainer: Trainer, heard: RunRelay) -> None:
    """Write the end of this attempt. Every way is one conditional write of the row."""
    if status == DONE:
        _register(held, trainer.folder)
    elif status == CANCELLED or held.cancel_requested():
        end_run(held, JobState.CANCELLED)
    elif status == PAUSED:
        held.finish(JobState.PAUSED, stage="vet")
    elif status == STOPPED or shutdown.requested():
        _give_back(held)
    elif status == REFUSED:
        code, sentence = heard.error or ("refused", "The training process refused its input.")
        end_run(held, JobState.FAILED, error_code=code, error=sentence)
    else:
        _crashed(held, status, trainer)


def _register(held: Claim[TrainingRun], folder: Path) -> None:
    try:
        finish_run(held, folder)
    except BadModelFolder as error:
        end_run(held, JobState.FAILED, error_code="bad_model", error=str(error))
    except (OSError, KeyError, TypeError, ValueError) as error:
        log.exception("the model of training run %s cannot be registered", held.id)
        sentence = f"The model could not be taken over ({type(error).__name__}: {error}). "
        sentence += "When the cause is mended, resume the run."
        end_run(held, JobState.FAILED, error_code="not_registered", error=sentence)


def _give_back(held: Claim[TrainingRun]) -> None:
    """An orderly stop: queued again, with no attempt spent."""
    with transaction.atomic():
        if held.requeue(count_attempt=False):
            enqueue(held.job)


def _crashed(held: Claim[TrainingRun], status: int, trainer: Trainer) -> None:
    """Queued again while attempts remain. The message is left to the reaper, so that a
    process that dies at once is not started again in a tight loop."""
    cause = _crash_sentence(status)
    goes_on = held.may_retry()
    with transaction.atomic():
        held.fence()
        told = f"{cause} It starts again by itself within a minute." if goes_on else cause
        message = "\n".join([told, *trainer.last_words()])
        RunLogLine.objects.create(
            run_id=held.id, attempt=held.attempt, level="error", message=message
        )
        if goes_on:
            held.requeue(count_attempt=True)
        else:
            told = _given_up(cause, status)
            end_run(held, JobState.FAILED, error_code="trainer_crashed", error=told)


def _crash_sentence(status: int) -> str:
    """What happened. What to do is said only when the run does not go on by itself."""
    if status == -9:
        return "The training process was killed, often because the machine ran out of memory."
    if status < 0:
        return f"The training process was ended by signal {-status}."
    return f"The training process stopped on an error of its own (exit status {status})."


def _given_up(cause: str, status: int) -> str:
    if status == -9:
        remedy = "Close other programs or choose a smaller preset, then resume the run."
    else:
        remedy = "The last lines of its output are in the log of this run."
    return f"{cause} It was tried again, and stopped each time. {remedy}"
