"""Tiles of large pictures: they cover everything, show the same pixels, and blend without seams."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from ml.data.alignment import Aligner
from ml.data.letterbox import PADDING
from ml.data.tiles import (
    Tile,
    is_tiled,
    random_tiles,
    reduced,
    seen_edge,
    seen_picture,
    tile_plan,
)
from ml.scoring.tiling import LargeScorer, TileStatistics, blend, window


def noise(width: int, height: int, seed: int = 1) -> Image.Image:
    """Smooth random colours."""
    rng = np.random.default_rng(seed)
    small = rng.integers(40, 200, (max(2, height // 8), max(2, width // 8), 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


@pytest.mark.parametrize(
    ("sizes", "setting", "expected"),
    [
        ([(385, 100)], "auto", True),
        ([(384, 384)], "auto", False),
        ([(4000, 3000), (100, 100), (100, 120)], "auto", False),
        ([(100, 100)], "always", True),
        ([(8000, 8000)], "never", False),
        ([], "auto", False),
    ],
)
def test_tiles_are_used_where_pictures_are_large(
    sizes: list[tuple[int, int]], setting: str, expected: bool
) -> None:
    assert is_tiled(sizes, 128, setting) is expected


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ValueError, match="sometimes"):
        is_tiled([(1, 1)], 128, "sometimes")


def test_the_seen_edge_is_the_pictures_own_up_to_eight_tiles() -> None:
    assert seen_edge([(500, 300)], 128) == 500
    assert seen_edge([(8000, 8000)], 128) == 1024


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(8, 90), st.floats(0, 0.9))
def test_a_plan_covers_the_picture_and_overlaps_enough(
    width: int, height: int, size: int, overlap: float
) -> None:
    plan = tile_plan(width, height, size, overlap)
    covered = torch.zeros(height, width)
    for tile in plan:
        part = covered[tile.rows, tile.columns]
        assert part.shape == (tile.inside.height, tile.inside.width)
        assert part.shape == (min(size, height), min(size, width))
        part += 1
    assert covered.min() >= 1
    assert [t.index for t in plan] == list(range(len(plan)))
    for before, after in itertools.pairwise(plan):
        if before.row == after.row:
            shared = before.columns.stop - after.columns.start
            assert shared >= math.floor(size * overlap)
    columns = 1 + max(t.column for t in plan)
    needed = (
        1 if width <= size else 1 + math.ceil((width - size) / max(1, int(size * (1 - overlap))))
    )
    assert columns == needed


@pytest.mark.parametrize("bad", [(0, 5, 4, 0.2), (5, 5, 0, 0.2), (5, 5, 4, 1.0), (5, 5, 4, -0.1)])
def test_a_plan_without_sense_is_refused(bad: tuple[int, int, int, float]) -> None:
    with pytest.raises(ValueError, match="no tiles"):
        tile_plan(*bad)


def test_tiles_show_the_pictures_own_pixels() -> None:
    seen = seen_picture(noise(300, 200), 300)
    assert seen.size == (300, 200)
    expected = torch.from_numpy(np.array(noise(300, 200))).permute(2, 0, 1)
    assert torch.equal(seen.pixels, expected)
    for tile in seen.plan(64):
        assert torch.equal(seen.cut(tile, 64), expected[:, tile.rows, tile.columns])


def test_a_narrow_picture_is_letterboxed_never_stretched() -> None:
    seen = seen_picture(noise(1000, 100), 500)
    assert seen.size == (500, 50)
    tile = seen.plan(64)[0]
    square = seen.cut(tile, 64)
    assert tile.inside.y == 7
    assert torch.equal(square[:, 7:57], seen.pixels[:, :, :64])
    assert (square[:, :7] == PADDING[0]).all()
    assert (square[:, 57:] == PADDING[0]).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(20, 120), st.integers(20, 120), st.sampled_from([0.0, 0.1, 0.25, 0.5]))
def test_blending_what_tiles_agree_on_changes_nothing(
    width: int, height: int, overlap: float
) -> None:
    plan = tile_plan(width, height, 32, overlap)
    whole = torch.rand(height, width, generator=torch.Generator().manual_seed(1))

    def part(tile: Tile) -> Tensor:
        square = torch.full((32, 32), torch.nan)
        square[tile.inside.rows, tile.inside.columns] = whole[tile.rows, tile.columns]
        return square

    torch.testing.assert_close(blend([part(t) for t in plan], plan), whole)


def test_no_seam_shows_between_tiles_of_unlike_level() -> None:
    plan = tile_plan(112, 64, 64)
    assert len(plan) == 2
    steps = blend([torch.zeros(64, 64), torch.ones(64, 64)], plan).diff(dim=1)
    hard = torch.cat([torch.zeros(64), torch.ones(48)]).diff()
    assert steps.min() >= -1e-6
    assert steps.abs().max() < 0.12 * hard.max()
    assert window(plan[0]).min() > 0


def test_a_small_defect_of_a_large_picture_stays_in_the_map() -> None:
    """0.1 % of the area, invisible to a score of the whole at one tile's size."""
    picture = noise(2000, 1500)
    side = round(math.sqrt(0.001 * 2000 * 1500))
    damaged = picture.copy()
    damaged.paste((255, 0, 0), (1400, 300, 1400 + side, 300 + side))
    clean = seen_picture(picture, 512)

    def cheap(pixels: Tensor, tile: Tile) -> Tensor:
        return (pixels - clean.cut(tile, 64).float() / 255).abs().mean(0)

    first: list[Tensor] = []
    scorer = LargeScorer(512, 64, cheap, lambda content: float(content.max()))
    result = scorer.score(damaged, first.append)
    assert result.map.shape == (384, 512)
    y, x = divmod(int(result.map.argmax()), 512)
    assert 1400 / 2000 < x / 512 < (1400 + side) / 2000
    assert 300 / 1500 < y / 384 < (300 + side) / 1500
    hit = (result.map > 0.1).sum() / result.map.numel()
    assert hit == pytest.approx(0.001, rel=0.35)
    assert torch.equal(first[0], result.map)
    assert result.score > 0.2
    assert scorer.score(picture).score == 0


