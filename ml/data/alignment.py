"""Alignment: parts that lie almost still are brought to one common pose.

A fixture holds a part to within a few pixels and a fraction of a degree. That little is enough
to blur the mean, the restorations and the statistics of every position, so each picture is
registered to a template of the training normals by an affine transform (Lucas–Kanade, inverse
compositional: Baker & Matthews, "Lucas-Kanade 20 Years On", IJCV 2004), with a gain and an
offset for the light and robust weights, so that a defect pulls on nothing. Whether a product is
aligned at all is decided on its training normals alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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


def register(images: Tensor, template: Tensor, extents: Tensor | None = None) -> Tensor:
    """Affine maps (n, 2, 3) that bring grey images (n, 1, S, S) onto the template (1, S, S).

    extents: (n, 2), shares of the square's width and height that each picture covers; None where
    all of them cover it. What lies outside is sampled and not compared. Coarse to fine; a picture
    that this does not bring closer, or that would move further than a fixture allows, stays
    where it is.
    """
    transforms = identity(len(images))
    for reduction, iterations in PYRAMID:
        if reduction > 1 and images.shape[-1] // reduction < COARSEST:
            continue
        small = F.avg_pool2d(images, reduction) if reduction > 1 else images
        goal = F.avg_pool2d(template, reduction) if reduction > 1 else template
        transforms = _lucas_kanade(
            gaussian_blur(small, 1.0), gaussian_blur(goal, 1.0), transforms, iterations, extents
        )
    change = (transforms - identity(1)).abs()
    allowed = (change[:, :, 2].amax(1) <= 2 * MOST_SHIFT) & (
        change[:, :, :2].flatten(1).amax(1) <= MOST_SHEAR
    )
    after = distance(warp(images, transforms), template, extents)
    better = after < distance(images, template, extents)
    return torch.where((allowed & better).view(-1, 1, 1), transforms, identity(1))


def distance(images: Tensor, template: Tensor, extents: Tensor | None = None) -> Tensor:
    """Mean absolute difference to the template, light set aside, (n,)."""
    if extents is None:
        gain, offset = _light(images, template, torch.ones_like(images))
        return (gain * template + offset - images).abs().flatten(1).mean(1)
    inside = _inside(images.shape[-1], extents, 0.0)
    gain, offset = _light(images, template, inside)
    apart = (gain * template + offset - images).abs() * inside
    return apart.flatten(1).sum(1) / inside.flatten(1).sum(1)


def _light(images: Tensor, template: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Gain and offset (n, 1, 1, 1) with which the template best explains each image."""
    total = weights.sum((1, 2, 3), keepdim=True)
    mean_i = (weights * images).sum((1, 2, 3), keepdim=True) / total
    mean_t = (weights * template).sum((1, 2, 3), keepdim=True) / total
    centred = template - mean_t
    power = (weights * centred.square()).sum((1, 2, 3), keepdim=True).clamp(min=1e-9)
    gain = (weights * centred * (images - mean_i)).sum((1, 2, 3), keepdim=True) / power
    return gain, mean_i - gain * mean_t


def _lucas_kanade(
    images: Tensor,
    template: Tensor,
    transforms: Tensor,
    iterations: int,
    extents: Tensor | None,
) -> Tensor:
    size = template.shape[-1]
    steepest = _steepest_descent(template)
    inside = _inside(size, extents, BORDER)
    for _ in range(iterations):
        moved = warp(images, transforms)
        gain, offset = _light(moved, template, inside.expand_as(moved))
        error = (moved - gain * template - offset) * inside
        scale = error.abs().flatten(1).mean(1).view(-1, 1, 1, 1).clamp(min=1e-6)
        weights = (inside / (1 + (error / (2 * scale)).square())).flatten(1)
        weighted = weights.unsqueeze(2) * steepest  # (n, S², 6)
        hessian = steepest.T @ weighted + 1e-4 * size * torch.eye(6)
        slope = (weighted * (error / gain.clamp(min=0.1)).flatten(1).unsqueeze(2)).sum(1)
        step = torch.linalg.solve(hessian, slope.unsqueeze(2)).view(-1, 2, 3)
        update = torch.linalg.inv(_square(identity(1) + step))
        transforms = (_square(transforms) @ update)[:, :2]
    return transforms


