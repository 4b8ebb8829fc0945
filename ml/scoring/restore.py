"""The mask sweep: every cell of every size is hidden once and inpainted, then stitched."""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.inference_mode()
def restore(model: nn.Module, image: Tensor, masks: Tensor) -> Tensor:
    """Full restorations (n, 3, S, S) of one image (3, S, S) in 0..1, one per cell size.

    masks: (n, K, 1, S, S) from `ml.masks.sweep`; what none of them hides stays as it is. All
    masks of one picture go through the model as one batch, and never together with another
    picture: a batch of another shape may be computed in another order, and the same bytes must
    give the same score.
    """
    sizes, subsets = masks.shape[:2]
    flat = masks.flatten(0, 1)
    repeated = image.unsqueeze(0).expand(len(flat), -1, -1, -1)
    repeated = repeated.contiguous(memory_format=torch.channels_last)
    refined = model(repeated, flat).refined
    inside = (refined * flat).unflatten(0, (sizes, subsets)).sum(1)
    hidden = masks.sum(1)
    return (inside + image * (1 - hidden)).clamp(0, 1)


@torch.inference_mode()
def restore_whole(model: nn.Module, image: Tensor) -> Tensor:
    """The restoration (1, 3, S, S) of a method that hides nothing."""
    picture = image.unsqueeze(0).contiguous(memory_format=torch.channels_last)
    restored: Tensor = model(picture, torch.zeros_like(picture[:, :1])).refined
    return restored.clamp(0, 1)
