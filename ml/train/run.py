"""One training run from the job to the model folder, resumable at any point."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ml import device as devices
from ml import distributed
from ml.barlow_twins.trainer import PretrainTrainer, load_encoder
from ml.checkpoints import CheckpointFolder, write_json, write_tensors
from ml.data.alignment import FIT_ON, Aligner, fit
from ml.data.dataset import load_pictures
from ml.data.symmetries import keeps_positions
from ml.events import Emitter
from ml.features import (
    SQUEEZENET_FILE,
    VGG_FILE,
    FeatureExtractor,
    SqueezeNetFeatures,
    consistency_features,
    installed,
    scoring_features,
)
from ml.methods import METHODS, Method, RestorationTrainer, load_restorer, restoration_trainer
from ml.train import memory, splits, together
from ml.train.calibrate import build_engine, calibrate, picture_count
from ml.train.context import Context, StageClock
from ml.train.control import Control, WaitingForVetting
from ml.train.evaluate import evaluate, store_metrics
from ml.train.job import Job, Refused
from ml.train.loop import run_steps
from ml.train.samples import COLUMNS, write_strip
from ml.train.state import RunState
from ml.train.write_model import write_model
from ml.unet import Encoder
from ml.vetting import as_json, vet

PRETRAIN_SHARE = 0.15
LEAST_INPAINT_SHARE = 0.4


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
            _load(opened[0])
        context = opened[0]
        context.state = RunState.open(job.out / "state.json", job)
        STAGES[stage](context)

    return follow


def _lead(job: Job, emitter: Emitter) -> Path:
    """All stages as the one process that writes, or the only one."""
    context = _begin(job, emitter)
    for stage in context.stages:
        _run_stage(context, stage)
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
    _run_stage(context, "pretrain")
    emitter.emit("done", model="pretrain.safetensors", metrics={})
    return context.out


def _begin(job: Job, emitter: Emitter, only: list[str] | None = None) -> Context:
    """What a run starts with: its folder, its state, its pictures. `only` leaves out stages."""
    job.out.mkdir(parents=True, exist_ok=True)
    devices.limit(job.threads, job.nice)
    context = _context(job, emitter, only)
    context.check_disk()
    context.control.check()
    _load(context)
    return context


def _context(job: Job, emitter: Emitter, only: list[str] | None = None) -> Context:
    control = Control(job.out / "cancel", job.exit_with_parent)
    has_weights = installed(job.weights_dir, SQUEEZENET_FILE) is not None
    stages = only or _stages(METHODS[job.method], has_weights)
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


def _stages(method: Method, has_weights: bool) -> list[str]:
    """What the method needs, in order.

    Without weights the pre-trained encoder stands in as the backbone of every method, and the
    vetting needs it too.
    """
    first = ["vet", *(["pretrain"] if method.pretrains else [])]
    if not has_weights:
        first = ["pretrain", "vet"]
    restoring = ["inpaint"] if method.restores else []
    remembering = ["memory"] if method.memory else []
    return [*first, *restoring, *remembering, "calibrate", "evaluate"]


def _load(context: Context) -> None:
    """Open the pictures, note what cannot be used, draw or adjust the split."""
    job, state = context.job, context.state
    wanted = [s for s in job.images if s.id not in job.excluded]
    if not job.images:
        splits.check_enough(0)
    clock = StageClock(context, "load", "pictures")
    clock.progress(0, len(wanted))
    context.pictures = load_pictures(wanted, context.preset.image_size, clock.ticker())
    for id_, reason in context.pictures.unreadable.items():
        context.log("warning", f"Picture {id_} is left out: {reason}")
    state.excluded = {**job.excluded, **state.excluded, **context.pictures.unreadable}
    _settle_split(context)
    context.aligner = aligner = _aligner(context)
    if aligner:
        clock = StageClock(context, "load", "pictures")
        context.pictures = load_pictures(wanted, context.preset.image_size, clock.ticker(), aligner)


def _aligner(context: Context) -> Aligner | None:
    """The product's common pose: fitted once on training normals, then kept."""
    state, path = context.state, context.out / "alignment.safetensors"
    if not keeps_positions(context.job.symmetries):
        return None
    if state.alignment is None:
        normals = context.pictures.subset(state.train[:FIT_ON]).floats()
        aligner, ratio = fit(normals, context.control.check)
        if aligner:
            write_tensors(path, {"template": aligner.template})
        state.alignment, state.aligned = round(ratio, 4), aligner is not None
        context.save_state()
        outcome = "are aligned" if aligner else "are not aligned: it would gain too little"
        context.log("info", f"Pictures {outcome} (normals differ {ratio:.2f} × as much after).")
    return Aligner(**load_file(path)) if state.aligned else None


