"""Synthetic defects on normal pictures: what settings are chosen by when no label exists.

They are drawn from what goes wrong on a line (a patch from elsewhere, a missing or shifted
piece, a scratch, a spot), never from a test set.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable

import torch
from torch import Tensor

SMALLEST = 0.0008  # of the picture's area: what a hairline or a pin hole takes
KINDS = ("cut_paste", "missing_patch", "shifted_patch", "scratch", "spot")


def synthetic_defect(image: Tensor, kind: str, rng: random.Random) -> tuple[Tensor, Tensor]:
    """A copy of image (3, H, W) in 0..1 with one defect, and its mask (H, W)."""
    damaged = _MAKERS[kind](image, rng)
    mask = (damaged - image).abs().amax(0) > 0.02
    return damaged, mask


def visible_defect(
    image: Tensor, kind: str, rng: random.Random, tries: int = 20
) -> tuple[Tensor, Tensor]:
    """As `synthetic_defect`, drawn again until at least a few pixels really changed."""
    needed = max(6, round(SMALLEST * image.shape[-2] * image.shape[-1]))
    best = synthetic_defect(image, kind, rng)
    for _ in range(tries):
        if int(best[1].sum()) >= needed:
            break
        best = synthetic_defect(image, kind, rng)
    return best


def _extent(image: Tensor) -> tuple[int, int, float]:
    """Height and width, and the edge of a square of the same area: what lengths are drawn by."""
    rows, columns = image.shape[-2:]
    return rows, columns, math.sqrt(rows * columns)


def _box(image: Tensor, rng: random.Random, low: float, high: float) -> tuple[int, int, int, int]:
    """Top, left, height, width; area between `low` and `high` of the picture, central 90 %."""
    rows, columns, _ = _extent(image)
    area = math.exp(rng.uniform(math.log(low), math.log(high))) * rows * columns
    aspect = math.exp(rng.uniform(-0.9, 0.9))
    height = max(1, min(rows // 2, max(3, round(math.sqrt(area * aspect)))))
    width = max(1, min(columns // 2, max(3, round(math.sqrt(area / aspect)))))
    return (
        rng.randint(rows // 20, rows - rows // 20 - height),
        rng.randint(columns // 20, columns - columns // 20 - width),
        height,
        width,
    )


def _soft(height: int, width: int) -> Tensor:
    """A patch's opacity with soft edges, so that the seam itself is not the defect."""
    ramp_y = torch.linspace(0, 1, height + 2)[1:-1]
    ramp_x = torch.linspace(0, 1, width + 2)[1:-1]
    edge_y = (torch.minimum(ramp_y, 1 - ramp_y) * height / 1.5).clamp(max=1)
    edge_x = (torch.minimum(ramp_x, 1 - ramp_x) * width / 1.5).clamp(max=1)
    return edge_y[:, None] * edge_x[None, :]


def _paste(image: Tensor, patch: Tensor, top: int, left: int) -> Tensor:
    _, height, width = patch.shape
    result = image.clone()
    target = result[:, top : top + height, left : left + width]
    opacity = _soft(height, width)
    target.copy_(target * (1 - opacity) + patch * opacity)
    return result


def _cut_paste(image: Tensor, rng: random.Random) -> Tensor:
    rows, columns, _ = _extent(image)
    top, left, height, width = _box(image, rng, SMALLEST, 0.05)
    patch = image[:, top : top + height, left : left + width]
    if rng.random() < 0.5:
        patch = patch.flip(rng.choice((1, 2)))
    gain = rng.uniform(0.85, 1.15)
    to_top, to_left = rng.randint(0, rows - height), rng.randint(0, columns - width)
    return _paste(image, (patch * gain).clamp(0, 1), to_top, to_left)


def _missing_patch(image: Tensor, rng: random.Random) -> Tensor:
    """Cover a piece with the colour that surrounds it."""
    top, left, height, width = _box(image, rng, SMALLEST, 0.05)
    around = image[
        :, max(0, top - 3) : top + height + 3, max(0, left - 3) : left + width + 3
    ].flatten(1)
    colour = around.median(1).values.view(3, 1, 1)
    noise = torch.tensor([rng.gauss(0, 0.01) for _ in range(height * width)])
    return _paste(image, (colour + noise.view(1, height, width)).clamp(0, 1), top, left)


def _shifted_patch(image: Tensor, rng: random.Random) -> Tensor:
    rows, columns, size = _extent(image)
    top, left, height, width = _box(image, rng, 0.003, 0.08)
    patch = image[:, top : top + height, left : left + width]
    reach = max(2, int(size) // 16)
    dy, dx = rng.choice((-1, 1)) * rng.randint(2, reach), rng.randint(-reach, reach)
    to_top = min(max(0, top + dy), rows - height)
    to_left = min(max(0, left + dx), columns - width)
    return _paste(image, patch, to_top, to_left)


def _distance_to_line(rows: int, columns: int, points: list[tuple[float, float]]) -> Tensor:
    """Distance of each pixel to a polyline, (rows, columns)."""
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    nearest = torch.full((rows, columns), torch.inf)
    for (y0, x0), (y1, x1) in itertools.pairwise(points):
        length = max(1e-6, (y1 - y0) ** 2 + (x1 - x0) ** 2)
        along = (((y - y0) * (y1 - y0) + (x - x0) * (x1 - x0)) / length).clamp(0, 1)
        away = torch.hypot(y - (y0 + along * (y1 - y0)), x - (x0 + along * (x1 - x0)))
        nearest = torch.minimum(nearest, away)
    return nearest


def _scratch(image: Tensor, rng: random.Random) -> Tensor:
    rows, columns, size = _extent(image)
    angle, step = rng.uniform(0, 2 * math.pi), size * rng.uniform(0.03, 0.1)
    points = [(rng.uniform(0.15, 0.85) * rows, rng.uniform(0.15, 0.85) * columns)]
    for _ in range(4):
        angle += rng.uniform(-0.4, 0.4)
        y, x = points[-1]
        points.append((y + step * math.sin(angle), x + step * math.cos(angle)))
    reach = rng.uniform(0.4, 1.2) * size / 128
    opacity = (1.0 + reach - _distance_to_line(rows, columns, points)).clamp(0, 1) * rng.uniform(
        0.5, 0.95
    )
    tone = rng.choice((rng.uniform(0.0, 0.25), rng.uniform(0.75, 1.0)))
    return image * (1 - opacity) + tone * opacity


def _spot(image: Tensor, rng: random.Random) -> Tensor:
    rows, columns, size = _extent(image)
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    cy, cx = rng.uniform(0.1, 0.9) * rows, rng.uniform(0.1, 0.9) * columns
    radius = rng.uniform(0.015, 0.08) * size
    turn, flat = rng.uniform(0, math.pi), rng.uniform(0.5, 1.0)
    u = (x - cx) * math.cos(turn) + (y - cy) * math.sin(turn)
    v = ((y - cy) * math.cos(turn) - (x - cx) * math.sin(turn)) / flat
    opacity = ((radius - torch.hypot(u, v)) / 1.5 + 0.5).clamp(0, 1) * rng.uniform(0.35, 0.9)
    colour = torch.tensor([rng.random() for _ in range(3)]).view(3, 1, 1)
    return image * (1 - opacity) + colour * opacity


_MAKERS: dict[str, Callable[[Tensor, random.Random], Tensor]] = {
    "cut_paste": _cut_paste,
    "missing_patch": _missing_patch,
    "shifted_patch": _shifted_patch,
    "scratch": _scratch,
    "spot": _spot,
}
