"""The loop around a trainer: early stop, checkpoints, what is averaged, compiled and refused."""

from __future__ import annotations

import ast
import json
import math
import os
import pickle
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import shared_steps
import torch
from conftest import run_job, write_job, write_parts
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ml.checkpoints import CheckpointFolder
from ml.optimise import CLIP_NORM, EMA_DECAY, WARMUP, Diverged, Optimised, learning_rate
from ml.train import early_stop, loop

Capture = pytest.CaptureFixture[str]
ROOT = Path(__file__).parents[3]
CPU = torch.device("cpu")


@dataclass
class Grey(nn.Module):
    """Restores everything as one grey value."""

    value: float

    def __post_init__(self) -> None:
        super().__init__()

    def forward(self, image: Tensor, mask: Tensor) -> Any:
        return SimpleNamespace(refined=torch.full_like(image, self.value))


class Listed:
    """A trainer whose restorer is as bad as a list says, measure by measure."""

    preset, device = shared_steps.TINY, CPU

    def __init__(self, values: list[float]) -> None:
        self.values, self.measured = values, 0

    def averaged_model(self) -> nn.Module:
        self.measured += 1
        return Grey(self.values[self.measured - 1])

    def result(self) -> dict[str, Tensor]:
        return {"weight": torch.tensor([float(self.measured)])}


def watch(values: list[float], held_out: int = 5) -> early_stop.Watch:
    pictures = shared_steps.pictures()
    pictures.pixels = torch.zeros_like(pictures.pixels)  # so the error is the grey value
    state = SimpleNamespace(held_out=pictures.ids[:held_out])
    context: Any = SimpleNamespace(
        state=state, pictures=pictures, job=SimpleNamespace(seed=1), tiling=None
    )
    return early_stop.Watch(context, Listed(values))


def test_it_stops_after_the_patience_and_keeps_the_best() -> None:
    errors = [0.5, 0.3, *[0.4] * 20]
    seen = watch(errors)
    measures = []
    for step in range(1, 2401):
        measures += [step] * bool(seen.measure(step, 2400))
        if seen.stopped:
            break
    assert measures == [100 * i for i in range(1, 2 + early_stop.PATIENCE + 1)]
    assert seen.best is not None
    assert seen.best[0] == pytest.approx(0.3)
    assert seen.best[1] == 200
    assert seen.best[2]["weight"].tolist() == [2.0]


def test_a_resumed_watch_stops_where_the_uninterrupted_would() -> None:
    errors = [0.5, 0.3, *[0.4] * 20]
    first, again = watch(errors), watch(errors[5:])
    for step in range(100, 600, 100):
        first.measure(step, 2400)
    rest = again.restore({"model.weight": torch.ones(2), **first.tensors()})
    assert set(rest) == {"model.weight"}
    for step in range(600, 2400, 100):
        if not first.stopped:
            first.measure(step, 2400)
            again.measure(step, 2400)
        assert first.stopped == again.stopped
    assert first.stopped
    assert first.tensors().keys() == again.tensors().keys()
    for key, tensor in first.tensors().items():
        assert torch.equal(again.tensors()[key], tensor)


def test_the_last_step_is_measured_and_nothing_without_held_out_normals() -> None:
    assert watch([0.5]).measure(7, 7) == {"held_out_error": pytest.approx(0.5)}
    assert watch([0.5]).measure(7, None) == {}
    assert watch([0.5], held_out=0).measure(7, 7) == {}


def test_the_held_out_error_looks_at_masked_pixels_alone() -> None:
    class Echo(nn.Module):
        def forward(self, image: Tensor, mask: Tensor) -> Any:
            return SimpleNamespace(refined=image + 0.25 * mask + 9 * (1 - mask))

    pictures = shared_steps.pictures()
    masks = torch.zeros(len(pictures), 1, 64, 64)
    masks[..., :16, 8:40] = 1
    found = early_stop.restoration_error(Echo(), pictures, masks, CPU)
    assert found == pytest.approx(0.25, rel=1e-5)


def saver(tmp_path: Path, save_seconds: float) -> tuple[Any, list[int]]:
    shown: list[int] = []
    made = object.__new__(loop._Saver)
    made.last = made.shown = time.monotonic()
    made.cost, made.strip_cost, made.on_checkpoint = save_seconds, 0.0, shown.append
    return made, shown


@pytest.mark.parametrize(
    ("waited", "cost", "at_epoch", "due"),
    [(1, 0, True, False), (4, 0.01, True, True), (4, 0.01, False, False), (61, 0.01, False, True),
     (20, 0.5, True, False), (26, 0.5, True, True), (100, 3, False, False), (151, 3, True, True)],
)  # fmt: skip
def test_checkpoints_come_at_epochs_and_take_a_fiftieth_of_the_time(
    tmp_path: Path, waited: float, cost: float, at_epoch: bool, due: bool
) -> None:
    made, _ = saver(tmp_path, cost)
    made.last -= waited
    assert made.due(20 if at_epoch else 21, 10) is due


