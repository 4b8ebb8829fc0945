"""The coherent semantic attention (CSA) layer, Eq. 1 and 2 of the paper.

Liu et al., "Coherent Semantic Attention for Image Inpainting", ICCV 2019.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPS = 1e-8  # least length that a vector is divided by


def coherent_attention(features: Tensor, mask: Tensor) -> Tensor:
    """Refill each masked position from the known ones and from its predecessor.

    For the masked positions m_i in raster order, with m̄_i the known position of highest cosine
    similarity D_max (Eq. 1) and D_ad the similarity of m_i to the position generated before it
    (Eq. 2, 0 for the first):  g_i = (D_ad·g_{i-1} + D_max·m̄_i) / (D_ad + D_max).
    Negative similarities count as 0; where both are 0, g_i = m̄_i.

    features: (B, C, H, W); mask: (B, 1, H, W), true where masked. Returns (B, C, H, W): known
    positions unchanged, and pictures without any known position unchanged as a whole.
    """
    order, valid = masked_order(mask)
    if order.shape[1] == 0:
        return features
    return refill(features, mask, order, valid)


def masked_order(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Masked positions of each mask (B, 1, H, W) in raster order.

    Returns indices (B, M) into H·W, where M is the largest count, and which of them are meant:
    shorter rows are filled up with known positions. A mask without any known position counts as
    empty: there is nothing to refill from.
    """
    hidden = _refillable(mask)
    longest = int(hidden.sum(dim=1).max())
    # A stable sort of "known" puts the masked positions first, still in raster order.
    order = torch.argsort((~hidden).to(torch.uint8), dim=1, stable=True)[:, :longest]
    return order, hidden.gather(1, order)


def refill(features: Tensor, mask: Tensor, order: Tensor, valid: Tensor) -> Tensor:
    """`coherent_attention` where `masked_order` is known already; at least one is masked."""
    b, c, h, w = features.shape
    # A view where the convolutions before worked in channels_last.
    patches = features.permute(0, 2, 3, 1).reshape(b * h * w, c)
    first = h * w * torch.arange(b, device=features.device).unsqueeze(1)
    places = (order + first).flatten()
    found = _best_known(patches.view(b, h * w, c), order, _refillable(mask))
    # Both in one look-up: its gradient is one table of the size of `patches`.
    looked_up = F.embedding(torch.cat([places, (found + first).flatten()]), patches)
    queries, matched = looked_up.view(2, b, -1, c).unbind()
    unit, direction = F.normalize(looked_up, dim=1, eps=EPS).view(2, b, -1, c).unbind()
    # Written out for the matches alone, so that no gradient goes through all similarities.
    best = (unit * direction).sum(2).clamp(min=0)
    generated = blend(unit, matched, best)
    kept = torch.where(valid.unsqueeze(2), generated, queries).flatten(0, 1)
    return patches.index_copy(0, places, kept).view(b, h, w, c).permute(0, 3, 1, 2)


def _refillable(mask: Tensor) -> Tensor:
    hidden = mask.flatten(1).bool()
    return hidden & ~hidden.all(dim=1, keepdim=True)


@torch.no_grad()
def _best_known(patches: Tensor, order: Tensor, hidden: Tensor) -> Tensor:
    """Index (B, M) of m̄ for the patches (B, N, C) at `order`: one batched product, an arg-max.

    The length of a query changes nothing about which patch is nearest by cosine.
    """
    queries = torch.stack([one[rows] for one, rows in zip(patches, order, strict=True)])
    lengths = torch.linalg.vector_norm(patches, dim=2).clamp_min(EPS)
    similarity = queries @ patches.transpose(1, 2)
    known = torch.where(hidden, -torch.inf, 0.0).unsqueeze(1)
    return torch.addcmul(known, similarity, lengths.reciprocal().unsqueeze(1)).argmax(dim=2)


def blend(unit: Tensor, matched: Tensor, best: Tensor) -> Tensor:
    """Eq. 2 over masked positions: unit m_i and m̄_i (B, M, C), D_max (B, M) to g_i (B, M, C)."""
    if torch.is_grad_enabled() and (unit.requires_grad or matched.requires_grad):
        return _Blend.apply(unit, matched, best)
    return _blend(unit, matched, best)[0]


