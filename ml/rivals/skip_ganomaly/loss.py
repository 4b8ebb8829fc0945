"""Losses and anomaly score of Skip-GANomaly; pictures in −1..1 as published."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

SCORE_WEIGHT = 0.9  # λ


@dataclass(frozen=True)
class LossWeights:
    """L = adversarial · L_adv + contextual · L_con + latent · L_lat."""

    adversarial: float = 1.0
    contextual: float = 40.0
    latent: float = 1.0


def contextual_loss(image: Tensor, restored: Tensor) -> Tensor:
    """L_con: |x − x̂| over (B, 3, S, S), as a mean."""
    return (image - restored).abs().mean()


def latent_loss(image_features: Tensor, restored_features: Tensor) -> Tensor:
    """L_lat: squared distance of the discriminator's features (B, C, h, w), as a mean."""
    return (image_features - restored_features).square().mean()


def score_map(
    image: Tensor, restored: Tensor, image_features: Tensor, restored_features: Tensor
) -> Tensor:
    """A = λR + (1 − λ)L position by position, (B, 1, S, S); its mean is the published score.

    R is L_con and L is L_lat of each picture, the features' part repeated over the pixels that
    a position stands for. The published score is then brought to 0..1 by the least and greatest
    score of the test set; a picture judged alone has no test set, so it is left as it is.
    """
    colours = (image - restored).abs().mean(1, keepdim=True)
    latent = (image_features - restored_features).square().mean(1, keepdim=True)
    latent = F.interpolate(latent, size=colours.shape[-2:], mode="nearest")
    return SCORE_WEIGHT * colours + (1 - SCORE_WEIGHT) * latent
