"""Barlow Twins on the U-Net's encoder (Fig. 5 of the paper)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ml.presets import Preset
from ml.unet import Encoder


def with_empty_mask(images: Tensor) -> Tensor:
    """Add the mask channel of the rough network's first layer, all zero, and centre colours."""
    return torch.cat([images - 0.5, torch.zeros_like(images[:, :1])], dim=1)


def projector(inputs: int, outputs: int) -> nn.Sequential:
    """Three linear layers, batch normalisation and ReLU after the first two."""
    return nn.Sequential(
        nn.Linear(inputs, outputs, bias=False),
        nn.BatchNorm1d(outputs),
        nn.ReLU(inplace=True),
        nn.Linear(outputs, outputs, bias=False),
        nn.BatchNorm1d(outputs),
        nn.ReLU(inplace=True),
        nn.Linear(outputs, outputs, bias=False),
    )


class BarlowTwins(nn.Module):
    """U-Net encoder → global average pool → projector."""

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        self.encoder = Encoder(preset.levels, preset.width, preset.max_width, preset.image_size)
        self.pooled = slice(None) if preset.pools_every_level else slice(-1, None)
        self.projector = projector(sum(self.encoder.channels[self.pooled]), preset.projector)

    def forward(self, views: Tensor) -> Tensor:
        """Views (N, 3, S, S) in 0..1 to embeddings (N, D)."""
        maps = self.encoder(with_empty_mask(views))[self.pooled]
        pooled = [F.adaptive_avg_pool2d(m.float(), 1).flatten(1) for m in maps]
        return self.projector(torch.cat(pooled, dim=1))
