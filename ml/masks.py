"""Masks: a grid of square cells, cut into disjoint subsets that are inpainted in turn.

The paper speaks of "predetermined repair zones"; an unknown defect has none, so the whole
picture is swept: every cell is masked once for every cell size.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import torch
from torch import Tensor


def grid_side(size: int, cell: int) -> int:
    """Cells along one edge; the last one is cut where `cell` does not divide `size`."""
    return -(-size // cell)


def cell_order(count: int, size: int, cell: int, seed: int) -> list[int]:
    """A shuffled order of the cells that is the same on every machine and library version.

    A generator's stream may change between releases; a hash does not, and the sweep is part
    of what makes a score reproducible years later.
    """

    def rank(index: int) -> bytes:
        return hashlib.sha256(f"{seed}:{size}:{cell}:{index}".encode()).digest()

    return sorted(range(count), key=rank)


def cells_to_mask(cells: Tensor, size: int, cell: int) -> Tensor:
    """Blow (…, g, g) cell flags up to (…, size, size) pixels."""
    return cells.repeat_interleave(cell, -2).repeat_interleave(cell, -1)[..., :size, :size]


def partition(size: int, cell: int, subsets: int, seed: int) -> Tensor:
    """`subsets` masks (K, 1, size, size), 1 where masked, which together cover each pixel once."""
    side = grid_side(size, cell)
    cells = torch.zeros(subsets, side * side)
    for place, index in enumerate(cell_order(side * side, size, cell, seed)):
        cells[place % subsets, index] = 1.0
    return cells_to_mask(cells.view(subsets, 1, side, side), size, cell)


def sweep(size: int, cells: tuple[int, ...], subsets: int, seed: int) -> Tensor:
    """The sweep over all cell sizes: (len(cells), K, 1, size, size), 1 where masked."""
    return torch.stack([partition(size, cell, subsets, seed) for cell in cells])


def zone_mask(
    zones: Sequence[Sequence[float]], size: int, x: int, y: int, width: int, height: int
) -> Tensor:
    """Repair zones (x, y, width, height in fractions of the picture) as a mask (size, size).

    The picture lies at x, y, width, height of the square.
    """
    mask = torch.zeros(size, size)
    for left, top, wide, high in zones:
        rows = slice(y + math.floor(top * height), y + math.ceil((top + high) * height))
        columns = slice(x + math.floor(left * width), x + math.ceil((left + wide) * width))
        mask[rows, columns] = 1.0
    return mask


def training_masks(
    batch: int, size: int, cells: tuple[int, ...], subsets: int, generator: torch.Generator
) -> Tensor:
    """Random masks (B, 1, size, size) from the sweep's distribution.

    Each picture draws a cell size and then one subset of a random partition.
    """
    choices = torch.randint(len(cells), (batch,), generator=generator)
    masks = [_one_subset(size, cells[int(c)], subsets, generator) for c in choices]
    return torch.stack(masks)


def _one_subset(size: int, cell: int, subsets: int, generator: torch.Generator) -> Tensor:
    side = grid_side(size, cell)
    cells = torch.zeros(side * side)
    order = torch.randperm(side * side, generator=generator)
    cells[order[: max(1, side * side // subsets)]] = 1.0
    return cells_to_mask(cells.view(1, side, side), size, cell)