def _settle_split(context: Context) -> None:
    """Draw the split once; afterwards only take excluded pictures out of it."""
    state = context.state
    usable = [i for i in context.pictures.ids if i not in state.excluded]
    splits.check_enough(len(usable))
    drawn = splits.Split(state.train, state.held_out, state.calibration)
    known = {*drawn.train, *drawn.held_out, *drawn.calibration}
    unknown = set(usable) - known
    split = splits.without(drawn, known - set(usable)) if known else None
    if split is None or unknown:
        if known:
            context.log(
                "warning",
                "The set of pictures changed so much that it is split anew; training starts over.",
            )
            _start_over(context)
        split = splits.draw(usable, state.seed)
    elif split != drawn and "inpaint" in {*state.plan, *state.finished}:
        raise Refused(
            "job_changed",
            "The excluded pictures changed after training had begun; start a new run.",
        )
    state.train, state.held_out, state.calibration = (
        split.train, split.held_out, split.calibration,
    )  # fmt: skip
    context.save_state()


def _start_over(context: Context) -> None:
    context.state.plan.clear()
    context.state.finished.clear()
    for stage in ("pretrain", "inpaint"):
        context.checkpoints.clear(stage)


def _run_stage(context: Context, stage: str) -> None:
    """One stage, unless an earlier attempt finished it."""
    if stage in context.state.finished:
        context.emitter.emit("stage", stage=stage, state="skipped")
        return
    context.control.check()
    context.emitter.emit("stage", stage=stage, state="started")
    together.call(stage)
    STAGES[stage](context)
    context.state.finished.append(stage)
    context.save_state()
    context.emitter.emit("stage", stage=stage, state="finished")


def _pretrain(context: Context) -> None:
    if context.job.encoder:
        _take_encoder(context, context.job.encoder)
        return
    pictures = context.pictures.subset(context.state.train)
    trainer = PretrainTrainer(pictures, context.preset, context.job.seed, context.device)
    # `steps` are those of the inpainting; pre-training gets its usual share of them.
    share = 1.0 if context.stages == ["pretrain"] else PRETRAIN_SHARE
    steps = context.job.steps and max(1, round(share * context.job.steps))
    steps = steps or context.job.plan.get(trainer.name)
    run_steps(context, trainer, share * context.budget_seconds, steps)


def _take_encoder(context: Context, path: Path) -> None:
    """Start from a stored pre-training. Raises Refused where it does not fit the preset."""
    try:
        tensors = load_file(path)
        load_encoder(context.preset, tensors, context.device)
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise Refused("bad_job", f"The encoder {path} cannot be used: {reason}") from error
    if distributed.leads():
        write_tensors(context.out / "pretrain.safetensors", tensors)


def _encoder(context: Context) -> Encoder | None:
    """The pre-trained encoder, where this run has one."""
    if "pretrain" not in context.stages:
        return None
    tensors = load_file(context.out / "pretrain.safetensors")
    return load_encoder(context.preset, tensors, context.device)


def _vet(context: Context) -> None:
    """Score every usable normal against the others; wait, exclude or go on."""
    job, path = context.job, context.out / "vet.json"
    if not (job.vetted and path.exists()):
        clock = StageClock(context, "vet", "pictures")
        items = vet(
            context.pictures, _vet_features(context), job.seed, clock.ticker(), context.device
        )
        clock.keep()
        write_json(path, as_json(items))
        suggested = [i for i in items if i.suggest_exclude]
        context.emitter.emit(
            "vet",
            path="vet.json",
            flagged=sum(i.flagged for i in items),
            suggested=len(suggested),
            total=len(items),
        )
        if job.vetting == "pause" and not job.vetted:
            context.save_state()
            raise WaitingForVetting
        if job.vetting == "exclude" and not job.vetted:
            context.state.excluded |= {i.image: i.reason for i in suggested}
    _settle_after_vetting(context)


