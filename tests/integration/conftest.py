"""A product with pictures, and a model that a real training process made."""

import subprocess
import sys
from pathlib import Path

import pytest

from inspection.jobs.claim import claim
from inspection.models import ModelVersion, TrainingRun, Viewpoint
from inspection.services import models, products, training
from tests.factories.pictures import upload_good_parts, write_parts

GOOD_PARTS = 64


@pytest.fixture
def viewpoint(transactional_db: None, empty_queues: None, tmp_path: Path) -> Viewpoint:
    """A product whose good parts are enough to train on."""
    product = products.create_product(None, code="KILL-1", name="Relay board")
    made = product.viewpoints.get()
    upload_good_parts(made, tmp_path / "good", GOOD_PARTS)
    return made


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of one real training run of a few steps."""
    folder = tmp_path_factory.mktemp("tiny")
    write_parts(folder / "good", GOOD_PARTS)
    command = [sys.executable, "-m", "ml", "train", "--data", str(folder / "good")]
    command += ["--out", str(folder / "out"), "--preset", "tiny", "--steps", "4", "--json"]
    command += ["--threads", "1", "--weights", "none"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout[-2000:]
    # Started by hand the process knows file names; the app has ids, and other pictures.
    (folder / "out" / "state.json").write_text('{"train": [], "calibration": []}')
    return folder / "out"


@pytest.fixture
def version(viewpoint: Viewpoint, tiny_model: Path) -> ModelVersion:
    """`tiny_model`, registered, and promoted by a person to judge `viewpoint`."""
    run = training.start_run(None, viewpoint, preset="tiny", budget_minutes=1)
    held = claim(TrainingRun, run.pk)
    assert held is not None
    made = training.finish_run(held, tiny_model)
    models.promote(None, made, "a first try is enough for these tests")
    return made
