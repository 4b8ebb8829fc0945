"""Letterbox and back, the picture set, the transforms."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ml.data.dataset import Source, load_pictures
from ml.data.letterbox import PADDING, Letterbox, letterbox
from ml.data.synthetic import KINDS, SMALLEST, visible_defect
from ml.data.transforms import light_augment, two_views, view_transform


@pytest.mark.parametrize("shape", [(200, 100), (100, 200), (64, 64), (1000, 3), (31, 47)])
def test_letterbox_keeps_the_aspect_and_crops_back(shape: tuple[int, int]) -> None:
    width, height = shape
    square, box = letterbox(Image.new("RGB", shape, (255, 0, 0)), 64)
    assert square.shape == (64, 64, 3)
    assert max(box.width, box.height) == 64
    assert abs(box.width / 64 - width / max(shape)) <= 1 / 64
    assert abs(box.height / 64 - height / max(shape)) <= 1 / 64
    inside = box.crop(torch.from_numpy(square).permute(2, 0, 1))
    assert inside.shape == (3, box.height, box.width)
    assert (inside[0] > 250).all()
    outside = np.ones((64, 64), bool)
    outside[box.rows, box.columns] = False
    assert (square[outside] == PADDING).all()


def test_letterbox_of_a_map_gives_the_pictures_own_corner() -> None:
    box = Letterbox.of(200, 100, 64)
    heat = torch.zeros(64, 64)
    heat[box.y, box.x] = 1
    assert box.crop(heat)[0, 0] == 1


def test_unreadable_pictures_are_left_out_with_their_reason(tmp_path: Path) -> None:
    Image.new("RGB", (200, 100), (1, 2, 3)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"not a picture")
    sources = [Source(n, tmp_path / f"{n}.png") for n in ("a", "b", "c")]
    seen: list[tuple[int, int]] = []
    pictures = load_pictures(sources, 32, lambda i, n: seen.append((i, n)))
    assert pictures.ids == ["a"]
    assert pictures.sizes == [(200, 100)]
    assert set(pictures.unreadable) == {"b", "c"}
    assert all(pictures.unreadable.values())
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_two_views_differ_and_follow_the_seed() -> None:
    pictures = torch.randint(0, 255, (3, 3, 32, 32), dtype=torch.uint8)
    transform = view_transform(32)
    torch.manual_seed(5)
    a, b = two_views(pictures, transform)
    torch.manual_seed(5)
    again, _ = two_views(pictures, transform)
    assert a.shape == b.shape == (3, 3, 32, 32)
    assert not torch.equal(a, b)
    assert torch.equal(a, again)


def test_light_augmentation_is_light() -> None:
    image = torch.full((4, 3, 32, 32), 0.5)
    changed = light_augment(image, torch.Generator().manual_seed(1), shift=2)
    assert not torch.equal(changed, image)
    assert float((changed - image).abs().max()) < 0.06


@pytest.mark.parametrize("kind", KINDS)
def test_synthetic_defects_change_a_small_connected_part(kind: str) -> None:
    image = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(2))
    damaged, mask = visible_defect(image, kind, random.Random(4))
    again, _ = visible_defect(image, kind, random.Random(4))
    assert torch.equal(damaged, again)
    assert 0.0005 < float(mask.float().mean()) < 0.25
    assert torch.allclose(damaged[:, ~mask], image[:, ~mask], atol=0.03)
    assert float(damaged.min()) >= 0
    assert float(damaged.max()) <= 1


@pytest.mark.parametrize("kind", ["cut_paste", "missing_patch", "spot"])
def test_some_synthetic_defects_are_as_small_as_a_pin_hole_and_some_large(kind: str) -> None:
    image = torch.rand(3, 128, 128, generator=torch.Generator().manual_seed(2))
    rng = random.Random(4)
    shares = [float(visible_defect(image, kind, rng)[1].float().mean()) for _ in range(60)]
    assert SMALLEST * 0.99 <= min(shares) < 0.0025
    assert max(shares) > 0.01
