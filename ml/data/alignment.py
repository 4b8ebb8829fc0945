"""Alignment: parts that lie almost still are brought to one common pose.

A fixture holds a part to within a few pixels and a fraction of a degree. That little is enough
to blur the mean, the restorations and the statistics of every position, so each picture is
registered to a template of the training normals by an affine transform (Lucas–Kanade, inverse
compositional: Baker & Matthews, "Lucas-Kanade 20 Years On", IJCV 2004), with a gain and an
offset for the light and robust weights, so that a defect pulls on nothing. Whether a product is
aligned at all is decided on its training normals alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ml.blur import gaussian_blur

WORTH = 0.85  # aligned, normals must lie this much closer to their mean than before
ALIKE = 1e-4  # mean difference of normals to their mean: a fortieth of a grey level
MOST_SHIFT = 0.08  # of the picture's edge
MOST_SHEAR = 0.10  # deviation of the linear part from the identity
ROUNDS = 3
PYRAMID = ((8, 12), (4, 12), (2, 8), (1, 8))  # (reduction, iterations)
COARSEST = 32  # pixels: below, hardly a structure is left to register by
BORDER = 0.06
FIT_ON = 64  # normals


def identity(count: int) -> Tensor:
    """`count` affine maps (n, 2, 3) that change nothing."""
    return torch.eye(2, 3).repeat(count, 1, 1)


def warp(images: Tensor, transforms: Tensor, size: int | None = None) -> Tensor:
    """Sample images (n, C, S, S) at transforms (n, 2, 3) of the output's coordinates (−1..1).

    A smaller `size` is sampled twice as finely and averaged, so that a picture of twice the
    size loses no sharpness that depends on the sub-pixel shift.
    """
    size = size or images.shape[-1]
    finer = images.shape[-1] >= 2 * size
    side = 2 * size if finer else size
    grid = F.affine_grid(
        transforms, [images.shape[0], images.shape[1], side, side], align_corners=False
    )
    moved = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return F.avg_pool2d(moved, 2) if finer else moved


def inverse(transforms: Tensor) -> Tensor:
    """The opposite maps (n, 2, 3)."""
    return torch.linalg.inv(_square(transforms))[:, :2]


def _square(transforms: Tensor) -> Tensor:
    last = torch.tensor([0.0, 0.0, 1.0]).expand(len(transforms), 1, 3)
    return torch.cat([transforms, last], dim=1)


def register(images: Tensor, template: Tensor) -> Tensor:
    """Affine maps (n, 2, 3) that bring grey images (n, 1, S, S) onto the template (1, S, S).

    Coarse to fine; a picture that this does not bring closer, or that would move further than
    a fixture allows, stays where it is.
    """
    transforms = identity(len(images))
    for reduction, iterations in PYRAMID:
        if reduction > 1 and images.shape[-1] // reduction < COARSEST:
            continue
        small = F.avg_pool2d(images, reduction) if reduction > 1 else images
        goal = F.avg_pool2d(template, reduction) if reduction > 1 else template
        transforms = _lucas_kanade(
            gaussian_blur(small, 1.0), gaussian_blur(goal, 1.0), transforms, iterations
        )
    change = (transforms - identity(1)).abs()
    allowed = (change[:, :, 2].amax(1) <= 2 * MOST_SHIFT) & (
        change[:, :, :2].flatten(1).amax(1) <= MOST_SHEAR
    )
    better = distance(warp(images, transforms), template) < distance(images, template)
    return torch.where((allowed & better).view(-1, 1, 1), transforms, identity(1))


def distance(images: Tensor, template: Tensor) -> Tensor:
    """Mean absolute difference to the template, light set aside, (n,)."""
    gain, offset = _light(images, template, torch.ones_like(images))
    return (gain * template + offset - images).abs().flatten(1).mean(1)


def _light(images: Tensor, template: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Gain and offset (n, 1, 1, 1) with which the template best explains each image."""
    total = weights.sum((1, 2, 3), keepdim=True)
    mean_i = (weights * images).sum((1, 2, 3), keepdim=True) / total
    mean_t = (weights * template).sum((1, 2, 3), keepdim=True) / total
    centred = template - mean_t
    power = (weights * centred.square()).sum((1, 2, 3), keepdim=True).clamp(min=1e-9)
    gain = (weights * centred * (images - mean_i)).sum((1, 2, 3), keepdim=True) / power
    return gain, mean_i - gain * mean_t


