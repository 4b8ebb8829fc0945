"""Every equation of the paper against a slow reference."""

from __future__ import annotations

import numpy as np
import pytest
import slow_reference as reference
import torch
from torch import Tensor

from ml.barlow_twins.loss import barlow_twins_loss, cross_correlation
from ml.csa import CoherentSemanticAttention, coherent_attention
from ml.features import FeatureExtractor
from ml.inpainting.loss import (
    TargetProjection,
    consistency_loss,
    feature_loss,
    masked_mean,
    reconstruction_loss,
)
from ml.inpainting.model import Restoration
from ml.scoring.maps import differences


def random_features(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("share", [0.1, 0.25, 0.6, 0.95])
def test_attention_equals_the_loop(share: float) -> None:
    features = random_features(1, 3, 12, 6, 5)
    hidden = torch.rand(3, 1, 6, 5, generator=torch.Generator().manual_seed(2)) < share
    result = coherent_attention(features, hidden)
    for index in range(3):
        expected = reference.attention(
            features[index].double().numpy(), hidden[index, 0].numpy().astype(bool)
        )
        np.testing.assert_allclose(result[index].numpy(), expected, atol=1e-5)


def test_attention_with_negative_similarities_falls_back_to_the_match() -> None:
    # One known patch, opposite to every hidden one: D_max and D_ad clamp to 0 at first.
    features = torch.tensor([[1.0, -1.0, -2.0, -0.5], [0.0, 0.0, 0.0, 0.0]]).view(1, 2, 2, 2)
    hidden = torch.tensor([[False, True], [True, True]]).view(1, 1, 2, 2)
    result = coherent_attention(features, hidden)
    assert torch.allclose(result[0, :, 0, 1], features[0, :, 0, 0])
    assert torch.isfinite(result).all()
    expected = reference.attention(features[0].double().numpy(), hidden[0, 0].numpy())
    np.testing.assert_allclose(result[0].numpy(), expected, atol=1e-6)


def test_attention_leaves_known_positions_and_wholly_hidden_pictures_alone() -> None:
    features = random_features(3, 2, 4, 4, 4)
    hidden = torch.zeros(2, 1, 4, 4, dtype=torch.bool)
    hidden[0, 0, :2] = True
    hidden[1] = True
    result = coherent_attention(features, hidden)
    assert torch.equal(result[0, :, 2:], features[0, :, 2:])
    assert not torch.allclose(result[0, :, :2], features[0, :, :2])
    assert torch.equal(result[1], features[1])


def test_attention_passes_gradients_to_known_and_hidden_positions() -> None:
    features = random_features(4, 1, 3, 3, 3).double().requires_grad_()
    hidden = torch.zeros(1, 1, 3, 3, dtype=torch.bool)
    hidden[0, 0, 1] = True
    assert torch.autograd.gradcheck(lambda f: coherent_attention(f, hidden), (features,))


def test_attention_layer_masks_a_position_that_is_hidden_in_part() -> None:
    features = random_features(5, 1, 4, 2, 2)
    mask = torch.zeros(1, 1, 16, 16)
    mask[0, 0, 0, 0] = 1
    result = CoherentSemanticAttention()(features, mask)
    assert not torch.allclose(result[0, :, 0, 0], features[0, :, 0, 0])
    assert torch.equal(result[0, :, 1], features[0, :, 1])


def test_barlow_twins_equals_the_loop() -> None:
    a, b = random_features(6, 7, 5), random_features(7, 7, 5)
    expected = reference.barlow_twins(a.double().numpy(), b.double().numpy(), 5e-3)
    assert float(barlow_twins_loss(a, b)) == pytest.approx(expected, rel=1e-4)
    # embeddings are normalised along the batch: neither their scale nor their mean matters
    assert float(barlow_twins_loss(20 * a + 3, b)) == pytest.approx(expected, rel=1e-4)


def test_cross_correlation_is_eq6_entry_by_entry() -> None:
    a, b = random_features(21, 9, 4), random_features(22, 9, 4)
    found = cross_correlation(a, b)
    for i in range(4):
        for j in range(4):
            expected = reference.cross_correlation(a.double().numpy(), b.double().numpy(), i, j)
            assert float(found[i, j]) == pytest.approx(expected, abs=1e-4)
    assert not torch.allclose(found, found.T, atol=1e-2)


def test_lambda_is_five_thousandths() -> None:
    a, b = random_features(23, 8, 3), random_features(24, 8, 3)
    one, none = (float(barlow_twins_loss(a, b, weight)) for weight in (1.0, 0.0))
    assert float(barlow_twins_loss(a, b)) == pytest.approx(none + 5e-3 * (one - none), rel=1e-5)


def test_barlow_twins_prefers_equal_and_decorrelated_embeddings() -> None:
    square = torch.linalg.qr(random_features(8, 16, 4))[0]
    assert barlow_twins_loss(square, square) < 0.2 * barlow_twins_loss(
        square, random_features(9, 16, 4)
    )


def test_reconstruction_is_eq3_over_the_masked_pixels() -> None:
    image, rough, refined = (random_features(s, 1, 3, 4, 4) for s in (10, 11, 12))
    mask = (torch.rand(1, 1, 4, 4, generator=torch.Generator().manual_seed(3)) < 0.5).float()
    empty = torch.zeros(1)
    found = reconstruction_loss(Restoration(rough, refined, empty, empty), image, mask)
    hidden = mask[0, 0].numpy()
    expected = reference.reconstruction(
        *(t[0].double().numpy() for t in (rough, refined, image)), hidden
    )
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_consistency_is_eq4_with_encoder_and_decoder() -> None:
    encoded, decoded, target = (random_features(s, 1, 5, 4, 4) for s in (13, 14, 15))
    mask = torch.zeros(1, 1, 32, 32)
    mask[0, 0, :8, 8:24] = 1
    hidden = np.zeros((4, 4))
    hidden[0, 1:3] = 1
    expected = reference.consistency(
        *(t[0].double().numpy() for t in (encoded, decoded, target)), hidden
    )
    found = consistency_loss(encoded, decoded, target, mask)
    assert float(found) == pytest.approx(expected, rel=1e-5)
    assert found != consistency_loss(encoded, encoded, target, mask)


@pytest.mark.parametrize(("inputs", "outputs"), [(12, 5), (5, 12), (6, 6)])
def test_projection_is_orthogonal_fixed_and_of_unit_energy(inputs: int, outputs: int) -> None:
    projection = TargetProjection(inputs, outputs, seed=3)
    matrix = projection.matrix
    assert torch.equal(matrix, torch.eye(inputs)) == (inputs == outputs)
    small = matrix @ matrix.T if outputs <= inputs else matrix.T @ matrix
    torch.testing.assert_close(small, torch.eye(min(inputs, outputs)), atol=1e-5, rtol=0)
    assert torch.equal(matrix, TargetProjection(inputs, outputs, seed=3).matrix)
    features = 40 * random_features(16, 4, inputs, 3, 3)
    projection.fit(features)
    assert float(projection(features, 3).square().mean()) == pytest.approx(1, rel=1e-4)
    assert projection(features, 6).shape == (4, outputs, 6, 6)


def test_feature_loss_weighs_every_stage_alike() -> None:
    original = [random_features(17, 1, 4, 8, 8), 100 * random_features(18, 1, 8, 4, 4)]
    assert float(feature_loss([0 * o for o in original], original)) == pytest.approx(1, rel=1e-5)
    assert float(feature_loss(original, original)) == 0


class Patches(FeatureExtractor):
    """2×2 averages of the colours: an extractor whose Eq. 7 can be written by hand."""

    stage_names = ("patches",)

    def forward(self, images: Tensor) -> list[Tensor]:
        return [torch.nn.functional.avg_pool2d(images, 2)]


def test_differences_give_eq7_to_the_letter() -> None:
    image = random_features(19, 3, 8, 8).sigmoid()
    restored = random_features(20, 2, 3, 8, 8).sigmoid()
    extractor = Patches()
    found = differences(extractor, image, restored)
    original = extractor(image.unsqueeze(0))[0][0].double().numpy()
    expected = [
        reference.eq7(original, extractor(one.unsqueeze(0))[0][0].double().numpy())
        for one in restored
    ]
    assert found.paper_score == pytest.approx(np.mean(expected), rel=1e-5)
    assert found.levels.shape == (2, 2, 8, 8)


def test_masked_mean_ignores_what_is_not_masked() -> None:
    values = torch.ones(1, 2, 2, 2)
    values[..., 0] = 100
    mask = torch.tensor([[0.0, 1.0], [0.0, 1.0]]).view(1, 1, 2, 2)
    assert float(masked_mean(values, mask)) == 1
