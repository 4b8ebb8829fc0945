"""Differences between a picture and its restorations: Eq. 7 and the maps behind the decision."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ml.features import FeatureExtractor


@dataclass(frozen=True)
class Differences:
    """levels: (n, L, S, S), one map per cell size and level, level 0 in colours, the others in
    features; eq7: (n, h, w), squared L2 at the extractor's final layer."""

    levels: Tensor
    eq7: Tensor

    @property
    def paper_score(self) -> float:
        """Eq. 7 to the letter: the mean over positions (and over the sweep's cell sizes)."""
        return float(self.eq7.mean())


@torch.inference_mode()
def differences(extractor: FeatureExtractor, image: Tensor, restored: Tensor) -> Differences:
    """Compare image (3, S, S) with its restorations (n, 3, S, S)."""
    size = image.shape[-1]
    colours = (restored - image).abs().mean(1, keepdim=True)
    maps = [F.avg_pool2d(colours, 3, stride=1, padding=1, count_include_pad=False)]
    originals = extractor(image.unsqueeze(0))
    restorations = extractor(restored)
    for original, restoration in zip(originals, restorations, strict=True):
        squared = (restoration - original).square().sum(1, keepdim=True)
        maps.append(upsample(squared.sqrt(), size))
    final = (restorations[extractor.final] - originals[extractor.final]).square().sum(1)
    return Differences(torch.cat(maps, dim=1), final)


def upsample(maps: Tensor, size: int) -> Tensor:
    """(B, C, h, w) to (B, C, size, size)."""
    return F.interpolate(maps, size=(size, size), mode="bilinear", align_corners=False)
