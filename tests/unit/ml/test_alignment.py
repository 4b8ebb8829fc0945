"""Alignment finds a known movement, ignores defects, and leaves hopeless pictures alone."""

from __future__ import annotations

import math

import pytest
import torch
from conftest import part
from PIL import Image
from torch import Tensor

from ml.data.alignment import Aligner, fit, identity, inverse, register, warp
from ml.data.letterbox import letterbox, to_tensor
from ml.data.model_view import model_view


def picture(seed: int = 0, *, defect: bool = False) -> Tensor:
    """(3, 64, 64) in 0..1."""
    image = part(seed, defect=defect, size=(96, 96))
    return to_tensor(letterbox(image, 64)[0]).float() / 255


def movement(degrees: float, right: float, down: float) -> Tensor:
    """(1, 2, 3), shifts as shares of the edge."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return torch.tensor([[[c, -s, 2 * right], [s, c, 2 * down]]])


def mean_error(a: Tensor, b: Tensor) -> float:
    """Mean absolute difference away from the border, where a moved picture has no content."""
    return float((a - b).abs()[..., 8:-8, 8:-8].mean())


@pytest.mark.parametrize("move", [(0, 0.04, -0.03), (3, 0, 0), (-2, 0.02, 0.04)])
def test_a_known_movement_is_undone(move: tuple[float, float, float]) -> None:
    moved = warp(picture().unsqueeze(0), movement(*move))
    found = register(moved.mean(1, keepdim=True), picture().mean(0, keepdim=True))
    error = (found - inverse(movement(*move))).abs()
    assert float(error[..., 2].max()) < 0.01  # a third of a pixel
    assert float(error[..., :2].max()) < 0.02


def test_light_and_a_defect_do_not_mislead() -> None:
    original, bad = picture(), picture(defect=True)
    moved = warp((0.8 * bad + 0.05).unsqueeze(0), movement(2, 0.03, 0.02))
    found = register(moved.mean(1, keepdim=True), original.mean(0, keepdim=True))
    expected = inverse(movement(2, 0.03, 0.02))
    assert float((found - expected).abs().max()) < 0.02


def test_what_does_not_come_closer_or_moves_too_far_stays() -> None:
    noise = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    template = picture().mean(0, keepdim=True)
    far = warp(picture().mean(0, keepdim=True).unsqueeze(0), movement(0, 0.3, 0))
    for image in (noise, far):
        found = register(image, template)
        assert float((found - identity(1)).abs().max()) <= 0.2


def test_moved_parts_are_worth_aligning_and_still_ones_are_not() -> None:
    moves = [(d, r, q) for d in (-2, 0, 2) for r in (-0.03, 0.03) for q in (-0.03, 0.03)]
    moved = torch.cat([warp(picture(i).unsqueeze(0), movement(*m)) for i, m in enumerate(moves)])
    aligner, ratio = fit(moved)
    assert aligner is not None
    assert ratio < 0.6
    base = picture()
    noise = torch.randn(12, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    still = (base + 0.03 * noise).clamp(0, 1)
    assert fit(still)[0] is None


@pytest.mark.parametrize("levels", [(90,) * 12, tuple(range(90, 102))])
def test_pictures_without_any_difference_are_not_aligned(levels: tuple[int, ...]) -> None:
    flat = torch.stack([torch.full((3, 64, 64), level / 255) for level in levels])
    assert fit(flat) == (None, 1.0)
    assert fit(picture().expand(12, -1, -1, -1)) == (None, 1.0)


def test_maps_go_back_to_where_the_picture_has_them() -> None:
    template = picture().mean(0, keepdim=True)
    moved = warp(torch.nn.functional.interpolate(picture().unsqueeze(0), scale_factor=2),
                 movement(0, 0.05, 0))  # fmt: skip
    pixels = (moved[0].permute(1, 2, 0).numpy() * 255).astype("uint8")
    seen = model_view(Image.fromarray(pixels), 64, Aligner(template))
    assert seen.transform is not None
    assert mean_error(seen.pixels.float() / 255, picture()) < 0.03
    heat = torch.zeros(64, 64)
    heat[20:24, 40:44] = 1
    y, x = (float(v.float().mean()) for v in torch.nonzero(seen.back(heat) > 0.5, as_tuple=True))
    # The picture shows the part 5 % further left, and so must the map.
    assert x == pytest.approx(41.5 - 0.05 * 64, abs=1)
    assert y == pytest.approx(21.5, abs=1)


def test_views_do_not_depend_on_what_was_seen_before() -> None:
    aligner = Aligner(picture().mean(0, keepdim=True))
    first = model_view(part(3), 64, aligner)
    model_view(part(4, defect=True), 64, aligner)
    assert torch.equal(first.pixels, model_view(part(3), 64, aligner).pixels)
