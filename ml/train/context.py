"""What every stage of a run needs at hand, and the clock that tells how far it is."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ml import distributed
from ml.checkpoints import CheckpointFolder
from ml.data.alignment import Aligner
from ml.data.dataset import MAX_PIXELS, PictureSet
from ml.data.model_view import model_view
from ml.data.pictures import open_picture
from ml.data.sight import Sight, Tiling, look_at
from ml.events import Emitter
from ml.methods import METHODS, Method
from ml.presets import PRESETS, Preset
from ml.train.control import Control
from ml.train.job import Job, Refused
from ml.train.state import RunState

# Share of the whole run that a stage is expected to take, for the overall bar.
SHARES = {"load": 0.02, "pretrain": 0.14, "vet": 0.04, "inpaint": 0.5, "memory": 0.1,
          "calibrate": 0.16, "evaluate": 0.04}  # fmt: skip


@dataclass
class Context:
    """One run in progress."""

    job: Job
    state: RunState
    emitter: Emitter
    control: Control
    device: torch.device
    stages: list[str]
    checkpoints: CheckpointFolder
    threads: int
    pictures: PictureSet = field(init=False)
    aligner: Aligner | None = None
    tiling: Tiling | None = None  # where pictures are looked at through tiles
    pool: tuple[list[str], PictureSet] | None = None  # tiles to learn from, and of which pictures

    @property
    def out(self) -> Path:
        """The run's own folder."""
        return self.job.out

    @property
    def preset(self) -> Preset:
        """The preset's sizes."""
        return PRESETS[self.job.preset]

    @property
    def budget_seconds(self) -> float:
        """The budget in seconds."""
        return self.job.budget_minutes * 60

    @property
    def method(self) -> Method:
        """The method that this run trains."""
        return METHODS[self.job.method]

    @cached_property
    def paths(self) -> dict[str, Path]:
        """Where each picture of the job lies, by id."""
        return {source.id: source.path for source in self.job.images}

    def open(self, id_: str) -> Image.Image:
        """A picture of the job as it is (RGB, upright); looks for a stop."""
        self.control.check()
        return open_picture(self.paths[id_], MAX_PIXELS)

    def sight(self, id_: str, fine_size: int = 0) -> Sight:
        """A picture through tiles, which the memory sees at `fine_size`, in runs with tiles."""
        if self.tiling is None:
            raise ValueError("this run looks at whole pictures")
        return look_at(
            self.open(id_),
            self.tiling,
            self.preset.image_size,
            fine_size,
            self.aligner,
            self.job.repair_zones,
        )

    def large_loader(self, size: int) -> Callable[[str], Tensor]:
        """Opens a picture by id as the model sees it, at another size: bytes (3, size, size)."""

        def load(id_: str) -> Tensor:
            picture = self.open(id_)
            return model_view(picture, self.preset.image_size, self.aligner).at(picture, size)

        return load

    def save_state(self) -> None:
        """Write `state.json`; of several processes the lead alone."""
        if distributed.leads():
            self.state.save(self.out / "state.json")

    def log(self, level: str, message: str) -> None:
        """A line for the run's log."""
        self.emitter.emit("log", level=level, message=message)

    def check_disk(self) -> None:
        """Refuse to fill the disk."""
        free = shutil.disk_usage(self.out).free / 1e9
        if free < self.job.min_free_gb:
            raise Refused(
                "disk_full",
                f"Only {free:.1f} GB are free at {self.out} and {self.job.min_free_gb:g} GB are "
                "required; free some space or lower the limit.",
            )


class StageClock:
    """Progress of one stage, and the seconds it took over all attempts."""

    def __init__(self, context: Context, stage: str, unit: str) -> None:
        self.context, self.stage, self.unit = context, stage, unit
        self.started = time.monotonic()
        self.before = context.state.seconds.get(stage, 0.0)
        self.first_step: int | None = None

    def keep(self) -> None:
        """Store the seconds spent so far in the state."""
        self.context.state.seconds[self.stage] = self.before + self.elapsed

    @property
    def elapsed(self) -> float:
        """Seconds of this attempt."""
        return time.monotonic() - self.started

    def progress(self, step: int, steps: int, per_step: int = 1) -> None:
        """Tell how far the stage is; `per_step` pictures count as one step."""
        if self.first_step is None:
            self.first_step = step
        done = step - self.first_step
        rate = done / self.elapsed if self.elapsed > 0 else 0.0
        left = (steps - step) / rate if rate > 0 else None
        fraction = overall_fraction(self.context.stages, self.stage, step / max(1, steps))
        fraction = max(fraction, finished_fraction(self.context))
        self.context.emitter.emit(
            "progress",
            stage=self.stage,
            step=step,
            steps=steps,
            rate=round(rate * per_step, 3),
            unit=self.unit,
            eta_s=None if left is None else round(left, 1),
            fraction=round(fraction, 4),
            eta_total_s=None if left is None else round(self._total_left(left, fraction), 1),
        )

    def _total_left(self, left: float, fraction: float) -> float:
        later = (
            self.context.stages[self.context.stages.index(self.stage) + 1 :]
            if (self.stage in self.context.stages)
            else self.context.stages
        )
        return left + sum(SHARES[s] for s in later) * self.context.budget_seconds

    def ticker(self) -> Callable[[int, int], None]:
        """For work that counts its own items; looks for a stop on every item."""

        def tick(step: int, steps: int) -> None:
            self.context.control.check()
            self.progress(step, steps)

        return tick


def overall_fraction(stages: list[str], stage: str, part: float) -> float:
    """How much of the whole run is done, 0..1."""
    order = ["load", *stages]
    done = sum(SHARES[s] for s in order[: order.index(stage)])
    return (done + SHARES[stage] * part) / sum(SHARES[s] for s in order)


def finished_fraction(context: Context) -> float:
    """What earlier attempts finished: loading the pictures again must not look like going back."""
    everything = sum(SHARES[stage] for stage in ("load", *context.stages))
    return sum(SHARES[stage] for stage in context.state.finished) / everything
