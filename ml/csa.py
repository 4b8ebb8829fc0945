"""The coherent semantic attention (CSA) layer, Eq. 1 and 2 of the paper.

Liu et al., "Coherent Semantic Attention for Image Inpainting", ICCV 2019.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def coherent_attention(features: Tensor, mask: Tensor) -> Tensor:
    """Refill each masked position from the known ones and from its predecessor.

    For the masked positions m_i in raster order, with m̄_i the known position of highest cosine
    similarity D_max (Eq. 1) and D_ad the similarity of m_i to the position generated before it
    (Eq. 2, 0 for the first):  g_i = (D_ad·g_{i-1} + D_max·m̄_i) / (D_ad + D_max).
    Negative similarities count as 0; where both are 0, g_i = m̄_i.

    features: (B, C, H, W); mask: (B, 1, H, W), true where masked. Returns (B, C, H, W): known
    positions unchanged, and pictures without any known position unchanged as a whole.
    """
    b, c, h, w = features.shape
    hidden = mask.reshape(b, h * w).bool()
    hidden = hidden & ~hidden.all(dim=1, keepdim=True)
    longest = int(hidden.sum(dim=1).max())
    if longest == 0:
        return features
    # A stable sort of "known" puts the masked positions first, still in raster order.
    order = torch.argsort((~hidden).to(torch.uint8), dim=1, stable=True)[:, :longest]
    valid = hidden.gather(1, order)

    patches = features.flatten(2).transpose(1, 2)  # (B, N, C)
    unit = F.normalize(patches, dim=2, eps=1e-8)
    index = order.unsqueeze(2).expand(-1, -1, c)
    unit_hidden = unit.gather(1, index)
    best, match = _best_known(unit_hidden, unit, hidden)
    matched = patches.gather(1, match.unsqueeze(2).expand(-1, -1, c))
    generated = _blend(unit_hidden, matched, best.clamp(min=0))
    kept = torch.where(valid.unsqueeze(2), generated, patches.gather(1, index))
    return patches.scatter(1, index, kept).transpose(1, 2).reshape(b, c, h, w)


def _best_known(queries: Tensor, unit: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """D_max and the index of m̄ for each query: one batched product and an arg-max."""
    similarity = queries @ unit.transpose(1, 2)
    best, match = similarity.masked_fill(hidden.unsqueeze(1), -torch.inf).max(dim=2)
    return best, match


def _blend(unit: Tensor, matched: Tensor, best: Tensor) -> Tensor:
    """The sequential part over (B, M, C), one step per masked position for the whole batch."""
    generated = [matched[:, 0]]
    for i in range(1, matched.shape[1]):
        previous = generated[-1]
        direction = F.normalize(previous, dim=1, eps=1e-8)
        adjacent = (unit[:, i] * direction).sum(1, keepdim=True).clamp(min=0)
        total = adjacent + best[:, i : i + 1]
        share = torch.where(total > 0, adjacent / total.clamp(min=1e-12), 0.0)
        generated.append(torch.lerp(matched[:, i], previous, share))
    return torch.stack(generated, dim=1)


class CoherentSemanticAttention(nn.Module):
    """`coherent_attention` as a layer; always in float32, where cosines keep their digits."""

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """features (B, C, H, W), mask (B, 1, S, S) at any multiple of H: 1 where masked."""
        stride = mask.shape[-1] // features.shape[-1]
        coarse = F.max_pool2d(mask, stride) > 0
        with torch.autocast(features.device.type, enabled=False):
            return coherent_attention(features.float(), coarse)
