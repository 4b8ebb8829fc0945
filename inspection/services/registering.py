"""From the folder that a training run left to a model version that may judge."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from inspection import ml_adapter
from inspection.ids import new_id
from inspection.jobs.claim import Claim, LeaseLost
from inspection.models import (
    JobState,
    ModelVersion,
    OperatingPoint,
    SnapshotImage,
    TrainingRun,
)

from . import outbox
from .audit import record
from .datasets import freeze
from .locking import lock_row
from .models import calibration_scores, default_alphas

State = ModelVersion.State
Split = SnapshotImage.Split


class BadModelFolder(Exception):
    """The training process left a model that cannot be used; the message says why."""


def finish_run(held: Claim[TrainingRun], folder: Path) -> ModelVersion:
    """Register the model in `folder`/model and end the run, once, in one transaction.

    Raises BadModelFolder when a file is missing or altered, LeaseLost when the run is no
    longer ours (somebody else registers it); neither leaves anything behind.
    """
    manifest_text, manifest = read_manifest(folder / "model")
    version_id = new_id()
    kept = _copy_model(folder / "model", version_id)
    try:
        with transaction.atomic():
            if not held.finish(JobState.DONE, error="", error_code=""):
                raise LeaseLost(str(held.id))
            version = _create_version(held.job, version_id, manifest, manifest_text)
            _create_operating_point(version)
            _activate_first(version)
            _write_splits(held.job, folder)
            freeze(held.job.snapshot)
            record(None, "model.registered", version, product=version.viewpoint.product)
            outbox.run_finished(TrainingRun.objects.get(pk=held.id))
    except BaseException:
        shutil.rmtree(kept, ignore_errors=True)
        raise
    return version


def read_manifest(folder: Path) -> tuple[bytes, dict[str, Any]]:
    """The manifest of a model folder, once every file has the SHA-256 that it names."""
    try:
        text = (folder / "manifest.json").read_bytes()
        manifest: dict[str, Any] = json.loads(text)
        for name, sha256 in manifest["files"].items():
            if Path(name).name != name or _sha256(folder / name) != sha256:
                raise BadModelFolder(
                    f"The file {name} of the trained model is not what its list says."
                )
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise BadModelFolder(
            f"The training process left no usable model ({error}). Resume the run to try again."
        ) from error
    return text, manifest


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _copy_model(source: Path, version_id: UUID) -> Path:
    """Copy to the models folder under a name that appears only when it is whole."""
    models = Path(settings.MODELS_DIR)
    models.mkdir(parents=True, exist_ok=True)
    part, final = models / f".{version_id}.part", models / str(version_id)
    try:
        shutil.copytree(source, part)
    except OSError:  # a full disk must not stay full of halves
        shutil.rmtree(part, ignore_errors=True)
        raise
    part.rename(final)
    return final


def _create_version(
    run: TrainingRun, version_id: UUID, manifest: dict[str, Any], text: bytes
) -> ModelVersion:
    viewpoint = run.viewpoint
    lock_row(viewpoint)
    last = viewpoint.model_versions.aggregate(last=Max("number"))["last"] or 0
    backbone = manifest["scoring_backbone"]
    return ModelVersion.objects.create(
        id=version_id,
        viewpoint=viewpoint,
        number=last + 1,
        training_run=run,
        method=manifest.get("method", run.method),
        folder=str(version_id),
        manifest=manifest,
        manifest_sha256=hashlib.sha256(text).hexdigest(),
        scoring_backbone=backbone["name"],
        backbone_is_stand_in=backbone["stand_in"],
        scale_low=manifest["scale"]["low"],
        scale_high=manifest["scale"]["high"],
        images_per_second=manifest.get("images_per_second"),
    )


def _create_operating_point(version: ModelVersion) -> OperatingPoint:
    scores = calibration_scores(version)
    fail, review = default_alphas(len(scores))
    return OperatingPoint.objects.create(
        model_version=version,
        number=1,
        alpha_fail=fail,
        alpha_review=review,
        threshold_fail=ml_adapter.threshold(scores, fail),
        threshold_review=ml_adapter.threshold(scores, review),
        reason="set by the calibration pictures",
        author=version.training_run.started_by,
    )


def _activate_first(version: ModelVersion) -> None:
    """The first model of a viewpoint judges at once; a later one waits for a person, and so
    does a first try, which is not made to judge production."""
    if version.is_first_try:
        return
    if version.viewpoint.model_versions.filter(state=State.ACTIVE).exists():
        return
    version.state = State.ACTIVE
    version.promoted_at = timezone.now()
    version.save(update_fields=["state", "promoted_at"])
    record(
        None,
        "model.promoted",
        version,
        product=version.viewpoint.product,
        after={"model": str(version)},
        reason="first model",
    )
    outbox.model_promoted(version, None, "first model")


def _write_splits(run: TrainingRun, folder: Path) -> None:
    """How each picture was used, as the process wrote it down in state.json."""
    state = json.loads((folder / "state.json").read_text())
    _mark(run, [*state["train"], *state.get("held_out", [])], Split.TRAIN)
    _mark(run, state["calibration"], Split.CALIBRATION)
    undecided = run.snapshot.items.exclude(decision=SnapshotImage.Decision.EXCLUDED)
    for image, reason in state.get("excluded", {}).items():
        undecided.filter(image_id=image).update(
            decision=SnapshotImage.Decision.EXCLUDED, reason=str(reason)[:300]
        )


def _mark(run: TrainingRun, images: list[str], split: SnapshotImage.Split) -> None:
    for start in range(0, len(images), 500):
        run.snapshot.items.filter(image_id__in=images[start : start + 500]).update(split=split)