def test_the_thorough_look_goes_where_the_cheap_one_found_most() -> None:
    looked: list[int] = []

    def cheap(pixels: Tensor, tile: Tile) -> Tensor:
        return torch.full((32, 32), float(tile.index))

    def thorough(pixels: Tensor, tile: Tile) -> Tensor:
        looked.append(tile.index)
        return torch.full((32, 32), -1.0)

    mean = LargeScorer(96, 32, cheap, lambda c: float(c.mean()), thorough, most=3)
    result = mean.score(noise(96, 96))
    count = len(tile_plan(96, 96, 32))
    assert looked == result.thorough == [count - 3, count - 2, count - 1]
    assert result.tile_scores == [*map(float, range(count - 3)), -1.0, -1.0, -1.0]
    assert result.score == count - 4
    assert float(result.map[-1, -1]) == pytest.approx(-1)
    assert float(result.map[0, 0]) == 0


def test_statistics_are_kept_by_tile_only_where_parts_lie_still() -> None:
    plan = tile_plan(60, 32, 32)
    for still in (True, False):
        statistics = TileStatistics(still)
        for value in (1.0, 2.0, 3.0):
            for tile in plan:
                statistics.add(torch.full((1, 1, 32, 32), value + 10 * tile.index), tile)
        norms = statistics.norms()
        means = [float(statistics.norm_of(norms, t).mean.mean()) for t in plan]
        own = [2.0 + 10 * t.index for t in plan]
        expected = own if still else [sum(own) / len(own)] * len(own)
        assert means == pytest.approx(expected, rel=1e-5)


def test_an_aligned_picture_is_seen_in_the_common_pose_and_maps_go_back() -> None:
    base = noise(512, 512, seed=3)
    moved = Image.fromarray(np.roll(np.asarray(base), (8, -12), axis=(0, 1)))
    template = seen_picture(base, 64).pixels.float().mean(0, keepdim=True) / 255
    aligner = Aligner(template)
    plain = seen_picture(base, 256).pixels.float()
    inner = (slice(None), slice(24, -24), slice(24, -24))
    seen = seen_picture(moved, 256, aligner)
    before = (seen_picture(moved, 256).pixels.float() - plain)[inner].abs().mean()
    after = (seen.pixels.float() - plain)[inner].abs().mean()
    assert after < 0.2 * before
    spot = torch.zeros(256, 256)
    spot[100:104, 100:104] = 1
    y, x = divmod(int(seen.back(spot).argmax()), 256)
    assert abs(y - 105.5) < 3
    assert abs(x - 95.5) < 3


def test_random_tiles_are_pictures_to_train_on() -> None:
    seen = [(f"p{i}", seen_picture(noise(200, 150, seed=i), 200)) for i in range(3)]
    tiles = random_tiles(seen, 3, 64, seed=5, pool=12)
    assert len(tiles) == 12
    assert tiles.ids[:2] == ["p0#0", "p0#1"]
    assert tiles.floats(slice(0, 2)).shape == (2, 3, 64, 64)
    assert torch.equal(tiles.pixels, random_tiles(seen, 3, 64, seed=5, pool=12).pixels)
    assert not torch.equal(tiles.pixels, random_tiles(seen, 3, 64, seed=6, pool=12).pixels)
    whole = seen[0][1].pixels.unfold(1, 64, 1).unfold(2, 64, 1)
    assert (whole == tiles.pixels[0].view(3, 1, 1, 64, 64)).flatten(3).all(3).all(0).any()
    assert len(random_tiles([], 0, 64, seed=1)) == 0


def test_a_stored_map_keeps_its_peak() -> None:
    found = torch.zeros(300, 600)
    found[77, 501] = 4
    small = reduced(found, 128)
    assert small.shape == (64, 128)
    assert small.max() == 4
    assert reduced(small, 128) is small