def _blend(unit: Tensor, matched: Tensor, best: Tensor) -> tuple[Tensor, Tensor]:
    """g_i and D_ad (B, M): one step per masked position for the whole batch."""
    units, matches, known = unit.unbind(1), matched.unbind(1), best.unsqueeze(2).unbind(1)
    generated, adjacent = [matches[0]], [torch.zeros_like(known[0])]
    for position, match, similar in zip(units[1:], matches[1:], known[1:], strict=True):
        previous = generated[-1]
        length = torch.linalg.vector_norm(previous, dim=1, keepdim=True).clamp_min(EPS)
        near = ((position * previous).sum(1, keepdim=True) / length).clamp_min(0)
        share = near / (near + similar).clamp_min(1e-12)
        generated.append(torch.lerp(match, previous, share))
        adjacent.append(near)
    return torch.stack(generated, dim=1), torch.cat(adjacent, dim=1)


class _Blend(torch.autograd.Function):
    """`_blend` with its gradient written out: one loop back instead of a graph of M steps."""

    @staticmethod
    def forward(ctx: Any, unit: Tensor, matched: Tensor, best: Tensor) -> Tensor:
        generated, adjacent = _blend(unit, matched, best)
        ctx.save_for_backward(unit, matched, best, generated, adjacent)
        return generated

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """With s = D_ad/(D_ad + D_max): through the blend, through s and through |g_{i-1}|."""
        unit, matched, best, generated, adjacent = ctx.saved_tensors
        previous = torch.cat([generated[:, :1], generated[:, :-1]], dim=1)
        lengths = torch.linalg.vector_norm(previous, dim=2).clamp_min(EPS)
        directions = previous / lengths.unsqueeze(2)
        total = (adjacent + best).clamp_min(1e-12)
        share = adjacent / total
        # How D_ad moves with g_{i-1}, and the blend with D_ad; nothing where D_ad is clamped.
        turning = (unit - adjacent.unsqueeze(2) * directions) / lengths.unsqueeze(2)
        pull = (previous - matched) * (best / total.square() * (adjacent > 0)).unsqueeze(2)
        carried = _carry(gradients[0], share, pull, turning)
        to_adjacent = (carried * pull).sum(2)
        along = (carried * (previous - matched)).sum(2)
        return (
            to_adjacent.unsqueeze(2) * directions,
            (1 - share).unsqueeze(2) * carried,
            -along * share / total,
        )


def _carry(gradient: Tensor, share: Tensor, pull: Tensor, turning: Tensor) -> Tensor:
    """The whole gradient of each g_i (B, M, C), from the last position to the first."""
    parts = (gradient.unbind(1), share.unsqueeze(2).unbind(1), pull.unbind(1), turning.unbind(1))
    carried = [parts[0][-1]]
    for i in range(len(parts[0]) - 1, 0, -1):
        later = carried[-1]
        to_adjacent = (later * parts[2][i]).sum(1, keepdim=True)
        kept = torch.addcmul(parts[0][i - 1], later, parts[1][i])
        carried.append(kept.addcmul_(to_adjacent, parts[3][i]))
    return torch.stack(carried[::-1], dim=1)


class CoherentSemanticAttention(nn.Module):
    """`coherent_attention` as a layer; always in float32, where cosines keep their digits."""

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """features (B, C, H, W), mask (B, 1, S, S) at any multiple of H: 1 where masked."""
        coarse = coarse_mask(mask, features.shape[-1])
        with torch.autocast(features.device.type, enabled=False):
            return coherent_attention(features.float(), coarse)


def coarse_mask(mask: Tensor, side: int) -> Tensor:
    """A mask (B, 1, S, S) at the layer's size: true where any pixel of a position is masked."""
    return F.max_pool2d(mask, mask.shape[-1] // side) > 0


class FixedAttention(nn.Module):
    """The layer for masks that never change: what depends on them alone is worked out once.

    A sweep's masks are constants of a model version, and an exported graph may not branch on
    its data.
    """

    mask: Tensor
    order: Tensor
    valid: Tensor

    def __init__(self, masks: Tensor, side: int) -> None:
        """masks: (B, 1, S, S), those of every call; side: the layer's H = W."""
        super().__init__()
        coarse = coarse_mask(masks, side)
        order, valid = masked_order(coarse)
        self.register_buffer("mask", coarse)
        self.register_buffer("order", order)
        self.register_buffer("valid", valid)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """As `CoherentSemanticAttention`; `mask` is not looked at."""
        if self.order.shape[1] == 0:
            return features
        return refill(features.float(), self.mask, self.order, self.valid)
