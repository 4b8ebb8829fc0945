"""From the folder that a run left to a model version: once, whole, or not at all."""

import hashlib
import json
from pathlib import Path

import pytest
from django.conf import settings

from inspection.jobs.claim import Claim, LeaseLost, claim
from inspection.models import JobState, ModelVersion, SnapshotImage, TrainingRun
from inspection.services import registering
from inspection.services.models import promote
from inspection.services.registering import BadModelFolder, finish_run
from tests.factories.jobs import make_image, make_run, make_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def held() -> Claim[TrainingRun]:
    run = make_run()
    for name in ("learnt.png", "calibration.png", "odd.png"):
        SnapshotImage.objects.create(snapshot=run.snapshot, image=make_image(), file_name=name)
    taken = claim(TrainingRun, run.pk)
    assert taken is not None
    return taken


@pytest.fixture
def folder(held: Claim[TrainingRun], tmp_path: Path) -> Path:
    """What the training process leaves, without a network in it."""
    learnt, calibration, odd = (
        str(item.image_id) for item in held.job.snapshot.items.order_by("id")
    )
    model = tmp_path / "model"
    model.mkdir()
    (model / "weights.safetensors").write_bytes(b"weights")
    manifest = {
        "format": 1,
        "method": "paper",
        "files": {"weights.safetensors": hashlib.sha256(b"weights").hexdigest()},
        "scoring_backbone": {"name": "ssl_encoder", "stand_in": True},
        "scale": {"low": 0.0, "high": 2.0},
        "calibration": {"n": 40, "scores": [n / 40 for n in range(40)]},
        "images_per_second": 3.0,
    }
    (model / "manifest.json").write_text(json.dumps(manifest))
    state = {"train": [learnt], "calibration": [calibration], "excluded": {odd: "blurred"}}
    (tmp_path / "state.json").write_text(json.dumps(state))
    return tmp_path


def kept_folders() -> set[str]:
    models = Path(settings.MODELS_DIR)
    return {path.name for path in models.iterdir()} if models.exists() else set()


def test_the_first_model_is_active_with_limits_that_its_pictures_can_promise(
    held: Claim[TrainingRun], folder: Path
) -> None:
    version = finish_run(held, folder)
    assert version.state == ModelVersion.State.ACTIVE
    point = version.operating_points.get(in_force=True)
    assert point.alpha_fail == pytest.approx(1 / 41), "40 pictures cannot promise 1 %"
    assert point.alpha_review == pytest.approx(0.05)
    assert point.threshold_fail == pytest.approx(39 / 40)
    assert point.threshold_review < point.threshold_fail
    assert (Path(settings.MODELS_DIR) / version.folder / "weights.safetensors").exists()
    splits = {item.file_name: item.split for item in held.job.snapshot.items.all()}
    assert splits == {"learnt.png": "train", "calibration.png": "calibration", "odd.png": ""}
    assert held.job.snapshot.items.get(file_name="odd.png").reason == "blurred"


def test_a_later_model_waits_for_a_person(folder: Path, held: Claim[TrainingRun]) -> None:
    make_version(held.job.viewpoint)
    assert finish_run(held, folder).state == ModelVersion.State.CANDIDATE


def test_a_first_try_never_judges_by_itself(held: Claim[TrainingRun], folder: Path) -> None:
    file = folder / "model" / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "preset": "tiny"}))
    version = finish_run(held, folder)
    assert version.state == ModelVersion.State.CANDIDATE
    promote(None, version, "there is nothing better yet")
    assert version.state == ModelVersion.State.ACTIVE, "a person may, with a reason"


def test_a_run_is_registered_once(held: Claim[TrainingRun], folder: Path) -> None:
    finish_run(held, folder)
    before = kept_folders()
    with pytest.raises(LeaseLost):
        finish_run(held, folder)
    assert ModelVersion.objects.count() == 1
    assert kept_folders() == before, "the second copy is gone"


def test_a_worker_whose_run_was_given_away_registers_nothing(
    held: Claim[TrainingRun], folder: Path
) -> None:
    before = kept_folders()
    TrainingRun.objects.update(state=JobState.QUEUED, token=None)
    with pytest.raises(LeaseLost):
        finish_run(held, folder)
    assert not ModelVersion.objects.exists()
    assert kept_folders() == before


def test_a_copy_that_breaks_off_leaves_no_half_behind(
    held: Claim[TrainingRun], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, target: Path) -> None:
        target.mkdir()
        raise OSError(28, "No space left on device")

    before = kept_folders()
    monkeypatch.setattr(registering.shutil, "copytree", full)
    with pytest.raises(OSError, match="No space left"):
        finish_run(held, folder)
    assert kept_folders() == before


@pytest.mark.parametrize("damage", ["altered", "missing", "no manifest", "path outside"])
def test_a_model_folder_that_is_not_whole_is_refused(
    held: Claim[TrainingRun], folder: Path, damage: str
) -> None:
    weights, manifest = folder / "model/weights.safetensors", folder / "model/manifest.json"
    if damage == "altered":
        weights.write_bytes(b"other weights")
    elif damage == "missing":
        weights.unlink()
    elif damage == "no manifest":
        manifest.unlink()
    else:
        manifest.write_text(json.dumps({"files": {"../state.json": "0" * 64}}))
    with pytest.raises(BadModelFolder):
        finish_run(held, folder)
    assert not ModelVersion.objects.exists()
