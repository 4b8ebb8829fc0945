"""A worker that is killed while it unpacks a zip loses nothing and does nothing twice."""

import json
from pathlib import Path

import psutil
import pytest

from inspection.models import Image, JobState, Upload
from inspection.services import uploads
from tests.factories.dataset import DatasetFactory
from tests.factories.files import picture, zipped
from tests.factories.upload import send
from tests.holds import Hold
from tests.processes import Worker, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.django_db(transaction=True)]
MEMBERS = 150


@pytest.fixture
def zip_on_its_way() -> Upload:
    """An upload whose zip waits in the queue."""
    upload = uploads.open_upload(None, dataset=DatasetFactory(), expected_files=1)
    send(upload, "all.zip", zipped({f"{n:03}.png": picture(n) for n in range(MEMBERS)}))
    uploads.close_upload(None, upload)
    return upload


@pytest.fixture
def hold(tmp_path: Path) -> Hold:
    """A worker that is given it waits in the middle of the zip, unless it is killed before."""
    return Hold(tmp_path, "inspection.services.receipts.take", MEMBERS // 2)


def receipts_reach(upload: Upload, count: int) -> None:
    wait_for(lambda: upload.receipts.count() >= count, 60, f"{count} receipts")


def state(upload: Upload) -> str:
    upload.refresh_from_db()
    return upload.state


def assert_whole(upload: Upload) -> None:
    assert upload.receipts.filter(outcome="accepted").count() == MEMBERS
    assert upload.receipts.count() == upload.dataset.items.count() == MEMBERS
    assert Image.objects.count() == MEMBERS


def lines(worker: Worker) -> list[dict]:
    found = [line for line in worker.output().splitlines() if line.startswith("{")]
    return [json.loads(line) for line in found]


def test_a_killed_task_process(worker, zip_on_its_way: Upload, hold: Hold) -> None:
    worker("default", beat=True)
    process = worker("io", **hold.environment)
    receipts_reach(zip_on_its_way, 10)
    for child in psutil.Process(process.process.pid).children():
        child.kill()
    hold.let_go()  # the worker's next task process
    wait_for(lambda: state(zip_on_its_way) == JobState.DONE, 90, "the upload is done")
    assert_whole(zip_on_its_way)
    assert zip_on_its_way.attempt == 2
    own = [one for one in lines(process) if one["job_id"] == str(zip_on_its_way.pk)]
    assert any("unpacking ended: done" in one["message"] for one in own)


def test_a_killed_worker(worker, zip_on_its_way: Upload, hold: Hold) -> None:
    first = worker("io", **hold.environment)
    receipts_reach(zip_on_its_way, 10)
    first.kill_whole()
    worker("io", "default", beat=True)
    wait_for(lambda: state(zip_on_its_way) == JobState.DONE, 90, "the upload is done")
    assert_whole(zip_on_its_way)


def test_a_stopped_worker_hands_over(worker, zip_on_its_way: Upload, hold: Hold) -> None:
    first = worker("io", **hold.environment)
    receipts_reach(zip_on_its_way, 10)
    first.terminate()
    assert state(zip_on_its_way) == JobState.QUEUED
    worker("io", "default", beat=True)
    wait_for(lambda: state(zip_on_its_way) == JobState.DONE, 90, "the upload is done")
    assert_whole(zip_on_its_way)
    assert zip_on_its_way.attempt == 1
