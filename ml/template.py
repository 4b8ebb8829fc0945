"""The naive baseline: how far is a pixel from what the normals show there?

Every method must beat it by a clear margin; it needs no learning, only aligned pictures.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ml.data.pictures import open_picture
from ml.metrics import auroc

FloatArray = NDArray[np.float32]

# Grey levels added to the deviation, so that a pixel that never varied does not decide alone.
EPSILON = 1.0
NORMALS = 100


def template_scores(normals: Iterable[FloatArray], pictures: Iterable[FloatArray]) -> list[float]:
    """Per picture the maximum over pixels and channels of |x − mean| / (deviation + EPSILON).

    All arrays share one shape (H, W, 3). Raises ValueError for fewer than two normals.
    """
    stack = [np.asarray(n, np.float32) for n in normals]
    if len(stack) < 2:
        raise ValueError("The template needs at least two normals.")
    if len({n.shape for n in stack}) > 1:
        raise ValueError("The template needs normals of one size.")
    mean = np.mean(stack, axis=0)
    deviation = np.std(stack, axis=0) + np.float32(EPSILON)
    return [float((np.abs(p - mean) / deviation).max()) for p in pictures]


def template_auroc(folder: str | Path, *, size: int | None = None) -> float:
    """Image AUROC of the template on a folder in MVTec layout, in 0..1.

    Learns from the first 100 of `train/good`, tests on all of `test`. `size` resizes pictures
    to a square first; without it they are taken as they are, resized to the first normal's size
    where theirs differs. Raises ValueError where a part of the layout has no pictures.
    """
    root = Path(folder)
    train = _pictures(root / "train" / "good")[:NORMALS]
    tests = {d.name: _pictures(d) for d in sorted((root / "test").iterdir()) if d.is_dir()}
    if not train or not tests.get("good") or len(tests) < 2:
        raise ValueError(f"{root} lacks pictures in train/good, test/good or test/<kind>.")
    side = (size, size) if size else open_picture(train[0]).size
    paths = [path for group in tests.values() for path in group]
    labels = [name != "good" for name, group in tests.items() for _ in group]
    scores = template_scores([_read(p, side) for p in train], (_read(p, side) for p in paths))
    return auroc(scores, labels)


def _pictures(folder: Path) -> list[Path]:
    kinds = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"}
    return sorted(p for p in folder.glob("*") if p.suffix.lower() in kinds)


def _read(path: Path, side: tuple[int, int]) -> FloatArray:
    picture = open_picture(path)
    if picture.size != side:
        picture = picture.resize(side)
    return np.asarray(picture, np.float32)
