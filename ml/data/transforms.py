"""Augmentation: two distorted views for Barlow Twins, light changes for inpainting."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.transforms import v2

from ml.data.symmetries import transformed


def view_transform(size: int) -> v2.Transform:
    """Distortion of one Barlow Twins view: crop, flip, colour, blur, grey.

    No hue and no strong zoom: a part's colour and scale are what an inspection looks at.
    """
    return v2.Compose(
        [
            v2.RandomResizedCrop(size, scale=(0.35, 1.0), ratio=(0.8, 1.25), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.3)], p=0.8),
            v2.RandomGrayscale(0.1),
            v2.RandomApply([v2.GaussianBlur(5, sigma=(0.1, 1.5))], p=0.3),
        ]
    )


def two_views(pictures: Tensor, transform: v2.Transform) -> tuple[Tensor, Tensor]:
    """Distort each of the uint8 pictures (N, 3, S, S) twice; floats in 0..1."""
    first = torch.stack([transform(p) for p in pictures])
    second = torch.stack([transform(p) for p in pictures])
    return first.float() / 255, second.float() / 255


def light_augment(
    images: Tensor, generator: torch.Generator, shift: int, symmetries: Sequence[str] = ()
) -> Tensor:
    """Small changes a camera makes: brightness, contrast, tint and a shift of some pixels.

    images: (B, 3, S, S) in 0..1. Nothing stronger: what the model sees as normal here it will
    not report as a defect later. What the product's symmetries allow is shown every other time.
    """
    if symmetries:
        images = _symmetric(images, generator, symmetries)
    batch, _, height, width = images.shape
    gain = 1 + 0.06 * (2 * torch.rand(batch, 1, 1, 1, generator=generator) - 1)
    tint = 0.015 * (2 * torch.rand(batch, 3, 1, 1, generator=generator) - 1)
    moved = torch.empty_like(images)
    offsets = torch.randint(-shift, shift + 1, (batch, 2), generator=generator).tolist()
    padded = torch.nn.functional.pad(images, (shift,) * 4, mode="replicate") if shift else images
    for index, (dy, dx) in enumerate(offsets):
        top, left = shift + dy, shift + dx
        moved[index] = padded[index, :, top : top + height, left : left + width]
    return (moved * gain + tint).clamp(0, 1)


def _symmetric(images: Tensor, generator: torch.Generator, symmetries: Sequence[str]) -> Tensor:
    seeds = torch.randint(2**31, (len(images),), generator=generator).tolist()
    shown = []
    for image, seed in zip(images, seeds, strict=True):
        rng = random.Random(seed)
        for symmetry in symmetries:
            if rng.random() < 0.5:
                image = transformed(image, symmetry, rng)
        shown.append(image)
    return torch.stack(shown)
