"""Regions of a map above the model's own line: boxes and outlines that a person is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ml.calibration import p_values
from ml.metrics import label_regions

BoolArray = NDArray[np.bool_]
Corner = tuple[int, int]

MOST_CORNERS = 24  # of an outline
STAIRS_ABOVE = 8  # corners: smaller outlines are shown pixel by pixel
# Directions in turn, clockwise with y downwards: right, down, left, up.
_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))


@dataclass(frozen=True)
class Region:
    """A box, an outline and the area inside it that is above the line, in fractions of the picture.

    polygon: the outer outline, clockwise, (x, y) in 0..1, without repeating the first corner;
    peak: the highest value inside, in the map's unit; p_value: how likely a normal's highest
    value is to reach the peak, None where no calibration normals are known.
    """

    x: float
    y: float
    width: float
    height: float
    area: float
    peak: float
    polygon: list[tuple[float, float]] = field(default_factory=list)
    p_value: float | None = None


def find_regions(
    heat: NDArray[np.float32],
    line: float,
    *,
    smallest: float = 0.0002,
    most: int = 20,
    peaks: ArrayLike | None = None,
) -> list[Region]:
    """Connected regions of heat (H, W) that reach above `line`, the highest peak first.

    Regions of less than `smallest` of the picture are dropped; at most `most` are given. Pixels
    that touch at a corner belong together. peaks: the highest value of each calibration
    normal's map, for the p-values.
    """
    labels, count = label_regions(heat > line)
    if count == 0:
        return []
    flat = labels.ravel()
    areas = np.bincount(flat, minlength=count + 1)
    highest = np.full(count + 1, -np.inf)
    np.maximum.at(highest, flat, heat.ravel())
    wanted = [n for n in range(1, count + 1) if areas[n] >= smallest * heat.size]
    wanted = sorted(wanted, key=lambda n: (-highest[n], n))[:most]
    found = p_values(highest[wanted], peaks).tolist() if peaks is not None else [None] * len(wanted)
    return [
        _region(labels, number, float(highest[number]), p)
        for number, p in zip(wanted, found, strict=True)
    ]


def _region(labels: NDArray[np.int32], number: int, peak: float, p_value: float | None) -> Region:
    height, width = labels.shape
    inside = labels == number
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    left, right = int(columns[0]), int(columns[-1]) + 1
    cut = inside[top:bottom, left:right]
    corners = simplify(outline(cut))
    return Region(
        x=left / width,
        y=top / height,
        width=(right - left) / width,
        height=(bottom - top) / height,
        area=int(cut.sum()) / labels.size,
        peak=peak,
        polygon=[((left + x) / width, (top + y) / height) for x, y in corners],
        p_value=p_value,
    )


def outline(mask: BoolArray) -> list[Corner]:
    """Outer outline of the one 8-connected region in a mask (H, W), along the pixels' edges.

    Corners (x, y) with 0 ≤ x ≤ W and 0 ≤ y ≤ H, clockwise, no two neighbouring edges in one
    line; holes are not followed. Raises ValueError where the mask is empty.
    """
    padded = np.pad(mask, 1)
    rows, columns = np.nonzero(padded)
    if not len(rows):
        raise ValueError("an empty mask has no outline")
    # Above and to the left of the first pixel lies nothing, so the walk ends where it starts.
    start = x, y = int(columns[0]), int(rows[0])
    heading, corners = 0, [start]
    while True:
        x, y = x + _STEPS[heading][0], y + _STEPS[heading][1]
        if (x, y) == start:
            return [(x - 1, y - 1) for x, y in corners]
        turned = _turn(padded, x, y, heading)
        if turned != heading:
            corners.append((x, y))
        heading = turned


def _turn(padded: BoolArray, x: int, y: int, heading: int) -> int:
    """Where the outline goes on from grid point (x, y), with the region on its right hand.

    Looks at the two pixels ahead; turning left first joins pixels that touch at a corner.
    """
    right = ((0, 0), (-1, 0), (-1, -1), (0, -1))[heading]
    left = ((0, -1), (0, 0), (-1, 0), (-1, -1))[heading]
    if padded[y + left[1], x + left[0]]:
        return (heading - 1) % 4
    if padded[y + right[1], x + right[0]]:
        return heading
    return (heading + 1) % 4


def simplify(
    corners: Sequence[Corner], most: int = MOST_CORNERS, stairs_above: int = STAIRS_ABOVE
) -> list[Corner]:
    """At most `most` of a closed outline's corners, so chosen that it moves as little as possible.

    Visvalingam & Whyatt, "Line generalisation by repeated elimination of points" (1993): the
    corner that spans the smallest triangle with its neighbours goes first. Triangles of half a
    pixel, the stairs of a slanted edge, go in any case down to `stairs_above` corners.
    """
    kept = np.array(corners, np.int64)
    while len(kept) > stairs_above:
        areas = _triangles(kept)
        least = int(areas.argmin())
        if len(kept) <= most and areas[least] > 0.5:
            break
        kept = np.delete(kept, least, axis=0)
    return [(int(x), int(y)) for x, y in kept]


def _triangles(corners: NDArray[np.int64]) -> NDArray[np.float64]:
    """Area that each corner (n, 2) spans with its two neighbours, (n,)."""
    to_before = np.roll(corners, 1, axis=0) - corners
    to_after = np.roll(corners, -1, axis=0) - corners
    cross = to_before[:, 0] * to_after[:, 1] - to_before[:, 1] * to_after[:, 0]
    return np.abs(cross) / 2
