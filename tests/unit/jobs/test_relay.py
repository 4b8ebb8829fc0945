"""How the training process is heard and stopped. The processes here are small scripts that
speak its protocol; the real one is in tests/integration."""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from pytest_django import Settings

from inspection import ml_adapter
from inspection.jobs import shutdown
from inspection.jobs.claim import LeaseLost, claim
from inspection.jobs.lease import Lease
from inspection.jobs.trainer import Trainer, relay
from inspection.models import (
    JobState,
    RunLogLine,
    RunMetric,
    RunSample,
    SnapshotImage,
    TrainingRun,
)
from inspection.services import training
from inspection.services.run_body import run_folder
from tests.factories.jobs import make_image, make_run, media

pytestmark = pytest.mark.django_db(transaction=True)
Speak = Callable[[str], None]

PRELUDE = """
import json, os, signal, sys, time
from pathlib import Path
job = json.loads(Path(sys.argv[1]).read_text())
out = Path(job["out"])
def say(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)
"""


@pytest.fixture(autouse=True)
def _own_times(settings: Settings) -> Iterator[None]:
    settings.JOB_LEASE_S = 10
    settings.JOB_CANCEL_GRACE_S = 60
    yield
    shutdown.reset()


@pytest.fixture
def speaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Speak:
    """`speaks(code)`: this is what the training process does from now on."""

    def use(code: str) -> None:
        script = tmp_path / "trainer.py"
        script.write_text(PRELUDE + dedent(code))
        monkeypatch.setattr(
            ml_adapter, "trainer_command", lambda job: [sys.executable, str(script), str(job)]
        )

    return use


def train(run: TrainingRun) -> TrainingRun:
    training.run_training(run.pk)
    run.refresh_from_db()
    return run


def train_beside(run: TrainingRun, seconds: float) -> threading.Thread:
    """Start to train in a thread, as a worker would, and return once it has begun."""

    def body() -> None:
        from django.db import connection

        training.run_training(run.pk)
        connection.close()

    thread = threading.Thread(target=body)
    thread.start()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        run.refresh_from_db()
        if run.stage:
            return thread
        time.sleep(0.1)
    raise AssertionError("the run never began")


def test_what_the_process_says_is_in_the_rows(speaks: Speak) -> None:
    run = make_run()
    items = [
        SnapshotImage.objects.create(snapshot=run.snapshot, image=make_image(), file_name=name)
        for name in ("fine.png", "odd.png")
    ]
    verdicts = [
        {
            "image": str(item.image_id),
            "score": 0.5,
            "rank": rank,
            "flags": ["blurred"] * odd,
            "flagged": bool(odd),
            "suggest_exclude": bool(odd),
            "nearest": [str(items[0].image_id)] * odd,
            "reason": "It is blurred.",
        }
        for rank, odd, item in ((2, 0, items[0]), (1, 1, items[1]))
    ]
    speaks(f"""
        say("plan", stages=["vet", "pretrain"], resumed=False, device="cpu", backbone="x")
        say("stage", stage="vet", state="started")
        (out / "vet.json").write_text({json.dumps(json.dumps({"items": verdicts}))})
        say("vet", path="vet.json", flagged=1, suggested=1, total=2)
        say("metrics", stage="pretrain", step=1, values={{"loss": 9.0}})
        say("metrics", stage="pretrain", step=1, values={{"loss": 2.0}})
        (out / "samples").mkdir()
        (out / "samples" / "1.webp").write_bytes(b"strip")
        say("samples", stage="pretrain", step=1, path="samples/1.webp", columns=["original"])
        say("progress", stage="pretrain", step=1, steps=10, rate=2.0, unit="step",
            eta_s=5, fraction=0.1, eta_total_s=60)
        say("checkpoint", stage="pretrain", step=1, path="checkpoints/1.pt")
        say("log", level="info", message="one line")
        print("a library that prints")
        say("something new", of="a later version")
        sys.exit(4)
    """)
    run = train(run)
    assert run.state == JobState.PAUSED
    assert run.stages == [
        {"name": "vet", "state": "started"},
        {"name": "pretrain", "state": "waiting"},
    ]
    assert run.progress["fraction"] == 0.1
    assert run.checkpoint["step"] == 1
    assert [m.values for m in RunMetric.objects.filter(run=run)] == [{"loss": 2.0}]
    sample = RunSample.objects.get(run=run)
    assert media(sample.storage_key).read_bytes() == b"strip"
    lines = list(RunLogLine.objects.filter(run=run).values_list("message", flat=True))
    assert lines == ["one line", "a library that prints"]
    worst = run.snapshot.items.get(vet_rank=1)
    assert (worst.file_name, worst.vet_flags, worst.decision) == ("odd.png", ["blurred"], "open")
    assert worst.reason == "It is blurred."
    assert worst.vet_nearest == [str(items[0].image_id)]


def test_a_refusal_fails_the_run_in_the_words_of_the_process(speaks: Speak) -> None:
    speaks("""
        say("error", code="truncated", message="board-7.png is cut off. Upload it again.")
        sys.exit(2)
    """)
    run = train(make_run())
    assert (run.state, run.error_code) == (JobState.FAILED, "truncated")
    assert run.error == "board-7.png is cut off. Upload it again."


