"""Adversarial losses on a discriminator's logits, of any shape with the batch first."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ml import distributed


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """−E[log D(real)] − E[log(1 − D(fake))] (Goodfellow et al. 2014), D the logits' sigmoid."""
    first = F.binary_cross_entropy_with_logits(real, torch.ones_like(real))
    return first + F.binary_cross_entropy_with_logits(fake, torch.zeros_like(fake))


def generator_loss(fake: Tensor) -> Tensor:
    """−E[log D(fake)], the form of the same paper whose gradient does not vanish."""
    return F.binary_cross_entropy_with_logits(fake, torch.ones_like(fake))


def relativistic_loss(higher: Tensor, lower: Tensor) -> Tensor:
    """Relativistic average least squares (Jolicoeur-Martineau 2018), mean of its two terms.

    (E[(C(a) − E[C(b)] − 1)²] + E[(C(b) − E[C(a)] + 1)²]) / 2: `higher` a should lie one above
    the mean of `lower` b, and b one below the mean of a. The discriminator asks it of
    (real, fake), the generator of (fake, real). The means are over the batches of all processes.
    """
    high, low = distributed.mean(higher.mean()), distributed.mean(lower.mean())
    first = (higher - low - 1).square().mean()
    return (first + (lower - high + 1).square().mean()) / 2
