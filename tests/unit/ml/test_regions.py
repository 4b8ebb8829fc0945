"""Regions: boxes, outlines, areas, peaks and p-values on maps drawn by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageDraw

from ml.metrics import label_regions
from ml.scoring.regions import MOST_CORNERS, find_regions, outline, simplify

masks = arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9)))


def polygon_area(corners: list[tuple[float, float]]) -> float:
    """Shoelace; positive for a clockwise outline with y downwards."""
    return (
        sum(
            x0 * y1 - x1 * y0
            for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]], strict=True)
        )
        / 2
    )


def holes_filled(mask: np.ndarray) -> np.ndarray:
    """The mask with everything that is not reached from outside through edges."""
    outside = np.pad(np.zeros_like(mask), 1, constant_values=True)
    free = np.pad(~mask, 1, constant_values=True)
    while True:
        grown = outside.copy()
        grown[1:] |= outside[:-1]
        grown[:-1] |= outside[1:]
        grown[:, 1:] |= outside[:, :-1]
        grown[:, :-1] |= outside[:, 1:]
        grown &= free
        if (grown == outside).all():
            return ~outside[1:-1, 1:-1]
        outside = grown


def test_an_empty_map_has_no_regions() -> None:
    assert find_regions(np.zeros((8, 8), np.float32), 1.0) == []
    assert find_regions(np.ones((8, 8), np.float32), 1.0) == []
    with pytest.raises(ValueError, match="empty"):
        outline(np.zeros((3, 3), bool))


def test_a_single_pixel_is_a_square() -> None:
    heat = np.zeros((4, 5), np.float32)
    heat[2, 3] = 7
    (region,) = find_regions(heat, 1.0, peaks=[1, 2, 8])
    assert (region.x, region.y, region.width, region.height) == (3 / 5, 2 / 4, 1 / 5, 1 / 4)
    assert region.polygon == [(0.6, 0.5), (0.8, 0.5), (0.8, 0.75), (0.6, 0.75)]
    assert region.area == 1 / 20
    assert region.peak == 7
    assert region.p_value == 2 / 4


def test_blobs_that_touch_at_a_corner_are_one_with_one_outline() -> None:
    mask = np.zeros((6, 6), bool)
    mask[1:3, 1:3] = mask[3:5, 3:5] = True
    (region,) = find_regions(mask.astype(np.float32), 0.5)
    assert (region.x, region.y, region.width, region.height) == (1 / 6, 1 / 6, 4 / 6, 4 / 6)
    assert outline(mask) == [(1, 1), (3, 1), (3, 3), (5, 3), (5, 5), (3, 5), (3, 3), (1, 3)]
    assert polygon_area(region.polygon) == pytest.approx(8 / 36)


def test_a_ring_is_outlined_outside_and_its_hole_is_no_area() -> None:
    mask = np.zeros((9, 9), bool)
    mask[1:8, 1:8] = True
    mask[3:6, 3:6] = False
    (region,) = find_regions(mask.astype(np.float32), 0.5)
    assert region.area == pytest.approx((49 - 9) / 81)
    assert outline(mask) == [(1, 1), (8, 1), (8, 8), (1, 8)]


def test_a_blob_at_the_border_stays_inside_the_picture() -> None:
    heat = np.zeros((10, 20), np.float32)
    heat[6:, 15:] = 2
    (region,) = find_regions(heat, 1.0)
    assert region.polygon == [(0.75, 0.6), (1.0, 0.6), (1.0, 1.0), (0.75, 1.0)]
    assert region.x + region.width == 1
    assert region.y + region.height == 1


def test_the_highest_peak_comes_first_and_counts_against_the_normals_peaks() -> None:
    heat = np.zeros((20, 20), np.float32)
    heat[1:4, 1:4] = 3
    heat[10, 10] = 9
    heat[15:18, 2:9] = 5
    regions = find_regions(heat, 1.0, peaks=[1.0, 2.0, 4.0, 6.0])
    assert [r.peak for r in regions] == [9, 5, 3]
    assert [r.p_value for r in regions] == [1 / 5, 2 / 5, 3 / 5]
    assert [r.p_value for r in find_regions(heat, 1.0)] == [None] * 3
    assert [r.peak for r in find_regions(heat, 1.0, most=2)] == [9, 5]
    assert [r.peak for r in find_regions(heat, 1.0, smallest=5 / 400)] == [5, 3]


def test_a_disc_needs_few_corners_and_hardly_changes() -> None:
    picture = Image.new("1", (200, 200))
    ImageDraw.Draw(picture).ellipse((20, 30, 170, 150), fill=1)
    disc = np.asarray(picture)
    (region,) = find_regions(disc.astype(np.float32), 0.5)
    assert len(region.polygon) <= MOST_CORNERS < len(outline(disc))
    assert polygon_area(region.polygon) == pytest.approx(region.area, rel=0.03)


@settings(deadline=None)
@given(masks)
def test_outlines_enclose_exactly_the_region_and_its_holes(mask: np.ndarray) -> None:
    labels, count = label_regions(mask)
    for number in range(1, count + 1):
        one = labels == number
        corners = outline(one)
        assert polygon_area([(float(x), float(y)) for x, y in corners]) == holes_filled(one).sum()
        ys, xs = np.nonzero(one)
        assert min(corners, key=lambda c: c[0])[0] == xs.min()
        assert max(corners, key=lambda c: c[1])[1] == ys.max() + 1
        assert all((a[0] == b[0]) != (a[1] == b[1]) for a, b in zip(corners, corners[1:]))  # noqa: B905, RUF007


@settings(deadline=None)
@given(masks, st.integers(3, 8))
def test_simplifying_keeps_corners_of_the_outline(mask: np.ndarray, most: int) -> None:
    labels, count = label_regions(mask)
    for number in range(1, count + 1):
        corners = outline(labels == number)
        kept = simplify(corners, most, stairs_above=3)
        assert 3 <= len(kept) <= most
        assert set(kept) <= set(corners)


@settings(deadline=None)
@given(arrays(np.float32, (7, 6), elements=st.floats(0, 10, width=32)), st.floats(0, 10))
def test_regions_account_for_everything_above_the_line(heat: np.ndarray, line: float) -> None:
    regions = find_regions(heat, line, smallest=0, most=100)
    above = int((heat > line).sum())
    assert sum(round(r.area * heat.size) for r in regions) == above
    assert [r.peak for r in regions] == sorted((r.peak for r in regions), reverse=True)
    assert all(r.peak > line for r in regions)
    if above:
        assert regions[0].peak == heat.max()
    for r in regions:
        assert all(r.x <= x <= r.x + r.width + 1e-9 for x, _ in r.polygon)
        assert all(r.y <= y <= r.y + r.height + 1e-9 for _, y in r.polygon)