def test_the_moving_average_clipping_and_cosine() -> None:
    model = nn.Linear(2, 1, bias=False)
    optimised = Optimised(model, peak=0.1, weight_decay=0)
    average = model.weight.detach().clone()
    for step in range(40):
        norm = optimised.update(1e4 * model(torch.ones(1, 2)).sum(), step, 40)
        assert norm == pytest.approx(1e4 * math.sqrt(2), rel=1e-4)
        assert model.weight.grad is not None
        assert float(model.weight.grad.norm()) == pytest.approx(CLIP_NORM, rel=1e-4)
        decay = min(EMA_DECAY, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * model.weight.detach()
        torch.testing.assert_close(optimised.average["weight"], average)
    rates = [learning_rate(step, 200, 1.0) for step in range(201)]
    assert rates[0] == pytest.approx(1 / WARMUP)
    assert max(rates) == rates[WARMUP] == 1
    assert rates[(WARMUP + 200) // 2] == pytest.approx(0.02 + 0.98 / 2)
    assert rates[200] == pytest.approx(0.02)
    assert all(a >= b for a, b in zip(rates[WARMUP:], rates[WARMUP + 1 :], strict=False))


class Normed(nn.Module):
    """One weight behind a batch's running statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.line = nn.BatchNorm1d(2), nn.Linear(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.line(self.norm(x)))


def steps_of(inputs: list[Tensor]) -> Optimised:
    torch.manual_seed(4)
    optimised = Optimised(Normed(), peak=0.1)
    for step, one in enumerate(inputs):
        optimised.update(optimised.model(one).square().sum(), step, 40)
    return optimised


def test_a_step_whose_gradient_is_not_finite_changes_nothing() -> None:
    fine = [torch.randn(4, 2, generator=torch.Generator().manual_seed(i)) for i in range(30)]
    before = steps_of(fine[:25])
    spoilt = torch.full((4, 2), torch.inf)
    after = steps_of([*fine[:25], spoilt, spoilt])
    assert after.skipped == 2
    mine, theirs = before.tensors(), after.tensors()
    assert mine.keys() == theirs.keys()
    for name, tensor in mine.items():
        assert torch.isfinite(theirs[name]).all(), name
        if "running" not in name and "num_batches" not in name:
            assert torch.equal(tensor, theirs[name]), name
    after.update(after.model(fine[26]).square().sum(), 27, 40)
    assert after.in_a_row == 0


def test_training_that_diverged_ends_with_a_sentence() -> None:
    fine = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    spoilt = torch.full((4, 2), torch.nan)
    assert steps_of([fine, *[spoilt] * 19, fine, *[spoilt] * 19]).skipped == 38
    with pytest.raises(Diverged, match="in 20 steps in a row the gradient was not finite"):
        steps_of([fine, *[spoilt] * 20])


def test_skipped_steps_are_told_and_a_run_that_diverged_is_refused(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = write_job(tmp_path, write_parts(tmp_path / "parts", 60), steps=30)
    update = Optimised.update
    spoilt: Any = range(5, 7)

    def sometimes(self: Optimised, loss: Tensor, step: int, steps: int | None) -> float:
        return update(self, loss * math.nan if step in spoilt else loss, step, steps)

    monkeypatch.setattr(Optimised, "update", sometimes)
    status, events = run_job(job, capsys)
    assert status == 0
    (told,) = [e for e in events if e.get("level") == "warning"]
    assert told["message"] == "2 steps of inpaint were skipped: their gradient was not finite."
    spoilt = range(5, 40)
    other = tmp_path / "other"
    other.mkdir()
    images = json.loads(job.read_text())["images"]
    status, events = run_job(write_job(other, images, steps=30), capsys)
    assert (status, events[-1]["event"], events[-1]["code"]) == (2, "error", "diverged")


@pytest.mark.long
def test_compiled_parts_give_the_same_steps_and_a_failure_is_only_told() -> None:
    plain, compiled, broken = (shared_steps.trainer("inpaint") for _ in range(3))
    buffers = {k: v.clone() for k, v in compiled.model.named_buffers()}
    assert compiled.compile(backend="aot_eager") is None
    assert all(torch.equal(v, buffers[k]) for k, v in compiled.model.named_buffers())
    note = broken.compile(backend="there is no such backend")
    assert note is not None
    assert note.startswith("Training goes on uncompiled")
    for step in range(2):
        expected = plain.train_step(step, 2)
        assert broken.train_step(step, 2) == expected
        assert compiled.train_step(step, 2) == pytest.approx(expected, rel=1e-3)
    assert compiled.optimised.tensors().keys() == plain.optimised.tensors().keys()


def test_nothing_in_ml_can_load_a_pickle() -> None:
    loads = {"pickle", "dill", "joblib", "shelve", "marshal", "cloudpickle"}
    for path in (ROOT / "ml").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {a.name.split(".")[0] for a in node.names}
                if isinstance(node, ast.ImportFrom):
                    names.add((node.module or "").split(".")[0])
                assert not names & loads, path
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                called = f"{node.value.id}.{node.attr}"
                assert called not in {"torch.load", "torch.save", "torch.hub"}, path
                assert not called.endswith("_object_list"), path
                if called in {"np.load", "numpy.load"}:
                    assert "allow_pickle=True" not in path.read_text(), path


def test_a_checkpoint_with_a_pickle_is_refused(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    saved = folder.save("inpaint", 3, {"weight": torch.ones(2)})
    assert torch.equal(saved.tensors()["weight"], torch.ones(2))
    (saved.path / "optimizer.pt").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ValueError, match=r"optimizer\.pt"):
        saved.tensors()
    (saved.path / "optimizer.pt").unlink()
    (saved.path / "state.safetensors").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(SafetensorError):
        saved.tensors()


def test_the_last_two_checkpoints_are_kept_and_half_written_ones_go(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    for step in (3, 6, 9):
        folder.save("inpaint", step, {"weight": torch.full((2,), float(step))})
    assert [c.step for c in folder.all()] == [6, 9]
    (tmp_path / ".tmp-inpaint-00000012").mkdir()
    latest = CheckpointFolder(tmp_path).latest("inpaint")
    assert latest is not None
    assert latest.step == 9
    assert not list(tmp_path.glob(".tmp*"))


@pytest.mark.long
def test_kill_9_with_early_stop_ends_like_an_uninterrupted_run(tmp_path: Path) -> None:
    images = write_parts(tmp_path / "parts", 110)  # enough for held-out normals
    script = tmp_path / "train.py"
    script.write_text(EAGER_TO_STOP)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

    def events_until(folder: str, event: str, **fields: Any) -> list[dict[str, Any]]:
        """Run until an event of the inpainting, then kill -9."""
        (tmp_path / folder).mkdir(exist_ok=True)
        job = write_job(tmp_path / folder, images, steps=80, method="paper")
        command = [sys.executable, str(script), "--job", str(job), "--json"]
        seen: list[dict[str, Any]] = []
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
        ) as run:
            for line in run.stdout or ():
                seen.append(json.loads(line))
                if {"event": event, "stage": "inpaint", **fields}.items() <= seen[-1].items():
                    break
            run.kill()
        return seen

    def kept(events: list[dict[str, Any]]) -> list[str]:
        return [m for e in events if "kept are the weights" in (m := e.get("message", ""))]

    whole = events_until("whole", "stage", state="finished")
    assert len(kept(whole)) == 1
    assert "stopped early" in kept(whole)[0]
    events_until("broken", "checkpoint", step=7)
    assert not (tmp_path / "broken/out/inpaint.safetensors").exists()
    resumed = events_until("broken", "stage", state="finished")
    assert any("Continuing inpaint at step 7." in e.get("message", "") for e in resumed)
    assert kept(resumed) == kept(whole)
    expected, found = (
        load_file(tmp_path / folder / "out/inpaint.safetensors") for folder in ("whole", "broken")
    )
    for key, tensor in expected.items():
        torch.testing.assert_close(found[key], tensor, atol=1e-5, rtol=0)


# Measures every second step; the error grows with the weights' way, so an early one is best.
EAGER_TO_STOP = """
import itertools, sys
from ml.train import early_stop, loop
early_stop.MEASURES, early_stop.LEAST_STEPS, early_stop.PATIENCE = 1000, 2, 9
loop.CHECKPOINT_SECONDS, loop.CHECKPOINT_SHARE = 0.0, 1e9
measure = early_stop.restoration_error
def grows_with_the_way(restorer, *rest):
    moved = restorer.refinement.decoder.head.weight.abs().sum().item()
    return measure(restorer, *rest) + 1e3 * moved
early_stop.restoration_error = grows_with_the_way
from ml.commands.train import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_run_with_held_out_normals_tells_their_error(tmp_path: Path, capsys: Capture) -> None:
    images = write_parts(tmp_path / "parts", 105)
    status, events = run_job(write_job(tmp_path, images, steps=3), capsys)
    assert status == 0
    told = [e["values"] for e in events if e["event"] == "metrics" and e["stage"] == "inpaint"]
    assert told[-1]["held_out_error"] > 0
    assert any("kept are the weights of step 3" in e.get("message", "") for e in events)
