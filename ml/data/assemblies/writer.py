"""Samples from seeds, and a folder of them in MVTec layout."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ml.data.assemblies.board import bare_board
from ml.data.assemblies.defects import DEFECTS, KINDS, difference_mask
from ml.data.assemblies.dice import Dice
from ml.data.assemblies.scene import render, render_clean
from ml.data.assemblies.unit import good_unit

Progress = Callable[[int, int], None]

# A defect smaller than this (in pixels at 256, scaled with the area) fell where it cannot be seen.
_SMALLEST = 40
_THREADS = 2
_TRAIN, _GOOD, _FIRST_KIND = 0, 1, 2


@dataclass(frozen=True)
class Sample:
    """`picture` (H, W, 3) uint8 RGB; `mask` (H, W) bool for a defect, None for a good part."""

    picture: NDArray[np.uint8]
    mask: NDArray[np.bool_] | None


def good_sample(seed: int, number: int, *, test: bool = False, size: int = 256) -> Sample:
    """Good part `number` of the training (or test) pictures of a seed."""
    return Sample(render(good_unit(seed, _GOOD if test else _TRAIN, number), size), None)


def defective_sample(seed: int, kind: str, number: int, *, size: int = 256) -> Sample:
    """Defective part `number` of a kind in `KINDS`. Raises KeyError for another kind."""
    change, where = DEFECTS[kind], (seed, _FIRST_KIND + KINDS.index(kind), number)
    unit = good_unit(*where)
    good = render_clean(unit, size)
    dice = Dice(*where, 2)
    while True:
        bad = change(unit, dice)
        mask = difference_mask(good, render_clean(bad, size))
        if int(mask.sum()) >= _SMALLEST * (size / 256) ** 2:
            return Sample(render(bad, size), mask)


def generate(
    out: str | Path,
    *,
    seed: int = 1,
    train: int = 200,
    good: int = 60,
    per_kind: int = 10,
    size: int = 256,
    progress: Progress | None = None,
) -> Path:
    """Write `train/good`, `test/good`, `test/<kind>` and `ground_truth/<kind>` below `out`.

    The folder appears under its name only when it is whole. `progress(done, total)` is called
    after each picture. Raises FileExistsError where `out` exists and is not an empty folder, and
    ValueError for counts below zero or a size that is not a multiple of 128.
    """
    target = Path(out)
    if min(train, good, per_kind) < 0:
        raise ValueError("The numbers of pictures must not be negative.")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FileExistsError(f"{target} exists and is not an empty folder; name another.")
    part = target.with_name(target.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    total = train + good + per_kind * len(KINDS)
    part.mkdir(parents=True)
    bare_board(size)  # once, before the threads would each paint it
    # threads, not processes: numpy and Pillow let go of the interpreter's lock where it counts,
    # and a worker of a job queue may not start processes
    with ThreadPoolExecutor(_THREADS) as pool:
        jobs = [
            pool.submit(_write, part, path, make)
            for path, make in _files(seed, train, good, per_kind, size)
        ]
        try:
            for done, job in enumerate(as_completed(jobs), start=1):
                job.result()
                if progress:
                    progress(done, total)
        except BaseException:  # a full disk or Ctrl-C: do not draw the rest first
            pool.shutdown(cancel_futures=True)
            raise
    if target.exists():
        target.rmdir()
    return part.rename(target)


def _files(
    seed: int, train: int, good: int, per_kind: int, size: int
) -> Iterator[tuple[Path, Callable[[], Sample]]]:
    """Each file of the layout and what makes it."""
    for i in range(train):
        yield Path("train", "good", f"{i:03d}.png"), partial(good_sample, seed, i, size=size)
    for i in range(good):
        make = partial(good_sample, seed, i, test=True, size=size)
        yield Path("test", "good", f"{i:03d}.png"), make
    for kind in KINDS:
        for i in range(per_kind):
            name = Path("test", kind, f"{i:03d}.png")
            yield name, partial(defective_sample, seed, kind, i, size=size)


def _write(root: Path, path: Path, make: Callable[[], Sample]) -> None:
    sample = make()
    _save(root / path, sample.picture)
    if sample.mask is not None:
        truth = sample.mask.astype(np.uint8) * np.uint8(255)
        _save(root / "ground_truth" / path.parent.name / f"{path.stem}_mask.png", truth)


def _save(path: Path, pixels: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, compress_level=4)
