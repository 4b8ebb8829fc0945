"""Two processes train as one would: losses, stops, kills, one model folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import shared_steps
import torch
from conftest import write_job
from safetensors.torch import load_file
from torch import nn

from ml import distributed

Parts = list[dict[str, str]]
ROOT = Path(__file__).parents[3]
TOLERANCE = 0.06
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="gloo over loopback on Linux")


def environment() -> dict[str, str]:
    paths = [str(ROOT), str(Path(__file__).parent)]
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}


@pytest.mark.parametrize("stage", ["pretrain", "inpaint"])
def test_two_processes_follow_one(stage: str) -> None:
    steps = 10
    done = subprocess.run(
        [*TORCHRUN, str(Path(shared_steps.__file__)), stage, str(steps)],
        capture_output=True, text=True, timeout=240, env=environment(), check=True,
    )  # fmt: skip
    (line,) = done.stdout.splitlines()
    found = json.loads(line)
    assert found["processes"] == 2
    assert found["same"], "the processes' weights drifted apart"
    alone, gradients, _ = shared_steps.losses(stage, steps)
    # The first step starts from equal weights: nothing but the order of sums differs.
    assert found["losses"][0] == pytest.approx(alone[0], rel=1e-5)
    assert found["gradients"] == pytest.approx(gradients, rel=2e-3, abs=1e-5)
    # Then AdamW divides each gradient by its own size, which makes rounding in the smallest of
    # them as large as a step; measured are 3 % after ten steps.
    assert found["losses"] == pytest.approx(alone, rel=TOLERANCE)
    assert max(alone) - min(alone) > TOLERANCE * alone[0], "the curve is no flat line"


def lines_of(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    assert process.stdout is not None
    for line in process.stdout:
        yield json.loads(line)


def start(job: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*TORCHRUN, "-m", "ml", "train", "--job", str(job), "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT, env=environment(),
    )  # fmt: skip


def run_until(job: Path, stage: str, step: int) -> tuple[subprocess.Popen[str], list[Any]]:
    """A run, and its events until it is some steps into a stage."""
    process, seen = start(job), []
    for event in lines_of(process):
        seen.append(event)
        if event["event"] == "progress" and event["stage"] == stage and event["step"] >= step:
            break
    return process, seen


def workers(process: subprocess.Popen[str]) -> list[psutil.Process]:
    children = psutil.Process(process.pid).children(recursive=True)
    found = [c for c in children if c.environ().get("RANK") is not None]
    return sorted(found, key=lambda c: int(c.environ()["RANK"]))


@pytest.mark.long
@pytest.mark.timeout(600)
def test_stopped_killed_and_resumed_by_torchrun_ends_in_one_model(
    tmp_path: Path, parts: Parts
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        folder.mkdir()
    uninterrupted = start(write_job(whole, parts, steps=60))
    events = list(lines_of(uninterrupted))
    assert uninterrupted.wait(60) == 0
    started = [e["stage"] for e in events if e["event"] == "stage" and e["state"] == "started"]
    assert started == list(dict.fromkeys(started)), "the lead alone speaks"
    assert [e["event"] for e in events].count("done") == 1

    job = write_job(broken, parts, steps=60)
    stopped, _ = run_until(job, "inpaint", 5)
    stopped.send_signal(signal.SIGTERM)
    rest = list(lines_of(stopped))
    stopped.wait(60)
    assert any(e["event"] == "log" and "checkpoint" in e["message"] for e in rest)
    assert list((broken / "out/checkpoints").glob("inpaint-*/state.safetensors"))

    killed, seen = run_until(job, "inpaint", 12)
    assert any("Continuing inpaint" in e.get("message", "") for e in seen)
    workers(killed)[1].kill()
    list(lines_of(killed))
    assert killed.wait(90) != 0
    assert not (broken / "out/model").exists()

    last = start(job)
    assert [e["event"] for e in lines_of(last)][-1] == "done"
    assert last.wait(60) == 0
    for name in ("inpainting", "encoder"):
        expected = load_file(whole / f"out/model/{name}.safetensors")
        found = load_file(broken / f"out/model/{name}.safetensors")
        assert expected.keys() == found.keys()
        for key, tensor in expected.items():
            torch.testing.assert_close(found[key], tensor, atol=1e-5, rtol=0)
    assert not list((broken / "out").rglob("*.tmp"))


def test_alone_everything_is_as_if_there_were_no_others() -> None:
    rows, model = torch.arange(5), nn.Sequential(nn.BatchNorm1d(3))
    assert (distributed.size(), distributed.rank(), distributed.leads()) == (1, 0, True)
    assert torch.equal(distributed.share(rows), rows)
    assert distributed.synchronised(model, torch.device("cpu")) is model
    assert type(model[0]) is nn.BatchNorm1d
    assert distributed.highest([3, -1]) == [3, -1]
    assert distributed.mean_values({"loss": 2.0}) == {"loss": 2.0}


def test_shared_batch_norm_alone_is_torchs_own() -> None:
    torch.manual_seed(0)
    own, shared = nn.BatchNorm2d(4), distributed.SharedBatchNorm(4)
    for step in range(3):
        x = (3 * torch.randn(5, 4, 3, 3) + step).requires_grad_()
        y = x.detach().clone().requires_grad_()
        weight = torch.randn(5, 4, 3, 3)
        (own(x) * weight).sum().backward()
        (shared(y) * weight).sum().backward()
        torch.testing.assert_close(y.grad, x.grad, atol=1e-5, rtol=1e-4)
    for name, tensor in own.state_dict().items():
        torch.testing.assert_close(shared.state_dict()[name], tensor)
    own.eval(), shared.eval()
    torch.testing.assert_close(shared(x), own(x))
