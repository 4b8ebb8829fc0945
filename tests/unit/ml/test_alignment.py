"""Alignment finds a known movement, ignores defects, and leaves hopeless pictures alone."""

from __future__ import annotations

import math

import pytest
import torch
from conftest import part
from PIL import Image
from torch import Tensor

from ml.data.alignment import Aligner, extents_of, fit, identity, inverse, register, warp
from ml.data.letterbox import Letterbox, letterbox, to_tensor
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


def moved_parts(size: tuple[int, int]) -> list[Image.Image]:
    """Sixteen pictures of `size` of a part that lies up to three of a hundred pixels off."""
    width, height = size
    base = part(0).resize((round(1.3 * width), round(1.3 * height)))
    left, top = (base.width - width) // 2, (base.height - height) // 2
    places = [(left + x, top + y) for x in (-3, -1, 1, 3) for y in (-3, -1, 1, 3)]
    return [base.crop((x, y, x + width, y + height)) for x, y in places]


def spread(aligner: Aligner | None, pictures: list[Image.Image]) -> float:
    """How much the pictures differ from their mean, inside of what they show."""
    seen = [model_view(one, 64, aligner) for one in pictures]
    pixels = torch.stack([view.box.crop(view.pixels).float() for view in seen])[..., 4:-4, 4:-4]
    return float((pixels - pixels.mean(0)).abs().mean())


@pytest.mark.parametrize("size", [(96, 96), (96, 64), (64, 96), (96, 84)])
def test_the_padding_holds_no_picture_back(size: tuple[int, int]) -> None:
    """The still edge between a picture and its padding is no structure of the part."""
    pictures = moved_parts(size)
    box = Letterbox.of(*size, 64)
    squares = [to_tensor(letterbox(one, 64)[0]).float() / 255 for one in pictures]
    extended = torch.stack([box.extended(square) for square in squares])
    aligner, ratio = fit(extended, extents=extents_of([size] * len(pictures)))
    assert aligner is not None
    assert ratio < 0.25
    assert spread(aligner, pictures) < 0.4 * spread(None, pictures)


def test_the_padding_stays_grey_around_a_picture_that_moves() -> None:
    pictures = moved_parts((96, 64))
    box = Letterbox.of(96, 64, 64)
    aligner = Aligner(
        box.extended(to_tensor(letterbox(pictures[5], 64)[0]).float() / 255).mean(0, keepdim=True)
    )
    for size in (64, 128):
        pixels = model_view(pictures[0], 64, aligner).at(pictures[0], size)
        top = Letterbox.of(96, 64, size).y
        assert top > 0
        assert set(pixels[:, :top].unique().tolist()) == {128}
        assert set(pixels[:, -top:].unique().tolist()) == {128}


def test_what_all_square_pictures_show_is_compared_as_ever() -> None:
    assert extents_of([(96, 96), (64, 64)]) is None
    wide, square = extents_of([(96, 64), (64, 64)]).tolist()
    assert (wide, square) == ([1, pytest.approx(2 / 3)], [1, 1])


def test_an_aligner_of_before_sees_the_padding_as_it_did() -> None:
    old = Aligner.of({"template": torch.zeros(1, 64, 64)})
    new = Aligner.of(Aligner(torch.zeros(1, 64, 64)).as_tensors())
    assert (old.extends, new.extends) == (False, True)