def _vet_features(context: Context) -> FeatureExtractor:
    path = installed(context.job.weights_dir, SQUEEZENET_FILE)
    if path:
        return SqueezeNetFeatures(path).to(context.device)
    return scoring_features(None, _encoder(context))


def _settle_after_vetting(context: Context) -> None:
    """Take out what vetting excluded; a split drawn anew needs its pre-training again."""
    state = context.state
    had_pretraining = "pretrain" in state.finished
    _settle_split(context)
    if had_pretraining and "pretrain" not in state.finished:
        _run_stage(context, "pretrain")


def _inpaint(context: Context) -> None:
    pictures = context.pictures.subset(context.state.train)
    encoder = _encoder(context)
    weights = context.job.weights_dir
    target, scoring = consistency_features(weights, encoder), scoring_features(weights, encoder)
    if installed(weights, VGG_FILE) is None:
        context.log("info", f"Without {VGG_FILE}, {target.name} stands in for VGG-16 in L_c.")
    still = context.state.aligned or context.job.symmetries
    trainer = restoration_trainer(
        context.method,
        pictures,
        context.preset,
        context.job.seed,
        context.device,
        encoder,
        target,
        scoring,
        shift=0 if still else context.preset.image_size // 64,
        symmetries=context.job.symmetries,
    )
    seconds = _inpaint_seconds(context, trainer, scoring)
    samples = context.pictures.subset((context.state.held_out or context.state.calibration)[:4])

    def show(step: int) -> None:
        path = f"samples/inpaint-{step:08d}.webp"
        rows = write_strip(trainer, samples, context.out / path)
        context.emitter.emit(
            "samples", stage="inpaint", step=step, path=path, columns=COLUMNS, rows=rows
        )

    steps = context.job.steps or context.job.plan.get(trainer.name)
    run_steps(context, trainer, seconds, steps, show)


def _inpaint_seconds(
    context: Context, trainer: RestorationTrainer, extractor: FeatureExtractor
) -> float:
    """What the budget leaves after the stages before and those that follow."""
    engine = build_engine(context, trainer.averaged_model(), extractor)
    image = context.pictures.floats(slice(0, 1))[0]
    engine.evidence(image)
    started = time.monotonic()
    engine.evidence(image)
    per_picture = time.monotonic() - started
    later = 1.15 * per_picture * (picture_count(context) + 40)
    if context.method.memory:
        later += 2 * memory.TRIAL_SHARE * context.budget_seconds
    spent = sum(s for name, s in context.state.seconds.items() if name != "inpaint")
    left = context.budget_seconds - spent - later
    return max(LEAST_INPAINT_SHARE * context.budget_seconds, left)


def _memory(context: Context) -> None:
    memory.build(context, _encoder(context))


def _calibrate(context: Context) -> None:
    encoder, weights = _encoder(context), context.job.weights_dir
    extractor = scoring_features(weights, encoder).to(context.device)
    model = target = remembering = note = None
    if context.method.restores:
        tensors = load_file(context.out / "inpaint.safetensors")
        model = load_restorer(context.method.name, context.preset, tensors, context.device)
        target = consistency_features(weights, encoder)
    if context.method.memory:
        remembering, note = memory.load(context, encoder)
    engine = build_engine(context, model, extractor, remembering)
    found = calibrate(context, engine, note["pictures"] if note else [])
    # Only what stands in for ImageNet weights is needed again at an inspection.
    kept = encoder.state_dict() if encoder and extractor.stand_in else None
    write_model(context, engine, kept, found, target, note)


def _evaluate(context: Context) -> None:
    folder = context.out / "model"
    metrics = evaluate(context, folder)
    store_metrics(folder, metrics)


STAGES: dict[str, Callable[[Context], None]] = {
    "pretrain": _pretrain,
    "vet": _vet,
    "inpaint": _inpaint,
    "memory": _memory,
    "calibrate": _calibrate,
    "evaluate": _evaluate,
}
