"""What is deleted after a while, and what must never be."""

import os
import time
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from pytest_django import Settings

from inspection.errors import WrongState
from inspection.models import JobState, UploadArchive
from inspection.models.upload import Upload
from inspection.services import tidying, uploads
from inspection.services.run_body import run_folder
from tests.factories.jobs import make_run, make_version, make_viewpoint

pytestmark = pytest.mark.django_db
DAY = 86400


@pytest.fixture(autouse=True)
def _folders(settings: Settings, tmp_path: Path) -> None:
    settings.STAGING_DIR, settings.MODELS_DIR = tmp_path / "staging", tmp_path / "models"
    settings.RUNS_DIR = tmp_path / "runs"


def old(path: Path, days: float = 3) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir() if not path.suffix else path.write_bytes(b"x")
    then = time.time() - days * DAY
    os.utime(path, (then, then))
    return path


@pytest.mark.parametrize(
    ("state", "days", "kept"),
    [
        (JobState.DONE, 8, False),
        (JobState.DONE, 6, True),
        (JobState.FAILED, 80, True),
        (JobState.CANCELLED, 80, True),
    ],
)
def test_checkpoints_go_a_week_after_the_run_was_done(
    state: JobState, days: int, kept: bool
) -> None:
    run = make_run(state=state, finished_at=timezone.now() - timedelta(days=days))
    checkpoints = run_folder(run) / "checkpoints"
    checkpoints.mkdir(parents=True)
    tidying.tidy()
    assert checkpoints.exists() == kept
    assert run_folder(run).exists(), "the log and the splits stay"


def test_a_model_folder_goes_only_when_no_version_names_it(settings: Settings) -> None:
    version = make_version()
    known = old(settings.MODELS_DIR / version.folder)
    left_over = old(settings.MODELS_DIR / "nobody")
    just_copied = old(settings.MODELS_DIR / "just-now", days=0)
    tidying.tidy()
    assert (known.exists(), left_over.exists(), just_copied.exists()) == (True, False, True)


def test_staged_files_go_unless_an_archive_still_waits(settings: Settings) -> None:
    viewpoint = make_viewpoint()
    upload = Upload.objects.create(dataset=viewpoint.datasets.get(), state=JobState.QUEUED)
    waiting, broken_off = (old(settings.STAGING_DIR / name) for name in ("a.zip", "b.zip"))
    UploadArchive.objects.create(
        upload=upload, client_key="a", file_name="a.zip", path="a.zip", size_bytes=1
    )
    tidying.tidy()
    assert (waiting.exists(), broken_off.exists()) == (True, False)


def test_a_zip_that_was_tidied_away_has_a_receipt_that_says_what_to_do(settings: Settings) -> None:
    upload = Upload.objects.create(
        dataset=make_viewpoint().datasets.get(), state=JobState.FAILED, error_code="disk_full"
    )
    for name in ("gone.zip", "here.zip"):
        UploadArchive.objects.create(
            upload=upload, client_key=name, file_name=name, path=name, size_bytes=1
        )
    old(settings.STAGING_DIR / "gone.zip")
    old(settings.STAGING_DIR / "here.zip", days=0)
    tidying.tidy()
    receipt = upload.receipts.get()
    assert (receipt.client_key, receipt.code) == ("gone.zip", "archive_gone")
    assert "Send it again" in receipt.message
    assert uploads.can_go_on(upload), "the other one still waits"
    (settings.STAGING_DIR / "here.zip").unlink()
    tidying.tidy()
    assert not uploads.can_go_on(upload)
    with pytest.raises(WrongState, match="Drop it again"):
        uploads.resume_upload(None, upload)
