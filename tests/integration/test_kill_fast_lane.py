"""Single units survive the death of the worker that scores them: one verdict each, none lost."""

from collections.abc import Callable
from pathlib import Path

import pytest
from kombu.exceptions import OperationalError

from inspection.jobs import publish
from inspection.models import (
    Batch,
    Image,
    ImageResult,
    Inspection,
    JobState,
    Lane,
    ModelVersion,
    ScoringChunk,
)
from inspection.services import batches, folder_import
from tests.factories.jobs import media
from tests.factories.pictures import write_parts
from tests.factories.submission import make_asked, make_sender, send
from tests.holds import Hold
from tests.processes import Worker, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.timeout(480)]
StartWorker = Callable[..., Worker]
PATIENCE_S = 120.0
OPEN = "inspection.services.scoring._open"  # called once for each picture


@pytest.fixture
def batch(version: ModelVersion, tmp_path: Path) -> Batch:
    """A trial batch in one chunk that takes a while."""
    ModelVersion.objects.update(images_per_second=1000.0)
    version.refresh_from_db()
    opened = batches.open_batch(None, version.viewpoint, name="Monday", purpose="trial")
    folder_import.import_folder(
        None, batch=opened, folder=write_parts(tmp_path / "batch", 60, first_seed=1000)
    )
    opened.refresh_from_db()
    return opened


def submit(version: ModelVersion, count: int) -> list[Inspection]:
    sender, images = make_sender(version), list(Image.objects.order_by("id")[:count])
    return [send(sender, make_asked(version, images=[image])).inspection for image in images]


def scores(batch: Batch) -> dict[object, float | None]:
    return dict(Inspection.objects.filter(batch=batch).values_list("pictures__image", "score"))


def test_kill_9_while_units_are_scored(
    version: ModelVersion, worker: StartWorker, tmp_path: Path
) -> None:
    worker("default", beat=True)
    first = worker("fast", "score", **Hold(tmp_path, OPEN, 30).environment)
    units = submit(version, 40)
    wait_for(lambda: ImageResult.objects.count() >= 3, PATIENCE_S, "the first verdicts")
    first.kill_whole()
    there = set(ImageResult.objects.values_list("pk", flat=True))
    assert len(there) < 40, "killed in the middle"

    worker("fast", "score")
    waiting = Inspection.objects.filter(verdict="")
    wait_for(lambda: not waiting.exists(), PATIENCE_S, "every unit has a verdict")
    results = ImageResult.objects.values_list("pk", flat=True)
    assert there <= set(results), "nothing was scored anew"
    assert len(results) == len(units) == 40
    assert set(Inspection.objects.values_list("verdict", flat=True)) <= {"Passed", "Failed"}
    done = ScoringChunk.objects.filter(lane=Lane.FAST, state=JobState.DONE)
    # A verdict is there a moment before its chunk has ended; a chunk whose worker was killed
    # between the two is ended by the next one.
    wait_for(lambda: done.count() == 40, PATIENCE_S, "every chunk has ended")
    assert done.filter(attempt__gt=2).count() == 0


def test_a_unit_whose_message_was_never_sent_needs_no_reaper(
    version: ModelVersion, worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(publish.app, "send_task", refuse)
    submit(version, 2)
    monkeypatch.undo()
    assert not ScoringChunk.objects.exclude(published_at=None).exists()
    worker("fast", "score")
    waiting = Inspection.objects.filter(verdict="")
    wait_for(lambda: not waiting.exists(), PATIENCE_S, "both have verdicts")


def test_a_batch_that_units_interrupt_ends_as_one_that_nobody_interrupts(
    version: ModelVersion, batch: Batch, worker: StartWorker, tmp_path: Path
) -> None:
    again = batches.open_batch(None, version.viewpoint, name="Again", purpose="trial")
    for item in Inspection.objects.filter(batch=batch).order_by("id"):
        image = item.pictures.get().image
        batches.add_image(again, image, image.original_name)
    hold = Hold(tmp_path, OPEN, 30)  # the batch does not end before there are units
    started = worker("fast", "score", **hold.environment)
    wait_for(lambda: ImageResult.objects.exists(), PATIENCE_S, "the batch is under way")
    units = submit(version, 10)
    hold.let_go()
    done = Inspection.objects.filter(pk__in=[unit.pk for unit in units]).exclude(verdict="")
    wait_for(lambda: done.count() == 10, PATIENCE_S, "the units have verdicts")
    last = max(unit.completed_at for unit in done if unit.completed_at)
    rest = Inspection.objects.filter(batch=batch)
    wait_for(lambda: not rest.filter(verdict="").exists(), PATIENCE_S, "the batch is done")
    assert rest.filter(completed_at__gt=last).exists(), "the units went before the rest of it"

    batches.seal(None, again)
    calm = Inspection.objects.filter(batch=again)
    wait_for(lambda: not calm.filter(verdict="").exists(), PATIENCE_S, "the calm batch is done")
    assert scores(batch) == scores(again)
    for one in rest:
        other = calm.get(pictures__image=one.pictures.get().image)
        ours, theirs = one.results.get(), other.results.get()
        assert ours.scores == theirs.scores
        assert media(ours.map_key).read_bytes() == media(theirs.map_key).read_bytes()
    assert started.process.poll() is None
