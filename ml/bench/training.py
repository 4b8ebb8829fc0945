"""Training one row in a process of its own, so that its crash costs one row and not the table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml
from ml.bench.dataset import BenchSet
from ml.bench.rows import locked
from ml.checkpoints import write_json

POLL_SECONDS = 0.2
STOP_SECONDS = 60.0  # a step and a checkpoint fit into it
INTERRUPTED = 75

Event = dict[str, Any]


class TrainingFailed(Exception):
    """A run that left no model; the message is the trainer's own."""


@dataclass(frozen=True)
class Recipe:
    """How every run of a bench is trained."""

    preset: str
    budget_minutes: float
    steps: int | None
    weights: Path | None
    threads: int
    device: str


def train_row(
    folder: Path,
    data: BenchSet,
    method: str,
    seed: int,
    recipe: Recipe,
    say: Callable[[Event], None],
    plan: Mapping[str, int] | None = None,
) -> Path:
    """Train in `folder`, or go on where an earlier attempt ended; returns the model's folder.

    plan: steps by stage, where the budget was turned into steps by an earlier run. Every event of
    the trainer is handed to `say`. The folder stays locked while the trainer lives, even after
    the bench was killed, so that no two trainers share it. Raises
    TrainingFailed.
    """
    with locked(folder) as lock:
        job = _write_job(folder, data, method, seed, recipe, plan or {})
        said, errors = folder / "events.jsonl", folder / "stderr.txt"
        with said.open("wb") as output, errors.open("wb") as complaints:
            process = subprocess.Popen(
                [sys.executable, "-m", "ml", "train", "--job", str(job), "--json"],
                stdin=subprocess.DEVNULL,
                stdout=output,  # a file: a pipe would break, and the trainer with it, on a kill
                stderr=complaints,
                env=_environment(),
                pass_fds=[lock],
                process_group=0,  # Ctrl-C is for the bench, which passes it on as SIGTERM
            )
        reason = ""
        try:
            for event in _follow(process, said):
                say(event)
                if event.get("event") == "error":
                    reason = str(event.get("message"))
        except BaseException:
            _stop(process)
            raise
    if process.returncode != 0:
        raise TrainingFailed(reason or _last_line(errors, process.returncode))
    return folder / "model"


def _write_job(
    folder: Path,
    data: BenchSet,
    method: str,
    seed: int,
    recipe: Recipe,
    plan: Mapping[str, int],
) -> Path:
    job = {
        "out": str(folder),
        "images": [
            {"id": path.relative_to(data.root).as_posix(), "path": str(path)} for path in data.train
        ],
        "method": method,
        "preset": recipe.preset,
        "seed": seed,
        "budget_minutes": recipe.budget_minutes,
        "steps": recipe.steps,
        "plan": dict(plan),
        "device": recipe.device,
        "threads": recipe.threads,
        "weights_dir": str(recipe.weights.resolve()) if recipe.weights else None,
        "few": True,  # a published set is as small as it is
        "vetting": "skip",  # every method learns from the set as it was published
        "min_free_gb": 1.0,
        "exit_with_parent": True,
    }
    path = folder / "job.json"
    write_json(path, job)
    return path


def _environment() -> dict[str, str]:
    """The child finds this very package, wherever it is started."""
    above = str(Path(ml.__path__[0]).resolve().parent)
    known = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{above}{os.pathsep}{known}" if known else above}


def _follow(process: subprocess.Popen[bytes], said: Path) -> Iterator[Event]:
    """The trainer's events as they come, until it has ended."""
    with said.open("rb") as lines:
        begun = b""
        while True:
            ended = process.poll() is not None  # before the read, so that it is the last
            *whole, begun = (begun + lines.read()).split(b"\n")
            for line in whole:
                try:
                    yield json.loads(line)
                except ValueError:
                    yield {
                        "event": "log",
                        "level": "info",
                        "message": line.decode(errors="replace"),
                    }
            if ended:
                return
            time.sleep(POLL_SECONDS)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _last_line(errors: Path, status: int) -> str:
    if status == INTERRUPTED:
        return "The training was interrupted; start the bench again to go on."
    lines = errors.read_text(errors="replace").strip().splitlines()
    return f"The trainer ended with status {status}" + (f": {lines[-1]}" if lines else ".")
