"""The table on disk: one JSON file of rows, and every picture's score beside it.

A finished row is appended at once; the file is replaced whole, so that a kill leaves the old one
or the new one. A row that is there is not measured again, unless scores have come to mean something
else since (SCORING).
"""

from __future__ import annotations

import contextlib
import csv
import fcntl
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.bench.dataset import BenchError
from ml.checkpoints import sync, write_json
from ml.commands.cells import harmless

Row = dict[str, Any]
# Raised when the same run would train or be judged otherwise: 2 compares softly normalised
# descriptors and takes the statistics of the inpainting from training normals too; 3 trains preset
# `compact` with smaller batches and looks through SqueezeNet at the picture's own size meanwhile.
SCORING = 3
IDENTITY = ("picture", "kind", "defect", "score")


@dataclass(frozen=True)
class Key:
    """What makes two rows the same: then the second is not measured.

    budget_minutes is None where `steps` were asked for, and the reverse. content: which pictures
    the data set holds, see `BenchSet`; empty where nobody asked, and then any.
    """

    dataset: str
    method: str
    seed: int
    preset: str
    budget_minutes: float | None
    steps: int | None
    weights: bool  # ImageNet weights installed, or the stand-in backbone
    content: str = ""

    def of(self, row: Row) -> bool:
        """Whether a row is this one, as it would be measured today."""
        return self.names(row) and up_to_date(row)

    def names(self, row: Row) -> bool:
        """Whether a row is this one, by whatever scoring."""
        setting = (self.preset, self.budget_minutes, self.steps, self.weights)
        same = identity_of(row) == (self.dataset, self.method, self.seed, *setting)
        return same and same_content(self.content, row.get("content"))

    @property
    def stem(self) -> str:
        """For names of files."""
        return f"{self.dataset}-{self.method}-{self.seed}"


def up_to_date(row: Row) -> bool:
    """Whether a row was measured by today's scoring; rows from before there was a mark were not."""
    return bool(row.get("scoring", 1) == SCORING)


def identity_of(row: Row) -> tuple[Any, ...]:
    """What tells one row of a table from the others, by whatever scoring: as in a Key."""
    return row["dataset"], row["method"], row["seed"], *setting_of(row)


def same_content(one: str | None, other: str | None) -> bool:
    """Whether two rows of one data set's name were measured on the same pictures; rows from before
    this was noted are believed."""
    return not one or not other or one == other


def setting_of(row: Row) -> tuple[Any, ...]:
    """What rows of one table line must share: preset, budget, asked steps, weights."""
    return row["preset"], row["budget_minutes"], row["steps_asked"], row.get("weights", False)


@dataclass(frozen=True)
class PictureScores:
    """The test pictures of a row, in the order of their names, and the score of each."""

    names: list[str]
    defects: NDArray[np.bool_]
    scores: NDArray[np.float64]


class Table:
    """The rows of one JSON file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.folder = path.with_name(f"{path.name}.scores")

    def rows(self) -> list[Row]:
        """What is there. Raises BenchError where the file is no table."""
        return self._read()["rows"]

    def find(self, key: Key) -> Row | None:
        """The row of a key, if it was measured."""
        return next((row for row in self.rows() if key.of(row)), None)

    def append(self, row: Row) -> None:
        """Add a row, in place of one of an older scoring; another process may be adding one to the
        same file."""
        with locked(self.folder):
            data = self._read()
            others = [
                one
                for one in data["rows"]
                if up_to_date(one)
                or identity_of(one) != identity_of(row)
                or not same_content(one.get("content"), row.get("content"))
            ]
            write_json(self.path, {**data, "rows": [*others, row]})

    def plan_for(self, about: str) -> dict[str, int]:
        """Steps by stage that a budget was turned into, for runs that differ in the seed alone;
        empty before the first of them."""
        return dict(self._read().get("plans", {}).get(about, {}))

    def keep_plan(self, about: str, plan: Mapping[str, int]) -> None:
        """Store the first run's plan, so that the other seeds train as long."""
        with locked(self.folder):
            data = self._read()
            plans = {about: dict(plan), **data.get("plans", {})}
            write_json(self.path, {**data, "plans": plans})

    def stem_for(self, key: Key) -> str:
        """The name of a row's side files; another setting's files are never overwritten."""
        taken = {row["scores_file"] for row in self.rows() if not key.names(row)}
        if f"{key.stem}.csv" not in taken:
            return key.stem
        how = f"{key.budget_minutes:g}min" if key.steps is None else f"{key.steps}steps"
        longer = f"{key.stem}-{key.preset}-{how}{'' if key.weights else '-standin'}"
        return longer if f"{longer}.csv" not in taken else f"{longer}-{key.content}"

    def write_scores(self, stem: str, lines: Sequence[Mapping[str, Any]]) -> str:
        """Write the side file of a row atomically; returns its name.

        Each line: picture, kind, defect, score (the row's own), then further scores.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        final = self.folder / f"{stem}.csv"
        temporary = final.with_name(f".{final.name}.tmp")
        with temporary.open("w", newline="") as handle:
            writer = csv.DictWriter(handle, [*lines[0]])
            writer.writeheader()
            writer.writerows({k: _cell(v) for k, v in line.items()} for line in lines)
        sync(temporary)
        temporary.replace(final)
        sync(self.folder)
        return final.name

    def scores(self, row: Row) -> PictureScores:
        """Read a row's side file. Raises BenchError where it is missing or damaged."""
        path = self.folder / row["scores_file"]
        try:
            with path.open(newline="") as handle:
                lines = sorted(csv.DictReader(handle), key=lambda line: line["picture"])
            return PictureScores(
                [line["picture"] for line in lines],
                np.array([line["defect"] == "1" for line in lines]),
                np.array([float(line["score"]) for line in lines]),
            )
        except (OSError, ValueError, KeyError) as error:
            raise BenchError(f"The scores of a row cannot be read from {path}: {error}") from error

    def _read(self) -> dict[str, Any]:
        if not self.path.exists():
            return {"rows": []}
        try:
            data = json.loads(self.path.read_text())
            if not isinstance(data["rows"], list):
                raise TypeError("rows is no list")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BenchError(f"{self.path} is no table of the bench: {error}") from error
        return dict(data)


def _cell(value: object) -> object:
    if isinstance(value, float):
        return repr(value)
    return harmless(value) if isinstance(value, str) else value


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Hold a folder's lock; gives the descriptor, which a child process may hold on to."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle.fileno()