def _steepest_descent(template: Tensor) -> Tensor:
    """The template's derivative by the six parameters (S², 6)."""
    size = template.shape[-1]
    gy, gx = torch.gradient(template[0])
    # The transforms' unit is half a picture.
    gy, gx = gy * size / 2, gx * size / 2
    y, x = _grid(size)
    return torch.stack([gx * x, gx * y, gx, gy * x, gy * y, gy], dim=-1).view(-1, 6)


def _grid(size: int) -> tuple[Tensor, Tensor]:
    """Rows and columns (S, S) of the pixels in −1..1."""
    axis = (torch.arange(size) + 0.5) * 2 / size - 1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return y, x


def _inside(size: int, extents: Tensor | None, border: float) -> Tensor:
    """1 where a picture is, `border` away from its edges: (n or 1, 1, S, S)."""
    wide, high = (torch.ones(1, 2) if extents is None else extents).view(-1, 2, 1, 1, 1).unbind(1)
    y, x = _grid(size)
    return ((x.abs() < wide - border) & (y.abs() < high - border)).float()


@dataclass
class Aligner:
    """Registers pictures to a template (1, S, S) of grey normals.

    extends: pictures that are not square are moved with their outermost pixels repeated over the
    padding, and compared inside of it: the padding's still edge would else hold them where they
    are. Models from before 27 November 2026 did not.
    """

    template: Tensor
    extends: bool = True

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> Aligner:
        """From what `as_tensors` gave."""
        return cls(tensors["template"], "extends" in tensors)

    def as_tensors(self) -> dict[str, Tensor]:
        """For a file of tensors."""
        return {"template": self.template, **({"extends": torch.ones(1)} if self.extends else {})}

    def transforms(self, images: Tensor, size: tuple[int, int]) -> Tensor:
        """Affine maps (n, 2, 3) for colour images (n, 3, S, S) in 0..1 of pictures that have this
        width and height."""
        extents = extents_of([size]) if self.extends else None
        return register(images.mean(1, keepdim=True), self.template, extents)


def extents_of(sizes: Sequence[tuple[int, int]]) -> Tensor | None:
    """(n, 2) for `register` of pictures of these (width, height); None where all are square."""
    if all(width == height for width, height in sizes):
        return None
    return torch.tensor([(w / max(w, h), h / max(w, h)) for w, h in sizes])


def fit(
    images: Tensor,
    tick: Callable[[int, int], None] | None = None,
    batch: int = 16,
    extents: Tensor | None = None,
) -> tuple[Aligner | None, float]:
    """An aligner for normals (n, 3, S, S) in 0..1, the padding of those that are not square
    extended (`extents` as for `register`), and the factor by which it brings them closer.

    None where alignment is not worth it: parts that turn freely, textures, parts that lie still
    already, or pictures that do not differ at all. `tick(done, total)` follows each batch of each
    round.
    """
    grey = images[:FIT_ON].mean(1, keepdim=True)
    extents = None if extents is None else extents[:FIT_ON]
    before = template = grey.mean(0)
    moved = grey
    apart = distance(grey, before, extents).mean()
    if apart < ALIKE:  # nothing to bring closer; the factor would be one of rounding errors
        return None, 1.0
    batches = torch.split(grey, batch)
    shares = [None] * len(batches) if extents is None else torch.split(extents, batch)
    for turn in range(ROUNDS):
        parts = []
        for place, (part, share) in enumerate(zip(batches, shares, strict=True)):
            if tick:
                tick(turn * len(batches) + place, ROUNDS * len(batches))
            parts.append(warp(part, register(part, template, share)))
        moved = torch.cat(parts)
        template = moved.mean(0)
    ratio = float(distance(moved, template, extents).mean() / apart)
    return (Aligner(template) if ratio <= WORTH else None), ratio
