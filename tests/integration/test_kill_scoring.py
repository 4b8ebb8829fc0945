"""A batch is scored to its end whatever is killed, and every picture has exactly one result."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from inspection.models import (
    Batch,
    Image,
    ImageResult,
    Inspection,
    JobState,
    ModelVersion,
    ScoringChunk,
    Verdict,
)
from inspection.services import batches, folder_import
from tests.factories.jobs import media
from tests.factories.pictures import draw_part, png, write_parts
from tests.holds import Hold
from tests.processes import Worker, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.timeout(480)]
StartWorker = Callable[..., Worker]
PICTURES = 48
# A group has 16 pictures at most: one that is held here has others before and behind it.
IN_THE_MIDDLE = PICTURES // 2
PATIENCE_S = 120.0  # a machine that does much else


@pytest.fixture
def hold(tmp_path: Path) -> Hold:
    """A worker that is given it waits in the middle of the chunk, unless it is killed before."""
    return Hold(tmp_path, "inspection.services.scoring._open", IN_THE_MIDDLE)


@pytest.fixture
def batch(version: ModelVersion, tmp_path: Path) -> Batch:
    """A trial batch of good parts in one large chunk."""
    ModelVersion.objects.update(images_per_second=1000.0)
    version.refresh_from_db()
    opened = batches.open_batch(None, version.viewpoint, name="Monday", purpose="trial")
    folder = write_parts(tmp_path / "batch", PICTURES, first_seed=1000)
    folder_import.import_folder(None, batch=opened, folder=folder)
    opened.refresh_from_db()
    return opened


def summary(batch: Batch) -> dict[str, object]:
    return batches.batch_summary(batch)


def finished(batch: Batch) -> bool:
    return summary(batch)["state"] == "done"


def test_a_batch_is_scored_and_its_pictures_can_be_shown(
    batch: Batch, worker: StartWorker, tmp_path: Path
) -> None:
    worker("score")
    wait_for(lambda: finished(batch), PATIENCE_S, "the batch is done")
    told = summary(batch)
    assert told["total"] == PICTURES
    assert told["errors"] == 0
    for result in ImageResult.objects.all()[:3]:
        for key in (result.view_key, result.restored_key, result.heatmap_key, result.map_key):
            assert media(key).stat().st_size > 0
        assert result.p_value is not None
        assert result.infer_ms is not None


def test_kill_9_in_the_middle_of_a_chunk(batch: Batch, worker: StartWorker, hold: Hold) -> None:
    worker("default", beat=True)
    first = worker("score", **hold.environment)
    wait_for(lambda: ImageResult.objects.count() >= 2, PATIENCE_S, "the first results")
    first.kill_whole()
    there = ImageResult.objects.count()
    assert there < PICTURES, "killed in the middle"
    early = dict(ImageResult.objects.values_list("picture_id", "pk"))

    worker("score")
    wait_for(lambda: finished(batch), PATIENCE_S, "the batch is done")
    assert ImageResult.objects.count() == PICTURES
    assert Inspection.objects.exclude(verdict="").count() == PICTURES
    late = dict(ImageResult.objects.values_list("picture_id", "pk"))
    assert {picture: late[picture] for picture in early} == early, "nothing was scored twice"
    assert ScoringChunk.objects.get().attempt == 2


def test_sigterm_in_the_middle_of_a_chunk(batch: Batch, worker: StartWorker, hold: Hold) -> None:
    first = worker("score", **hold.environment)
    wait_for(lambda: ImageResult.objects.count() >= 2, PATIENCE_S, "the first results")
    assert first.terminate() == 0
    assert ScoringChunk.objects.get().attempt == 0, "an orderly stop is no crash"
    worker("score")
    wait_for(lambda: finished(batch), PATIENCE_S, "the batch is done")
    assert ImageResult.objects.count() == PICTURES


def test_a_picture_that_is_damaged_on_the_disk_is_an_error_and_the_others_are_scored(
    version: ModelVersion, worker: StartWorker, tmp_path: Path
) -> None:
    batch = batches.open_batch(None, version.viewpoint, name="Tuesday", purpose="trial")
    folder = write_parts(tmp_path / "few", 2, first_seed=2000)
    (folder / "broken.png").write_bytes(png(draw_part(3000, defect=True)))
    folder_import.import_folder(None, batch=batch, folder=folder)
    broken = Image.objects.get(original_name="broken.png")
    with media(broken.storage_key).open("r+b") as file:
        file.truncate(200)
    worker("score")
    batch.refresh_from_db()
    wait_for(lambda: finished(batch), PATIENCE_S, "the batch is done")
    inspection = Inspection.objects.get(pictures__image=broken)
    assert inspection.verdict == Verdict.ERROR
    assert "broken.png" in inspection.error
    assert Inspection.objects.filter(verdict=Verdict.ERROR).count() == 1


def test_a_model_that_was_altered_on_the_disk_gives_errors_and_never_a_pass(
    batch: Batch, version: ModelVersion, worker: StartWorker
) -> None:
    from django.conf import settings as configured

    for file in (Path(configured.MODELS_DIR) / version.folder).glob("*.safetensors"):
        file.chmod(0o644)
        with file.open("r+b") as content:
            content.seek(-1, os.SEEK_END)
            last = content.read(1)
            content.seek(-1, os.SEEK_END)
            content.write(bytes([last[0] ^ 1]))
    ScoringChunk.objects.update(max_attempts=2)
    worker("score", "default", beat=True)
    wait_for(lambda: finished(batch), PATIENCE_S, "the batch is done")
    assert set(Inspection.objects.values_list("verdict", flat=True)) == {Verdict.ERROR}
    chunk = ScoringChunk.objects.get()
    assert chunk.state == JobState.FAILED
    assert "SHA-256" in chunk.error
