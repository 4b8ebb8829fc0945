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

from ml.data import tiles
from ml.data.alignment import Aligner
from ml.data.letterbox import PADDING
from ml.data.sight import Sight, Tiling, look_at, wanted_tiles
from ml.data.tiles import (
    Tile,
    is_tiled,
    random_tiles,
    reduced,
    seen_edge,
    seen_picture,
    tile_plan,
)
from ml.memory.view import resized
from ml.scoring.tiling import LargeScorer, Look, blend, window


def noise(width: int, height: int, seed: int = 1) -> Image.Image:
    """Smooth random colours."""
    rng = np.random.default_rng(seed)
    small = rng.integers(40, 200, (max(2, height // 8), max(2, width // 8), 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


@pytest.mark.parametrize(
    ("sizes", "setting", "expected"),
    [
        ([(2049, 100)], "auto", True),
        ([(2048, 2048)], "auto", False),
        ([(4000, 3000), (100, 100), (100, 120)], "auto", False),
        ([(100, 100)], "always", True),
        ([(8000, 8000)], "never", False),
        ([], "auto", False),
    ],
)
def test_tiles_are_used_where_pictures_are_large(
    sizes: list[tuple[int, int]], setting: str, expected: bool
) -> None:
    assert is_tiled(sizes, setting) is expected


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ValueError, match="sometimes"):
        is_tiled([(1, 1)], "sometimes")


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


def looked(found: Tensor, **scores: float) -> Look:
    return Look(found, {"decision": float(found.max()), **scores})


def test_a_small_defect_of_a_large_picture_stays_in_the_map() -> None:
    """0.1 % of the area, invisible to a score of the whole at one tile's size."""
    picture = noise(2000, 1500)
    side = round(math.sqrt(0.001 * 2000 * 1500))
    damaged = picture.copy()
    damaged.paste((255, 0, 0), (1400, 300, 1400 + side, 300 + side))
    clean = seen_picture(picture, 512)

    def first(sight: Sight, tile: Tile) -> Look:
        apart = (sight.pixels(tile).float() - clean.cut(tile, 64).float()) / 255
        return looked(apart.abs().mean(0))

    maps: list[Tensor] = []
    scorer = LargeScorer(lambda p: look_at(p, Tiling(512), 64), first)
    result = scorer.score(damaged, maps.append)
    assert result.map.shape == (384, 512)
    y, x = divmod(int(result.map.argmax()), 512)
    assert 1400 / 2000 < x / 512 < (1400 + side) / 2000
    assert 300 / 1500 < y / 384 < (300 + side) / 1500
    hit = (result.map > 0.1).sum() / result.map.numel()
    assert hit == pytest.approx(0.001, rel=0.35)
    assert torch.equal(maps[0], result.map)
    assert result.score > 0.2
    assert result.restored.shape == (384, 512, 3)
    assert scorer.score(picture).score == 0


def test_the_thorough_look_goes_where_the_first_found_most() -> None:
    seen: list[int] = []

    def first(sight: Sight, tile: Tile) -> Look:
        return looked(torch.full((32, 32), float(tile.index)), memory=float(tile.index))

    def again(sight: Sight, tile: Tile) -> Look:
        seen.append(tile.index)
        restored = torch.full((3, 32, 32), 0.5)
        return Look(torch.full((32, 32), -1.0), {"decision": -1.0, "eq7": 7.0}, restored)

    scorer = LargeScorer(lambda p: look_at(p, Tiling(96), 32), first, again, most=3)
    result = scorer.score(noise(96, 96))
    count = len(tile_plan(96, 96, 32))
    assert seen == result.thorough == [count - 3, count - 2, count - 1]
    assert result.tile_scores == [*map(float, range(count - 3)), -1.0, -1.0, -1.0]
    assert result.scores == {"decision": count - 4, "memory": count - 4, "eq7": 7.0}
    assert float(result.map[-1, -1]) == pytest.approx(-1)
    assert float(result.map[0, 0]) == 0
    assert (result.restored[-1, -1] == 128).all()
    assert (result.restored[0, 0] == np.array(noise(96, 96))[0, 0]).all()


def test_tiles_outside_every_repair_zone_are_skipped() -> None:
    zones = [[0.0, 0.5, 0.25, 0.25]]
    sight = look_at(noise(256, 128), Tiling(256), 32, zones=zones)
    inside = [t for t in sight.plan if t.x < 64 and t.y < 96 and t.y + 32 > 64]
    assert sight.wanted == inside == wanted_tiles(512, 256, Tiling(256), 32, zones)
    for tile in inside:
        box, zone = sight.box(tile), sight.zone_in(tile)
        judged = torch.ones(32, 32) if zone is None else zone
        assert box.crop(judged).min() == 1
        assert box.width * box.height == int(judged.sum())

    scorer = LargeScorer(
        lambda p: look_at(p, Tiling(256), 32, zones=zones),
        lambda sight, tile: looked(torch.ones(32, 32)),
    )
    found = scorer.score(noise(256, 128)).map
    assert found[64:96, :64].min() == found.max() == 1
    assert float(found.sum()) == 64 * 32


@pytest.mark.parametrize(("width", "height"), [(700, 500), (500, 40), (80, 600)])
def test_the_memory_sees_the_same_place_at_its_own_scale(width: int, height: int) -> None:
    sight = look_at(noise(width, height), Tiling(256), 64, fine_size=96)
    for tile in sight.plan:
        large = sight.large(tile)
        assert large is not None
        small = resized(large[None].float() / 255, 64)[0]
        apart = tile.inside.crop(small - sight.pixels(tile).float() / 255)
        assert float(apart[:, 4:-4, 4:-4].abs().mean()) < 0.02


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


def test_what_was_restored_is_shown_where_the_picture_has_it() -> None:
    base = noise(256, 256, seed=3)
    moved = Image.fromarray(np.roll(np.asarray(base), (4, -6), axis=(0, 1)))
    aligner = Aligner(seen_picture(base, 64).pixels.float().mean(0, keepdim=True) / 255)
    sight = look_at(moved, Tiling(256), 64, aligner=aligner)
    assert (sight.seen.pixels != seen_picture(moved, 256).pixels).any()

    def first(sight: Sight, tile: Tile) -> Look:
        return Look(torch.zeros(64, 64), {"decision": 0.0}, sight.pixels(tile).float() / 255)

    scorer = LargeScorer(lambda p: look_at(p, Tiling(256), 64, aligner=aligner), first)
    apart = scorer.score(moved).restored.astype(float) - np.asarray(moved)
    assert np.abs(apart)[16:-16, 16:-16].mean() < 2


def test_random_tiles_are_pictures_to_train_on() -> None:
    seen = [(f"p{i}", seen_picture(noise(200, 150, seed=i), 200)) for i in range(3)]
    found = random_tiles(seen, 3, 64, seed=5, pool=12)
    assert len(found) == 12
    assert found.ids[:2] == ["p0#0", "p0#1"]
    assert found.floats(slice(0, 2)).shape == (2, 3, 64, 64)
    assert torch.equal(found.pixels, random_tiles(seen, 3, 64, seed=5, pool=12).pixels)
    assert not torch.equal(found.pixels, random_tiles(seen, 3, 64, seed=6, pool=12).pixels)
    whole = seen[0][1].pixels.unfold(1, 64, 1).unfold(2, 64, 1)
    assert (whole == found.pixels[0].view(3, 1, 1, 64, 64)).flatten(3).all(3).all(0).any()
    assert len(random_tiles([], 0, 64, seed=1)) == 0


def test_tiles_to_learn_from_take_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "POOL_BYTES", 5 * 3 * 64 * 64)
    seen = [(f"p{i}", seen_picture(noise(200, 150, seed=i), 200)) for i in range(2)]
    assert len(random_tiles(iter(seen), 2, 64, seed=5)) == 4


def test_a_stored_map_keeps_its_peak() -> None:
    found = torch.zeros(300, 600)
    found[77, 501] = 4
    small = reduced(found, 128)
    assert small.shape == (64, 128)
    assert small.max() == 4
    assert reduced(small, 128) is small
