"""Regions of a map above the model's own line: boxes that a person is shown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.metrics import label_regions


@dataclass(frozen=True)
class Region:
    """A box and the area inside it that is above the line, as fractions of the picture."""

    x: float
    y: float
    width: float
    height: float
    area: float
    peak: float


def find_regions(
    heat: NDArray[np.float32], line: float, *, smallest: float = 0.0002, most: int = 20
) -> list[Region]:
    """Connected regions of heat (H, W) that reach above `line`, the highest peak first.

    Regions under `smallest` of the picture are dropped; at most `most` are given.
    """
    height, width = heat.shape
    labels, count = label_regions(heat > line)
    regions = []
    for label in range(1, count + 1):
        ys, xs = np.nonzero(labels == label)
        area = len(ys) / heat.size
        if area >= smallest:
            top, left = int(ys.min()), int(xs.min())
            regions.append(
                Region(
                    x=left / width,
                    y=top / height,
                    width=(int(xs.max()) + 1 - left) / width,
                    height=(int(ys.max()) + 1 - top) / height,
                    area=area,
                    peak=float(heat[ys, xs].max()),
                )
            )
    return sorted(regions, key=lambda region: -region.peak)[:most]
