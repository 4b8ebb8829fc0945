"""Losses of the inpainting model: Eq. 3 and 4, and the feature-consistency term."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ml import distributed
from ml.inpainting.model import Restoration


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of (B, C, H, W) over channels and over the positions where mask (B, 1, H, W) is 1."""
    return (values * mask).sum() / (mask.sum() * values.shape[1]).clamp(min=1)


def reconstruction_loss(restoration: Restoration, image: Tensor, mask: Tensor) -> Tensor:
    """L_r of Eq. 3, |I_p − I_gt| + |I_r − I_gt|, as a mean over the masked pixels."""
    rough = masked_mean((restoration.rough - image).abs(), mask)
    return rough + masked_mean((restoration.refined - image).abs(), mask)


def consistency_loss(encoded: Tensor, decoded: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """L_c of Eq. 4 with its second term read as CSA_d; mean over masked positions, channels.

    encoded, decoded, target: (B, C, h, w); mask: (B, 1, S, S).
    """
    coarse = F.max_pool2d(mask, mask.shape[-1] // target.shape[-1])
    first = masked_mean((encoded - target).square(), coarse)
    return first + masked_mean((decoded - target).square(), coarse)


def feature_loss(restored: Sequence[Tensor], original: Sequence[Tensor]) -> Tensor:
    """Distance of the restored picture's features to the original's, summed over stages.

    The same squared L2 that Eq. 7 later scores by, relative to each stage's own energy in the
    whole batch (of all processes), so that no stage outweighs another: what is judged is also
    what is trained.
    """
    terms = [
        (r.float() - o.float()).square().mean()
        / distributed.mean(o.float().square().mean()).clamp(min=1e-6)
        for r, o in zip(restored, original, strict=True)
    ]
    return torch.stack(terms).mean()


class TargetProjection(nn.Module):
    """F_v(I_gt) brought to the attention layer's channels and to unit energy.

    Where the channels agree (VGG-16 in preset `paper`) nothing is projected; elsewhere a fixed
    random orthogonal 1×1 projection matches them. `scale` makes the targets' mean square 1, so
    that the weight of L_c means the same for every backbone.
    """

    matrix: Tensor
    scale: Tensor

    def __init__(self, inputs: int, outputs: int, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        square = torch.randn(max(inputs, outputs), max(inputs, outputs), generator=generator)
        orthogonal = torch.eye(inputs) if inputs == outputs else torch.linalg.qr(square)[0]
        self.register_buffer("matrix", orthogonal[:outputs, :inputs].contiguous())
        self.register_buffer("scale", torch.ones(()))

    def fit(self, features: Tensor) -> None:
        """Set the scale from features (N, C, h, w) of training normals."""
        self.scale = torch.ones_like(self.scale)
        self.scale = self.forward(features, features.shape[-1]).square().mean().rsqrt()

    def forward(self, features: Tensor, side: int) -> Tensor:
        """(B, C, h, w) to (B, C', side, side)."""
        projected = torch.einsum("oc,bchw->bohw", self.matrix, features.float()) * self.scale
        if projected.shape[-1] != side:
            projected = F.interpolate(
                projected, size=(side, side), mode="bilinear", align_corners=False
            )
        return projected