def test_a_crash_is_tried_again_and_fails_after_the_last_attempt(speaks: Speak) -> None:
    speaks("raise RuntimeError('a bug of ours')")
    run = train(make_run(max_attempts=2))
    assert (run.state, run.attempt, run.published_at) == (JobState.QUEUED, 1, None)
    told = RunLogLine.objects.filter(run=run).last()
    assert told is not None
    assert "It starts again by itself" in told.message
    run = train(run)
    assert (run.state, run.error_code) == (JobState.FAILED, "trainer_crashed")
    last = RunLogLine.objects.filter(run=run).last()
    assert last is not None
    assert "a bug of ours" in last.message
    assert "by itself" not in last.message, "now a person must act"


def test_numbers_of_before_a_crash_are_not_shown_as_those_of_now(speaks: Speak) -> None:
    speaks("raise RuntimeError('a bug of ours')")
    before = {"fraction": 0.7, "step": 70, "eta_total_s": 20}
    run = train(make_run(progress=before, stage="inpaint"))
    assert (run.progress, run.stage) == ({}, "")


@pytest.mark.parametrize(
    ("checkpoint", "said"),
    [({}, "before its first checkpoint"), ({"stage": "inpaint", "step": 40}, "inpaint, step 40")],
)
def test_the_log_claims_no_checkpoint_that_is_not_there(
    speaks: Speak, checkpoint: dict[str, object], said: str
) -> None:
    speaks("""
        say("plan", stages=["inpaint"], resumed=True)
        sys.exit(75)
    """)
    run = train(make_run(checkpoint=checkpoint))
    told = " ".join(RunLogLine.objects.filter(run=run).values_list("message", flat=True))
    assert said in told


def test_cancel_is_heard_by_a_process_that_looks(speaks: Speak) -> None:
    speaks("""
        say("progress", stage="pretrain", fraction=0.1)
        while not (out / "cancel").exists():
            time.sleep(0.05)
        sys.exit(3)
    """)
    run = make_run()
    thread = train_beside(run, 60)
    training.cancel_run(None, run)
    thread.join(60)
    run.refresh_from_db()
    assert run.state == JobState.CANCELLED


def test_a_process_that_ignores_the_cancel_is_killed(speaks: Speak, settings: Settings) -> None:
    settings.JOB_CANCEL_GRACE_S = 1
    speaks("""
        say("progress", stage="pretrain", fraction=0.1)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(60)
    """)
    run = make_run()
    thread = train_beside(run, 60)
    training.cancel_run(None, run)
    thread.join(60)
    run.refresh_from_db()
    assert run.state == JobState.CANCELLED


def test_a_resumed_run_does_not_see_the_old_cancel(speaks: Speak) -> None:
    speaks('sys.exit(3 if (out / "cancel").exists() else 4)')
    run = make_run(state=JobState.CANCELLED)
    run_folder(run).mkdir(parents=True)
    (run_folder(run) / "cancel").touch()
    training.resume_run(None, run)
    assert train(run).state == JobState.PAUSED


def test_a_worker_that_shuts_down_puts_the_run_back_and_spends_no_attempt(speaks: Speak) -> None:
    speaks("""
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
        say("progress", stage="pretrain", fraction=0.1)
        time.sleep(60)
    """)
    run = make_run()
    thread = train_beside(run, 60)
    shutdown.request()
    thread.join(60)
    run.refresh_from_db()
    assert (run.state, run.attempt) == (JobState.QUEUED, 0)
    assert run.published_at is not None


def test_a_worker_whose_run_was_given_away_kills_its_process_and_writes_nothing(
    speaks: Speak,
) -> None:
    speaks("""
        say("progress", stage="pretrain", fraction=0.1)
        while True:
            time.sleep(0.1)
            say("metrics", stage="pretrain", step=time.time_ns() % 2**30, values={})
    """)
    run = make_run()
    thread = train_beside(run, 60)
    TrainingRun.objects.filter(pk=run.pk).update(
        state=JobState.QUEUED, token=None, lease_expires_at=None
    )
    before = RunMetric.objects.filter(run=run).count()
    thread.join(60)
    assert not thread.is_alive()
    assert RunMetric.objects.filter(run=run).count() == before
    run.refresh_from_db()
    assert run.state == JobState.QUEUED


def test_a_folder_has_one_process_even_when_the_old_worker_was_frozen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inspection.jobs.trainer.LEAVE_S", 3.0)
    folder = tmp_path / "run"
    sleeper = [sys.executable, "-c", "import time; time.sleep(60)", str(folder)]
    old = Trainer(folder, sleeper)
    new = Trainer(folder, [sys.executable, "-c", "pass"])
    assert old.process.wait(30) == -9
    assert new.process.wait(30) == 0


def test_the_last_lines_of_a_process_are_not_lost(tmp_path: Path) -> None:
    class Counter:
        heard = 0

        def hear(self, event: dict[str, object]) -> None:
            self.heard += 1

        def flush(self) -> None: ...

    held = claim(TrainingRun, make_run().pk)
    assert held is not None
    code = 'for n in range(5000): print(\'{"event": "log", "message": "x"}\')'
    trainer, counter = Trainer(tmp_path, [sys.executable, "-c", code]), Counter()
    with Lease(held) as lease:
        assert relay(trainer, held, lease, counter) == 0
    assert counter.heard == 5000


def test_a_lost_lease_is_an_exception_for_who_relays(tmp_path: Path) -> None:
    class Nobody:
        def hear(self, event: dict[str, object]) -> None: ...

        def flush(self) -> None: ...

    held = claim(TrainingRun, make_run().pk)
    assert held is not None
    trainer = Trainer(tmp_path, [sys.executable, "-c", "import time; time.sleep(60)"])
    with Lease(held) as lease:
        held.requeue(count_attempt=True)
        with pytest.raises(LeaseLost):
            relay(trainer, held, lease, Nobody())
    assert trainer.process.poll() is not None
