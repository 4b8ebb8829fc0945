"""The rivals' losses and layers against slow references written from their papers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from ml.inpainting.model import Restoration
from ml.rivals.adversarial import discriminator_loss, generator_loss, relativistic_loss
from ml.rivals.csa import loss as csa
from ml.rivals.networks import PatchDiscriminator, frozen, signed, unsigned
from ml.rivals.shift_net import loss as shift_net
from ml.rivals.shift_net.model import shift_features
from ml.rivals.skip_ganomaly import loss as skip_ganomaly


def noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def probability(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def test_adversarial_losses_equal_their_logarithms() -> None:
    real, fake = noise(1, 2, 1, 3, 3), noise(2, 2, 1, 3, 3)
    wanted = -mean([math.log(probability(v)) for v in real.flatten().tolist()]) - mean(
        [math.log(1 - probability(v)) for v in fake.flatten().tolist()]
    )
    assert float(discriminator_loss(real, fake)) == pytest.approx(wanted, abs=1e-5)
    wanted = -mean([math.log(probability(v)) for v in fake.flatten().tolist()])
    assert float(generator_loss(fake)) == pytest.approx(wanted, abs=1e-5)


def test_relativistic_loss_equals_the_loop() -> None:
    real, fake = noise(3, 5).tolist(), noise(4, 5).tolist()
    wanted = (
        mean([(r - mean(fake) - 1) ** 2 for r in real])
        + mean([(f - mean(real) + 1) ** 2 for f in fake])
    ) / 2
    found = float(relativistic_loss(torch.tensor(real), torch.tensor(fake)))
    assert found == pytest.approx(wanted, abs=1e-5)


def test_relativistic_loss_is_zero_for_the_winner_and_large_for_the_loser() -> None:
    real, fake = torch.full((2, 1, 4, 4), 0.5), torch.full((2, 1, 4, 4), -0.5)
    assert float(relativistic_loss(real, fake)) == 0
    assert float(relativistic_loss(fake, real)) == 4


def test_skip_ganomaly_losses_and_score_equal_the_loop() -> None:
    image, restored = noise(5, 2, 3, 8, 8), noise(6, 2, 3, 8, 8)
    first, second = noise(7, 2, 6, 2, 2), noise(8, 2, 6, 2, 2)
    contextual = [
        mean([abs(a - b) for a, b in zip(x.flatten().tolist(), y.flatten().tolist(), strict=True)])
        for x, y in zip(image, restored, strict=True)
    ]
    latent = [
        mean(
            [(a - b) ** 2 for a, b in zip(x.flatten().tolist(), y.flatten().tolist(), strict=True)]
        )
        for x, y in zip(first, second, strict=True)
    ]
    assert float(skip_ganomaly.contextual_loss(image, restored)) == pytest.approx(mean(contextual))
    assert float(skip_ganomaly.latent_loss(first, second)) == pytest.approx(mean(latent))

    map_ = skip_ganomaly.score_map(image, restored, first, second)
    assert map_.shape == (2, 1, 8, 8)
    for index in range(2):
        score = 0.9 * contextual[index] + 0.1 * latent[index]
        assert float(map_[index].mean()) == pytest.approx(score, rel=1e-5)


def test_skip_ganomaly_map_lies_where_the_difference_lies() -> None:
    image, features = torch.zeros(1, 3, 8, 8), torch.zeros(1, 6, 2, 2)
    restored, other = image.clone(), features.clone()
    restored[:, :, 1, 6] = 1.0
    other[:, :, 1, 0] = 1.0  # stands for rows 4 to 7, columns 0 to 3
    map_ = skip_ganomaly.score_map(image, restored, features, other)[0, 0]
    expected = torch.zeros(8, 8)
    expected[1, 6] = 0.9
    expected[4:, :4] = 0.1
    assert torch.allclose(map_, expected)


def hidden_mean(values: Tensor, hidden: Tensor) -> float:
    """Mean of (B, C, H, W) where hidden (B, 1, H, W) is 1, one value at a time."""
    b, c, h, w = values.shape
    kept = [
        float(values[n, k, y, x])
        for n in range(b)
        for k in range(c)
        for y in range(h)
        for x in range(w)
        if hidden[n, 0, y, x]
    ]
    return mean(kept)


def test_shift_net_losses_equal_the_loop() -> None:
    hidden = (noise(9, 2, 1, 4, 4) > 0).float()
    image, restored = noise(10, 2, 3, 4, 4), noise(11, 2, 3, 4, 4)
    wanted = hidden_mean(((2 * restored - 1) - (2 * image - 1)).abs(), hidden)
    found = float(shift_net.restoration_loss(restored, image, hidden))
    assert found == pytest.approx(wanted, rel=1e-5)

    decoded, target = noise(12, 2, 5, 4, 4), noise(13, 2, 5, 4, 4)
    wanted = hidden_mean((decoded - target) ** 2, hidden)
    found = float(shift_net.guidance_loss(decoded, target, hidden > 0))
    assert found == pytest.approx(wanted, rel=1e-5)


def test_csa_reconstruction_loss_equals_the_loop() -> None:
    hidden = (noise(14, 2, 1, 4, 4) > 0).float()
    image, rough, refined = (noise(15 + i, 2, 3, 4, 4) for i in range(3))
    restoration = Restoration(rough, refined, image, image)
    wanted = hidden_mean(2 * (rough - image).abs(), hidden) + hidden_mean(
        2 * (refined - image).abs(), hidden
    )
    found = float(csa.signed_reconstruction_loss(restoration, image, hidden))
    assert found == pytest.approx(wanted, rel=1e-5)


def test_weights_are_the_published_ones() -> None:
    assert skip_ganomaly.LossWeights() == skip_ganomaly.LossWeights(1, 40, 1)
    assert skip_ganomaly.SCORE_WEIGHT == 0.9
    assert shift_net.LossWeights() == shift_net.LossWeights(0.01, 0.002)
    assert csa.LossWeights() == csa.LossWeights(0.01, 0.002)


def shifted_slowly(encoded: Tensor, decoded: Tensor, hidden: Tensor) -> Tensor:
    """Eq. 3 and 4 of Yan et al. 2018 for one picture: (C, h, w), hidden (h, w)."""
    _, h, w = encoded.shape
    places = [(y, x) for y in range(h) for x in range(w)]
    known = [p for p in places if not hidden[p]]
    result = torch.zeros_like(encoded)
    for y, x in (p for p in places if hidden[p] and known):
        guess = decoded[:, y, x]

        def similarity(place: tuple[int, int], guess: Tensor = guess) -> float:
            key = encoded[:, place[0], place[1]]
            return float(guess @ key) / (float(guess.norm()) * float(key.norm()))

        best = max(known, key=similarity)
        result[:, y, x] = encoded[:, best[0], best[1]]
    return result


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_shift_layer_equals_the_loop(share: float) -> None:
    encoded, decoded = noise(20, 3, 7, 6, 5), noise(21, 3, 7, 6, 5)
    hidden = torch.rand(3, 1, 6, 5, generator=torch.Generator().manual_seed(22)) < share
    found = shift_features(encoded, decoded, hidden)
    for index in range(3):
        wanted = shifted_slowly(encoded[index], decoded[index], hidden[index, 0])
        assert torch.equal(found[index], wanted)


def test_shift_layer_leaves_a_wholly_hidden_picture_empty() -> None:
    encoded, decoded = noise(23, 2, 4, 3, 3), noise(24, 2, 4, 3, 3)
    hidden = torch.ones(2, 1, 3, 3, dtype=torch.bool)
    hidden[1, 0, 0, 0] = False
    found = shift_features(encoded, decoded, hidden)
    assert not found[0].any()
    assert torch.equal(found[1, :, 2, 2], encoded[1, :, 0, 0])
    assert not found[1, :, 0, 0].any()


def test_shift_layer_passes_gradients_to_the_shifted_features_alone() -> None:
    encoded = noise(25, 1, 4, 3, 3).requires_grad_()
    decoded = noise(26, 1, 4, 3, 3).requires_grad_()
    hidden = torch.zeros(1, 1, 3, 3, dtype=torch.bool)
    hidden[0, 0, 1, 1] = True
    shift_features(encoded, decoded, hidden).sum().backward()
    assert decoded.grad is None
    assert encoded.grad is not None
    moved = encoded.grad[0].abs().sum(0)
    assert int((moved > 0).sum()) == 1
    assert moved[1, 1] == 0


def test_colours_go_to_the_published_range_and_back() -> None:
    assert signed(torch.tensor([0.0, 0.5, 1.0])).tolist() == [-1, 0, 1]
    assert unsigned(torch.tensor([-1.0, 0.0, 1.0])).tolist() == [0, 0.5, 1]


def test_patch_discriminator_judges_patches_and_not_the_picture() -> None:
    torch.manual_seed(0)
    network = PatchDiscriminator(3, 8, 32)
    images = noise(27, 2, 3, 64, 64)
    assert network(images).shape == (2, 1, 8, 8)
    # What another picture of the batch is does not matter.
    alone = network(images[:1])
    assert torch.allclose(network(images)[:1], alone, atol=1e-6)


def test_frozen_networks_pass_gradients_on_and_stay_as_they_are() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    norm = network[1]
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    before = norm.running_mean.clone()
    images = noise(28, 2, 3, 8, 8).requires_grad_()
    with frozen(network):
        network(images).square().sum().backward()
    assert images.grad is not None
    assert all(p.grad is None for p in network.parameters())
    assert torch.equal(norm.running_mean, before)

    network(images).sum().backward()
    assert all(p.grad is not None for p in network.parameters())
    assert not torch.equal(norm.running_mean, before)
