"""The Barlow Twins loss, Eq. 5 and 6. Zbontar et al., ICML 2021.

Of several processes each holds a part of the batch; means along the batch, and with them C, are
those of the whole.
"""

from __future__ import annotations

from torch import Tensor

from ml import distributed

LAMBDA = 5e-3


def standardise(embeddings: Tensor, eps: float = 1e-5) -> Tensor:
    """Centre and scale each dimension of (N, D) along the batch."""
    centred = embeddings - distributed.mean(embeddings.mean(0))
    return centred / (distributed.mean(centred.square().mean(0)) + eps).sqrt()


def cross_correlation(a: Tensor, b: Tensor) -> Tensor:
    """C of Eq. 6, (D, D), for two batches of embeddings (N, D)."""
    return distributed.mean(standardise(a).T @ standardise(b) / a.shape[0])


def barlow_twins_loss(a: Tensor, b: Tensor, weight: float = LAMBDA) -> Tensor:
    """L_BT of Eq. 5: the diagonal of C towards 1, everything else towards 0."""
    correlation = cross_correlation(a.float(), b.float())
    diagonal = correlation.diagonal()
    invariance = (1 - diagonal).square().sum()
    redundancy = correlation.square().sum() - diagonal.square().sum()
    return invariance + weight * redundancy
