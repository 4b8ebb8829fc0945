"""One training run from the job to the model folder, resumable at any point."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from ml import device as devices
from ml.checkpoints import CheckpointFolder
from ml.events import Emitter
from ml.features import SQUEEZENET_FILE, installed
from ml.methods import METHODS, Method
from ml.train import together
from ml.train.context import Context
from ml.train.control import Control
from ml.train.job import Job
from ml.train.load import load
from ml.train.stages import STAGES, run_stage
from ml.train.state import RunState


def train(job: Job, emitter: Emitter) -> Path:
    """Run all stages, over all processes that torchrun started; returns the model folder.

    Raises Refused or Stop.
    """
    return together.run(job, emitter, _lead, _follower)


def _follower(job: Job, emitter: Emitter, only: list[str] | None = None) -> Callable[[str], None]:
    """For a process beside the lead's: trains a stage with it, on the split that it settled."""
    devices.limit(job.threads, job.nice)
    opened: list[Context] = []

    def follow(stage: str) -> None:
        if not opened:
            opened.append(_context(job, emitter, only))
            load(opened[0])
        context = opened[0]
        context.state = RunState.open(job.out / "state.json", job)
        STAGES[stage](context)

    return follow


def _lead(job: Job, emitter: Emitter) -> Path:
    """All stages as the one process that writes, or the only one."""
    context = _begin(job, emitter)
    for stage in context.stages:
        run_stage(context, stage)
    folder = context.out / "model"
    metrics = json.loads((folder / "manifest.json").read_text())["metrics"]
    emitter.emit("done", model="model", metrics=metrics)
    return folder


def pretrain(job: Job, emitter: Emitter) -> Path:
    """Run the pre-training alone, on the whole budget; returns the encoder's safetensors file,
    from which other runs can start (`Job.encoder`). Raises Refused or Stop."""
    together.run(job, emitter, _lead_pretraining, partial(_follower, only=["pretrain"]))
    return job.out / "pretrain.safetensors"


def _lead_pretraining(job: Job, emitter: Emitter) -> Path:
    context = _begin(job, emitter, ["pretrain"])
    run_stage(context, "pretrain")
    emitter.emit("done", model="pretrain.safetensors", metrics={})
    return context.out


def _begin(job: Job, emitter: Emitter, only: list[str] | None = None) -> Context:
    """What a run starts with: its folder, its state, its pictures. `only` leaves out stages."""
    job.out.mkdir(parents=True, exist_ok=True)
    devices.limit(job.threads, job.nice)
    context = _context(job, emitter, only)
    context.check_disk()
    context.control.check()
    load(context)
    return context


def _context(job: Job, emitter: Emitter, only: list[str] | None = None) -> Context:
    control = Control(job.out / "cancel", job.exit_with_parent)
    has_weights = installed(job.weights_dir, SQUEEZENET_FILE) is not None
    stages = only or _stages(METHODS[job.method], has_weights, job.vetting != "skip")
    known = (job.out / "state.json").exists()
    state = RunState.open(job.out / "state.json", job)
    device = devices.choose(job.device)
    emitter.emit(
        "plan",
        stages=stages,
        resumed=known,
        device=str(device),
        backbone="squeezenet1_1" if has_weights else "ssl_encoder",
    )
    checkpoints = CheckpointFolder(job.out / "checkpoints")
    threads = torch.get_num_threads()
    return Context(job, state, emitter, control, device, stages, checkpoints, threads)


def _stages(method: Method, has_weights: bool, vets: bool) -> list[str]:
    """What the method needs, in order.

    Without weights the pre-trained encoder stands in as the backbone of every method, and the
    vetting needs it too.
    """
    vetting = ["vet"] if vets else []
    first = [*vetting, *(["pretrain"] if method.pretrains else [])]
    if not has_weights:
        first = ["pretrain", *vetting]
    restoring = ["inpaint"] if method.restores else []
    remembering = ["memory"] if method.memory else []
    return [*first, *restoring, *remembering, "calibrate", "evaluate"]