def _lucas_kanade(images: Tensor, template: Tensor, transforms: Tensor, iterations: int) -> Tensor:
    size = template.shape[-1]
    steepest, inside = _steepest_descent(template)
    for _ in range(iterations):
        moved = warp(images, transforms)
        gain, offset = _light(moved, template, inside.expand_as(moved))
        error = (moved - gain * template - offset) * inside
        scale = error.abs().flatten(1).mean(1).view(-1, 1, 1, 1).clamp(min=1e-6)
        weights = (1 / (1 + (error / (2 * scale)).square())).flatten(1)
        weighted = weights.unsqueeze(2) * steepest  # (n, S², 6)
        hessian = steepest.T @ weighted + 1e-4 * size * torch.eye(6)
        slope = (weighted * (error / gain.clamp(min=0.1)).flatten(1).unsqueeze(2)).sum(1)
        step = torch.linalg.solve(hessian, slope.unsqueeze(2)).view(-1, 2, 3)
        update = torch.linalg.inv(_square(identity(1) + step))
        transforms = (_square(transforms) @ update)[:, :2]
    return transforms


def _steepest_descent(template: Tensor) -> tuple[Tensor, Tensor]:
    """The template's derivative by the six parameters (S², 6), and the weight of the inside."""
    size = template.shape[-1]
    gy, gx = torch.gradient(template[0])
    # The transforms' unit is half a picture.
    gy, gx = gy * size / 2, gx * size / 2
    axis = (torch.arange(size) + 0.5) * 2 / size - 1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    inside = ((x.abs() < 1 - BORDER) & (y.abs() < 1 - BORDER)).float()
    columns = torch.stack([gx * x, gx * y, gx, gy * x, gy * y, gy], dim=-1)
    return (columns * inside.unsqueeze(-1)).view(-1, 6), inside.view(1, 1, size, size)


@dataclass
class Aligner:
    """Registers pictures to a template (1, S, S) of grey normals."""

    template: Tensor

    def transforms(self, images: Tensor) -> Tensor:
        """Affine maps (n, 2, 3) for colour images (n, 3, S, S) in 0..1."""
        return register(images.mean(1, keepdim=True), self.template)


def fit(
    images: Tensor, tick: Callable[[int, int], None] | None = None, batch: int = 16
) -> tuple[Aligner | None, float]:
    """An aligner for normals (n, 3, S, S) in 0..1, and the factor by which it brings them closer.

    None where alignment is not worth it: parts that turn freely, textures, parts that lie still
    already, or pictures that do not differ at all. `tick(done, total)` follows each batch of each
    round.
    """
    grey = images[:FIT_ON].mean(1, keepdim=True)
    before = template = grey.mean(0)
    moved = grey
    apart = distance(grey, before).mean()
    if apart < ALIKE:  # nothing to bring closer; the factor would be one of rounding errors
        return None, 1.0
    batches = torch.split(grey, batch)
    for turn in range(ROUNDS):
        parts = []
        for place, part in enumerate(batches):
            if tick:
                tick(turn * len(batches) + place, ROUNDS * len(batches))
            parts.append(warp(part, register(part, template)))
        moved = torch.cat(parts)
        template = moved.mean(0)
    ratio = float(distance(moved, template).mean() / apart)
    return (Aligner(template) if ratio <= WORTH else None), ratio
