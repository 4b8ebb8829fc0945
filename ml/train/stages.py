"""The stages of a run, each on what the earlier ones left in its folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ml import distributed
from ml.barlow_twins.trainer import PretrainTrainer, load_encoder
from ml.checkpoints import write_json, write_tensors
from ml.features import (
    SQUEEZENET_FILE,
    VGG_FILE,
    FeatureExtractor,
    SqueezeNetFeatures,
    consistency_features,
    installed,
    learning_features,
    scoring_features,
)
from ml.methods import RestorationTrainer, load_restorer, restoration_trainer
from ml.train import memory, tiles, together
from ml.train.calibrate import build_engine, calibrate, picture_count
from ml.train.calibrate_tiles import calibrate_tiles, tile_count
from ml.train.context import Context, StageClock
from ml.train.control import WaitingForVetting
from ml.train.evaluate import evaluate, store_metrics
from ml.train.evaluate_tiles import evaluate_tiles
from ml.train.job import Refused
from ml.train.load import settle_split
from ml.train.loop import run_steps
from ml.train.samples import COLUMNS, write_strip
from ml.train.write_model import write_model
from ml.unet import Encoder
from ml.vetting import as_json, vet

PRETRAIN_SHARE = 0.15
LEAST_INPAINT_SHARE = 0.4


def run_stage(context: Context, stage: str) -> None:
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
    pictures = tiles.learnt(context)
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
    settle_split(context)
    if had_pretraining and "pretrain" not in state.finished:
        run_stage(context, "pretrain")


def _inpaint(context: Context) -> None:
    pictures = tiles.learnt(context)
    encoder = _encoder(context)
    weights = context.job.weights_dir
    target, learning = learning_features(weights, encoder)
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
        learning,
        shift=0 if still else context.preset.image_size // 64,
        symmetries=context.job.symmetries,
    )
    scoring = scoring_features(weights, encoder)
    seconds = _inpaint_seconds(context, trainer, scoring, pictures.floats(slice(0, 1))[0])
    samples = tiles.shown(context, (context.state.held_out or context.state.calibration)[:4])

    def show(step: int) -> None:
        path = f"samples/inpaint-{step:08d}.webp"
        rows = write_strip(trainer, samples, context.out / path)
        context.emitter.emit(
            "samples", stage="inpaint", step=step, path=path, columns=COLUMNS, rows=rows
        )

    steps = context.job.steps or context.job.plan.get(trainer.name)
    run_steps(context, trainer, seconds, steps, show)
    context.pool = None  # nothing learns from the tiles any more


def _inpaint_seconds(
    context: Context, trainer: RestorationTrainer, extractor: FeatureExtractor, image: Tensor
) -> float:
    """What the budget leaves after the stages before and those that follow."""
    engine = build_engine(context, trainer.averaged_model(), extractor)
    engine.evidence(image)
    started = time.monotonic()
    engine.evidence(image)
    per_picture = time.monotonic() - started
    later = 1.15 * per_picture * (_looks(context) + 40)
    if context.method.memory:
        later += 2 * memory.TRIAL_SHARE * context.budget_seconds
    spent = sum(s for name, s in context.state.seconds.items() if name != "inpaint")
    left = context.budget_seconds - spent - later
    return max(LEAST_INPAINT_SHARE * context.budget_seconds, left)


def _looks(context: Context) -> int:
    """How often the calibration will restore a square."""
    return tile_count(context) if context.tiling else picture_count(context)


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
    remembered = note["pictures"] if note else []
    work = calibrate_tiles if context.tiling else calibrate
    found = work(context, engine, remembered)
    # Only what stands in for ImageNet weights is needed again at an inspection.
    kept = encoder.state_dict() if encoder and extractor.stand_in else None
    write_model(context, engine, kept, found, target, note)


def _evaluate(context: Context) -> None:
    folder = context.out / "model"
    metrics = (evaluate_tiles if context.tiling else evaluate)(context, folder)
    store_metrics(folder, metrics)


STAGES: dict[str, Callable[[Context], None]] = {
    "pretrain": _pretrain,
    "vet": _vet,
    "inpaint": _inpaint,
    "memory": _memory,
    "calibrate": _calibrate,
    "evaluate": _evaluate,
}
