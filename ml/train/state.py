"""`state.json`: what was drawn or measured once and must not be drawn again on a resume."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ml.checkpoints import write_json
from ml.methods import DEFAULT
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

    @classmethod
    def open(cls, path: Path, job: Job) -> RunState:
        """The stored state of this output folder, or a new one."""
        if not path.exists():
            return cls(job.preset, job.seed, job.method)
        state = cls(**json.loads(path.read_text()))
        if (state.preset, state.seed, state.method) != (job.preset, job.seed, job.method):
            raise Refused(
                "job_changed",
                f"{path.parent} holds a run of method {state.method} with preset {state.preset} "
                f"and seed {state.seed}; use these, or another output folder.",
            )
        return state

    def save(self, path: Path) -> None:
        """Write it atomically."""
        write_json(path, asdict(self))

    @property
    def spent(self) -> float:
        """Seconds over all stages and attempts."""
        return sum(self.seconds.values())
