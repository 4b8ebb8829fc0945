"""`state.json`: what was drawn or measured once and must not be drawn again on a resume."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ml.checkpoints import write_json
from ml.data.dataset import digest, size_of
from ml.features import SQUEEZENET_FILE, VGG_FILE, installed
from ml.methods import DEFAULT, METHODS
from ml.train.job import Job, Refused


@dataclass
class RunState:
    """Splits by image id, fixed numbers of steps, seconds spent, stages that are done."""

    preset: str
    seed: int
    method: str = DEFAULT
    train: list[str] = field(default_factory=list)
    held_out: list[str] = field(default_factory=list)
    calibration: list[str] = field(default_factory=list)
    excluded: dict[str, str] = field(default_factory=dict)
    plan: dict[str, int] = field(default_factory=dict)
    planned: dict[str, int] = field(default_factory=dict)  # as `plan`, before any early stop
    step_seconds: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    alignment: float | None = None  # by what factor normals came closer; None: not tried yet
    aligned: bool = False
    tile_edge: int | None = None  # long edge seen through tiles; 0: no tiles, None: not settled yet
    finished: list[str] = field(default_factory=list)
    job: dict[str, Any] | None = None  # what must not change, see `decisive`; None in older runs

    @classmethod
    def open(cls, path: Path, job: Job) -> RunState:
        """The stored state of this output folder, or a new one. Raises Refused where that is of
        another job."""
        asked = decisive(job)
        if not path.exists():
            return cls(job.preset, job.seed, job.method, job=asked)
        state = cls(**json.loads(path.read_text()))
        if (state.preset, state.seed, state.method) != (job.preset, job.seed, job.method):
            raise Refused(
                "job_changed",
                f"{path.parent} holds a run of method {state.method} with preset {state.preset} "
                f"and seed {state.seed}; use these, or another output folder.",
            )
        other = [name for name, value in (state.job or {}).items() if value != asked.get(name)]
        if job.vetted and "pictures" in other:  # what a person left out may be gone altogether
            other.remove("pictures")
        if "weights" in other and not {"inpaint", "memory"} & {*state.plan, *state.finished}:
            other.remove("weights")  # installed meanwhile, and nothing was judged by them yet
        if other:
            raise Refused(
                "job_changed",
                f"The run was begun with other {' and '.join(other)} (in {path.parent}); start a "
                "new run.",
            )
        state.job = asked
        return state

    def save(self, path: Path) -> None:
        """Write it atomically."""
        write_json(path, asdict(self))

    @property
    def spent(self) -> float:
        """Seconds over all stages and attempts."""
        return sum(self.seconds.values())


def decisive(job: Job) -> dict[str, Any]:
    """What a run must not change between its attempts, by the names that people know: the model
    would be of neither kind."""
    files = [SQUEEZENET_FILE, *([VGG_FILE] if METHODS[job.method].restores else [])]
    weights = [installed(job.weights_dir, name) for name in files]
    return {
        "weights": [[path.name, size_of(path)] for path in weights if path],
        "steps": job.steps,
        "budget": job.budget_minutes if job.steps is None else None,
        "symmetries": sorted(job.symmetries),
        "repair zones": [list(zone) for zone in job.repair_zones],
        "tiles": job.tile,
        "encoder": size_of(job.encoder) if job.encoder else None,
        "pictures": digest(job.images),
    }
