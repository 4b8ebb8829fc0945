"""The sweep hides every pixel once; training draws from the same distribution."""

from __future__ import annotations

import pytest
import torch

from ml.masks import partition, sweep, training_masks


@pytest.mark.parametrize(("size", "cell", "subsets"), [(64, 8, 4), (64, 16, 3), (50, 8, 4)])
def test_partition_covers_every_pixel_exactly_once(size: int, cell: int, subsets: int) -> None:
    masks = partition(size, cell, subsets, seed=7)
    assert masks.shape == (subsets, 1, size, size)
    assert torch.equal(masks.sum(0), torch.ones(1, size, size))


def test_partition_masks_whole_cells() -> None:
    cells = partition(64, 16, 4, seed=7).view(4, 4, 16, 4, 16)
    assert torch.equal(cells.amax((2, 4)), cells.amin((2, 4)))


def test_partition_is_fixed_by_its_seed() -> None:
    assert torch.equal(partition(64, 8, 4, seed=7), partition(64, 8, 4, seed=7))
    assert not torch.equal(partition(64, 8, 4, seed=7), partition(64, 8, 4, seed=8))


def test_partition_never_changes_between_releases() -> None:
    # A stored model's scores depend on these very cells.
    first = partition(32, 8, 4, seed=1)[0, 0, ::8, ::8]
    assert first.int().tolist() == EXPECTED_FIRST_SUBSET


EXPECTED_FIRST_SUBSET = [[1, 0, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]]


def test_sweep_stacks_the_cell_sizes() -> None:
    masks = sweep(64, (8, 16), 4, seed=3)
    assert masks.shape == (2, 4, 1, 64, 64)
    assert torch.equal(masks[1], partition(64, 16, 4, seed=3))


def test_training_masks_hide_a_quarter_in_cells_of_each_size() -> None:
    generator = torch.Generator().manual_seed(1)
    masks = training_masks(200, 64, (8, 16), 4, generator)
    assert masks.shape == (200, 1, 64, 64)
    assert torch.allclose(masks.mean((1, 2, 3)), torch.tensor(0.25))
    coarse = masks.view(200, 4, 16, 4, 16)
    of_large_cells = (coarse.amax((2, 4)) == coarse.amin((2, 4))).all(2).all(1)
    assert 60 < int(of_large_cells.sum()) < 140
    assert len({m.numpy().tobytes() for m in masks}) > 150
