"""Losses of Shift-Net, as means over the hidden positions; colours in −1..1 as published.

The published L1 runs over the whole picture. Here only hidden pixels are ever used, and every
restoring method learns on those alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ml.inpainting.loss import masked_mean
from ml.rivals.networks import signed


@dataclass(frozen=True)
class LossWeights:
    """L = L_1 + guidance · L_g + adversarial · L_adv."""

    guidance: float = 0.01
    adversarial: float = 0.002


def restoration_loss(restored: Tensor, image: Tensor, mask: Tensor) -> Tensor:
    """L_1 over the hidden pixels; restored, image (B, 3, S, S) in 0..1, mask (B, 1, S, S)."""
    return masked_mean((signed(restored) - signed(image)).abs(), mask)


def guidance_loss(decoded: Tensor, wanted: Tensor, hidden: Tensor) -> Tensor:
    """L_g: squared distance of the decoder's guess to the encoder's feature of the whole picture.

    decoded, wanted: (B, C, h, w); hidden: (B, 1, h, w).
    """
    return masked_mean((decoded - wanted).square(), hidden.to(decoded.dtype))
