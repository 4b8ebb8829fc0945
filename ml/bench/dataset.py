"""A set to measure on: a folder in MVTec AD's layout.

`train/good`, `test/good`, `test/<kind of defect>`, and where there are any the defects' masks in
`ground_truth/<kind>`, named like the picture with or without `_mask`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ml.commands.folders import SUFFIXES, pictures_under

GOOD = "good"
EDGE = 512  # long edge at which maps and masks meet; larger masks would cost memory, not accuracy


class BenchError(Exception):
    """A bench that cannot be run as asked; the message names cause and remedy."""


@dataclass(frozen=True)
class TestPicture:
    """One picture of `test/`: `name` is its path below that folder."""

    name: str
    path: Path
    kind: str
    mask: Path | None

    @property
    def defect(self) -> bool:
        """Whether the folder that it lies in says that it is defective."""
        return self.kind != GOOD


@dataclass(frozen=True)
class BenchSet:
    """A set's name, its training normals and its test pictures in the order of their names."""

    name: str
    root: Path
    train: list[Path]
    test: list[TestPicture]

    @property
    def defects(self) -> NDArray[np.bool_]:
        """(N,): which test pictures are defective."""
        return np.array([picture.defect for picture in self.test])


def read_set(root: Path) -> BenchSet:
    """Look through a folder. Raises BenchError where normals or defects are missing."""
    root = root.resolve()
    train = pictures_under(root / "train" / GOOD)
    test = [
        _test_picture(root, path)
        for path in pictures_under(root / "test")
        if path.parent != root / "test"
    ]
    for what, there in (
        ("train/good has no pictures", bool(train)),
        ("test/good has no pictures", any(not p.defect for p in test)),
        ("test has no folder with pictures of defects", any(p.defect for p in test)),
    ):
        if not there:
            raise BenchError(f"{root}: {what}; the bench needs MVTec AD's layout.")
    return BenchSet(root.name, root, train, test)


def read_sets(roots: list[Path]) -> list[BenchSet]:
    """All sets. Raises BenchError where two would have the same name in the table."""
    sets = [read_set(root) for root in roots]
    names = [one.name for one in sets]
    for name in names:
        if names.count(name) > 1:
            raise BenchError(f"Two folders are named {name}; the table could not tell them apart.")
    return sets


def _test_picture(root: Path, path: Path) -> TestPicture:
    inside = path.relative_to(root / "test")
    kind = inside.parts[0]
    mask = None if kind == GOOD else _mask_of(root / "ground_truth" / inside.parent, path.stem)
    return TestPicture(inside.as_posix(), path, kind, mask)


def _mask_of(folder: Path, stem: str) -> Path | None:
    candidates = (
        folder / f"{name}{s}" for name in (f"{stem}_mask", stem) for s in sorted(SUFFIXES)
    )
    return next((path for path in candidates if path.is_file()), None)


def comparison_size(width: int, height: int) -> tuple[int, int]:
    """Width and height at which a picture's map and mask are compared."""
    scale = min(1.0, EDGE / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def read_mask(path: Path, size: tuple[int, int]) -> NDArray[np.bool_]:
    """A mask at `size` (width, height) as (height, width): whatever is not black is defective."""
    with Image.open(path) as image:
        # a transparency channel is no defect
        plain = image.convert("RGB") if image.mode in ("RGBA", "LA", "PA") else image
        values = np.asarray(plain)
    marked = values.reshape(*values.shape[:2], -1).max(-1) > 0
    if marked.shape == size[::-1]:
        return marked
    scaled = Image.fromarray(marked.astype(np.uint8) * 255).resize(size, Image.Resampling.BOX)
    # half a pixel counts as one; a region that is thinner than that is still there
    shares = np.asarray(scaled)
    found = shares >= 128
    return found if found.any() else shares > 0
