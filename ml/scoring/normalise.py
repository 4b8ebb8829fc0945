"""Deviations from normal: each position against its own mean and deviation on normals.

A restoration is blurred wherever the part itself varies (print, reflections, edges); there a
difference means nothing. What counts is how unusual it is *there*.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ml.blur import gaussian_blur

FLOOR = 0.3  # share of a level's mean deviation that is added everywhere
SMOOTH = 0.012  # blur of the statistics, as a share of the picture's edge


@dataclass
class Statistics:
    """Sums over N normals of (n, L, S, S) difference maps; enough to leave one out again."""

    count: int
    total: Tensor
    squares: Tensor

    @classmethod
    def of(cls, maps: list[Tensor]) -> Statistics:
        """From the maps of at least two normals."""
        total = torch.zeros_like(maps[0], dtype=torch.float64)
        squares = torch.zeros_like(total)
        for one in maps:
            total += one.double()
            squares += one.double().square()
        return cls(len(maps), total, squares)

    def without(self, maps: Tensor) -> Statistics:
        """The same without one of its normals."""
        one = maps.double()
        return Statistics(self.count - 1, self.total - one, self.squares - one.square())

    def norm(self) -> Norm:
        """Mean and deviation, smoothed and floored."""
        sigma = SMOOTH * self.total.shape[-1]
        mean = self.total / self.count
        variance = (self.squares / self.count - mean.square()).clamp(min=0)
        # Smooth the second moment about the smoothed mean, so that a position with few normals
        # borrows from its neighbours.
        centre = gaussian_blur(mean, sigma)
        deviation = (gaussian_blur(variance + (mean - centre).square(), sigma)).sqrt()
        level = deviation.mean(dim=(-2, -1), keepdim=True)
        return Norm(centre.float(), (deviation + FLOOR * level).float().clamp(min=1e-8))


@dataclass
class Norm:
    """mean, deviation: (n, L, S, S)."""

    mean: Tensor
    deviation: Tensor

    def positions(self, maps: Tensor) -> Tensor:
        """Deviations from each position's own mean."""
        return (maps - self.mean) / self.deviation

    def overall(self, maps: Tensor) -> Tensor:
        """Deviations from the level's mean, the same everywhere."""
        mean = self.mean.mean(dim=(-2, -1), keepdim=True)
        deviation = self.deviation.mean(dim=(-2, -1), keepdim=True)
        return (maps - mean) / deviation
