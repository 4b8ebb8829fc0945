"""The attention layer's own gradient, and its form for masks that never change."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ml.csa import CoherentSemanticAttention, FixedAttention, blend, coherent_attention


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


def masks(seed: int, *shape: int, share: float = 0.4) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < share


def test_gradients_of_unequal_masks_are_exact() -> None:
    features, hidden = drawn(1, 3, 4, 4, 5).requires_grad_(), masks(2, 3, 1, 4, 5)
    hidden[2] = False
    assert len(set(hidden.flatten(1).sum(1).tolist())) == 3
    assert torch.autograd.gradcheck(lambda f: coherent_attention(f, hidden), (features,))


def test_gradients_reach_all_that_is_blended() -> None:
    """Against numerical differences, with similarities of both signs and D_max of 0."""
    unit = torch.nn.functional.normalize(drawn(3, 2, 6, 5), dim=2)
    best = drawn(4, 2, 6).abs()
    inputs = (unit.requires_grad_(), drawn(5, 2, 6, 5).requires_grad_(), best.requires_grad_())
    assert torch.autograd.gradcheck(blend, inputs)


def test_both_ways_of_blending_agree() -> None:
    unit, matched, best = drawn(6, 2, 7, 3), drawn(7, 2, 7, 3), drawn(8, 2, 7).abs()
    with torch.no_grad():
        plain = blend(unit, matched, best)
    assert torch.equal(plain, blend(unit, matched.requires_grad_(), best).detach())


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_fixed_masks_give_the_same_layer(share: float) -> None:
    features = drawn(9, 4, 6, 4, 4).float()
    mask = masks(10, 4, 1, 4, 4, share=share).float()
    fine = mask.repeat_interleave(8, -1).repeat_interleave(8, -2)
    fixed = FixedAttention(fine, 4)
    torch.testing.assert_close(
        fixed(features, fine), CoherentSemanticAttention()(features, fine), rtol=0, atol=0
    )


def test_channels_last_changes_nothing() -> None:
    features, hidden = drawn(11, 2, 8, 4, 4), masks(12, 2, 1, 4, 4)
    other = features.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(
        coherent_attention(features, hidden), coherent_attention(other, hidden)
    )
