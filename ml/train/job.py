"""The job: what the app, or a person on the command line, asks for."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ml.data.dataset import Source
from ml.data.symmetries import SYMMETRIES
from ml.methods import DEFAULT, METHODS
from ml.presets import PRESETS

VETTING = ("pause", "exclude", "keep", "skip")
TILES = ("auto", "never", "always")


class Refused(Exception):
    """Input that cannot be used: ends the process with status 2 after an `error` event."""

    def __init__(self, code: str, message: str, image: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.image = image


@dataclass
class Job:
    """One training run as written in `docs/trainer-protocol.md`.

    repair_zones: rectangles (x, y, width, height) in fractions of the picture; where there are
    any, only they are masked and restored. symmetries: what a part may do and stay good.
    """

    out: Path
    images: list[Source]
    method: str = DEFAULT
    preset: str = "compact"
    seed: int = 1
    budget_minutes: float = 10.0
    steps: int | None = None
    plan: dict[str, int] = field(default_factory=dict)  # steps by stage, instead of timing them
    device: str = "auto"
    threads: int | None = None
    nice: int = 0
    weights_dir: Path | None = None
    vetting: str = "keep"
    vetted: bool = False
    excluded: dict[str, str] = field(default_factory=dict)
    min_free_gb: float = 5.0
    exit_with_parent: bool = False
    repair_zones: list[list[float]] = field(default_factory=list)
    symmetries: list[str] = field(default_factory=list)
    tile: str = "auto"
    few: bool = False  # fewer than 60 pictures are enough, see `splits.check_enough`
    encoder: Path | None = None  # a stored pre-training to start from instead of an own one

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            known = ", ".join(PRESETS)
            raise Refused("bad_job", f"The preset {self.preset!r} is unknown; choose {known}.")
        if self.method not in METHODS:
            known = ", ".join(METHODS)
            raise Refused("bad_job", f"The method {self.method!r} is unknown; choose {known}.")
        if self.tile not in TILES:
            raise Refused("bad_job", f"tile must be one of {', '.join(TILES)}.")
        if unknown := set(self.symmetries) - set(SYMMETRIES):
            raise Refused(
                "bad_job",
                f"Unknown symmetry {sorted(unknown)[0]!r}; choose from {', '.join(SYMMETRIES)}.",
            )
        for zone in self.repair_zones:
            _check_zone(zone)
        if self.vetting not in VETTING:
            raise Refused("bad_job", f"vetting must be one of {', '.join(VETTING)}.")
        if self.steps is not None and self.steps < 1:
            raise Refused("bad_job", "steps must be at least 1, or null to follow the budget.")
        if any(steps < 1 for steps in self.plan.values()):
            raise Refused("bad_job", "Every stage of the plan needs at least 1 step.")
        if self.budget_minutes <= 0:
            raise Refused("bad_job", "budget_minutes must be more than 0.")
        if len({s.id for s in self.images}) != len(self.images):
            raise Refused("bad_job", "Two pictures of the job have the same id.")

    @classmethod
    def read(cls, path: Path) -> Job:
        """Read JOB.json. Raises Refused where it is not a job."""
        try:
            data: dict[str, Any] = json.loads(path.read_text())
            images = [Source(str(i["id"]), Path(i["path"])) for i in data.pop("images")]
            out = Path(data.pop("out"))
            weights = data.pop("weights_dir", None)
            encoder = data.pop("encoder", None)
            return cls(
                out=out,
                images=images,
                weights_dir=Path(weights) if weights else None,
                encoder=Path(encoder) if encoder else None,
                **data,
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Refused("bad_job", f"The job file {path} cannot be used: {error}") from error


def _check_zone(zone: list[float]) -> None:
    if len(zone) != 4:
        raise Refused("bad_job", f"A repair zone is x, y, width, height; got {zone}.")
    x, y, width, height = zone
    inside = x >= 0 and y >= 0 and x + width <= 1.0001 and y + height <= 1.0001
    if not (inside and width > 0 and height > 0):
        raise Refused("bad_job", f"The repair zone {zone} must lie inside the picture (0 to 1).")
