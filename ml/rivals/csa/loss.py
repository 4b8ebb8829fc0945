"""Losses of CSA; colours in −1..1 as published.

The published L_r runs over the whole picture. Here only hidden pixels are ever used, and every
restoring method learns on those alone. L_c is the paper's, `ml.inpainting.loss`, and the
adversarial terms are `ml.rivals.adversarial.relativistic_loss`.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ml.inpainting.loss import reconstruction_loss
from ml.inpainting.model import Restoration


@dataclass(frozen=True)
class LossWeights:
    """L = L_r + consistency · L_c + adversarial · (L_picture + L_feature)."""

    consistency: float = 0.01
    adversarial: float = 0.002


def signed_reconstruction_loss(restoration: Restoration, image: Tensor, mask: Tensor) -> Tensor:
    """L_r = |I_p − I_gt| + |I_r − I_gt| as means over the hidden pixels.

    The restoration's and image's colours (B, 3, S, S) lie in 0..1 and are compared in −1..1.
    """
    return 2 * reconstruction_loss(restoration, image, mask)
