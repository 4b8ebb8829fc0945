"""Preset `paper` is built as the paper says, and every part reaches the next unchanged."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from conftest import part
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchvision.models import squeezenet1_1, vgg16

from ml.barlow_twins.model import BarlowTwins, with_empty_mask
from ml.barlow_twins.trainer import PretrainTrainer, load_encoder
from ml.checkpoints import write_tensors
from ml.data.dataset import PictureSet
from ml.data.model_view import model_view
from ml.features import (
    SQUEEZENET_FILE,
    VGG_FILE,
    Vgg16Features,
    consistency_features,
    learning_features,
    scoring_features,
)
from ml.inpainting.loss import TargetProjection, consistency_loss
from ml.inpainting.model import InpaintingModel
from ml.inpainting.trainer import InpaintTrainer
from ml.presets import PRESETS
from ml.unet import Down, Encoder

PAPER, TINY, CPU = PRESETS["paper"], PRESETS["tiny"], torch.device("cpu")


def pictures(count: int, size: int = TINY.image_size) -> PictureSet:
    pixels = torch.stack([model_view(part(i), size, None).pixels for i in range(count)])
    return PictureSet([str(i) for i in range(count)], pixels, [(96, 72)] * count)


@pytest.fixture(scope="module")
def vgg_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """VGG-16 with random weights, as its file would lie in the weights folder."""
    torch.manual_seed(0)
    with torch.device("meta"):
        names = {k: v.shape for k, v in vgg16(weights=None).features.state_dict().items()}
    weights = {f"features.{k}": 0.03 * torch.randn(shape) for k, shape in names.items()}
    weights["classifier.6.bias"] = torch.zeros(1000)
    path = tmp_path_factory.mktemp("weights") / VGG_FILE
    save_file(weights, path)
    return path


def test_the_rough_network_is_a_u_net_of_eight_levels_from_256_pixels() -> None:
    with torch.device("meta"):
        model = InpaintingModel(PAPER)
        maps = model.rough.encoder(torch.empty(2, 4, 256, 256))
        colours = model.rough(torch.empty(2, 3, 256, 256), torch.empty(2, 1, 256, 256))
    assert (PAPER.image_size, PAPER.levels, PAPER.width) == (256, 8, 64)
    assert [tuple(m.shape[1:]) for m in maps] == [
        (64, 128, 128), (128, 64, 64), (256, 32, 32), (512, 16, 16),
        (512, 8, 8), (512, 4, 4), (512, 2, 2), (512, 1, 1),
    ]  # fmt: skip
    assert colours.shape == (2, 3, 256, 256)
    # skip connections: every decoder stage but the deepest sees the encoder's map as well
    assert [stage[0].in_channels for stage in model.rough.decoder.stages] == [
        512, 1024, 1024, 1024, 1024, 512, 256, 128,
    ]  # fmt: skip


def test_only_the_one_by_one_map_has_no_normalisation() -> None:
    with torch.device("meta"):
        stages = InpaintingModel(PAPER).rough.encoder.stages
    kinds = [type(stage[1]) for stage in stages if isinstance(stage, Down)]
    assert kinds == [nn.BatchNorm2d] * 7 + [nn.Identity]


def test_attention_works_at_32_by_32_where_vgg_has_512_channels() -> None:
    torch.manual_seed(0)
    model = InpaintingModel(PAPER).eval()
    seen: list[Tensor] = []
    model.refinement.attention.register_forward_hook(lambda _m, args, _o: seen.append(args[0]))
    mask = torch.zeros(1, 1, 256, 256)
    mask[..., 64:96, 64:96] = 1
    with torch.inference_mode():
        restoration = model(torch.rand(1, 3, 256, 256), mask)
    assert seen[0].shape == (1, 512, 32, 32)
    assert restoration.attention_encoder.shape == restoration.attention_decoder.shape
    assert restoration.attention_encoder.shape == (1, 512, 32, 32)
    # CSA_e is the map after the attention: the masked positions differ from what went in
    hidden = torch.zeros(32, 32, dtype=torch.bool)
    hidden[8:12, 8:12] = True
    changed = (restoration.attention_encoder != seen[0]).any(1)[0]
    assert torch.equal(changed, hidden)


def test_the_refinement_sees_the_rough_restoration_inside_and_the_picture_outside() -> None:
    model = InpaintingModel(TINY).eval()
    nn.init.normal_(model.rough.decoder.head.weight)
    seen: list[Tensor] = []
    model.refinement.register_forward_hook(lambda _m, args, _o: seen.append(args[0]))
    image, mask = torch.rand(1, 3, 64, 64), torch.zeros(1, 1, 64, 64)
    mask[..., 16:32, 8:24] = 1
    with torch.inference_mode():
        rough = model(image, mask).rough
    inside = mask.bool().expand_as(image)
    assert torch.equal(seen[0][inside], rough[inside])
    assert torch.equal(seen[0][~inside], image[~inside])


def test_what_is_hidden_reaches_neither_network() -> None:
    torch.manual_seed(0)
    model = InpaintingModel(TINY).eval()
    for decoder in (model.rough.decoder, model.refinement.decoder):
        nn.init.normal_(decoder.head.weight, std=0.1)
    image, mask = torch.rand(1, 3, 64, 64), torch.zeros(1, 1, 64, 64)
    mask[..., 16:32, 8:24] = 1
    with torch.inference_mode():
        first = model(image, mask)
        second = model(torch.where(mask.bool(), torch.rand_like(image), image), mask)
        other = model(torch.where(mask.bool(), image, 1 - image), mask)
    assert torch.equal(first.rough, second.rough)
    assert torch.equal(first.refined, second.refined)
    assert not torch.allclose(first.refined, other.refined)


def test_barlow_twins_is_the_encoder_pooled_then_three_linear_layers() -> None:
    with torch.device("meta"):
        model = BarlowTwins(PAPER)
        rough = InpaintingModel(PAPER).rough.encoder
    kinds = [type(layer).__name__ for layer in model.projector]
    after_each_of_two = ["Linear", "BatchNorm1d", "ReLU"]
    assert kinds == [*after_each_of_two, *after_each_of_two, "Linear"]
    assert model.projector[0].in_features == 512, "the last level alone"
    shapes = {k: v.shape for k, v in model.encoder.state_dict().items()}
    assert shapes == {k: v.shape for k, v in rough.state_dict().items()}
    assert shapes["stages.0.0.weight"][1] == 4, "colours and mask"


def test_the_pooled_embedding_is_the_mean_over_positions() -> None:
    torch.manual_seed(0)
    model = BarlowTwins(TINY).eval()
    views = torch.rand(3, 3, 64, 64)
    with torch.inference_mode():
        maps = model.encoder(with_empty_mask(views))
        expected = model.projector(torch.cat([m.mean((2, 3)) for m in maps], dim=1))
        torch.testing.assert_close(model(views), expected)


def test_pre_training_sees_a_mask_of_zeros() -> None:
    views = torch.rand(2, 3, 8, 8)
    assert torch.equal(with_empty_mask(views)[:, 3], torch.zeros(2, 8, 8))
    assert torch.equal(with_empty_mask(views)[:, :3], views - 0.5)


def test_the_pre_trained_encoder_arrives_bit_by_bit(tmp_path: Path) -> None:
    some = pictures(20)
    pretrain = PretrainTrainer(some, TINY, 1, CPU)
    for step in range(3):
        pretrain.train_step(step, 3)
    write_tensors(tmp_path / "pretrain.safetensors", pretrain.result())
    encoder = load_encoder(TINY, load_file(tmp_path / "pretrain.safetensors"), CPU)
    features = scoring_features(None, encoder)
    trainer = InpaintTrainer(some, TINY, 1, CPU, encoder, features, features)
    arrived = trainer.model.rough.encoder.state_dict()
    assert arrived.keys() == pretrain.result().keys()
    for name, tensor in pretrain.result().items():
        assert torch.equal(arrived[name], tensor), name
    fresh = InpaintTrainer(some, TINY, 1, CPU, None, features, features)
    fresh_first = fresh.model.rough.encoder.stages[0][0].weight  # type: ignore[index]
    assert not torch.equal(fresh_first, arrived["stages.0.0.weight"])


def test_relu4_3_has_512_channels_at_stride_8(vgg_file: Path) -> None:
    extractor = Vgg16Features(vgg_file)
    images = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(1))
    (found,) = extractor(images)
    assert found.shape == (1, 512, 32, 32)
    assert float(found.min()) == 0, "after the rectifier"
    # by hand: 2, 2, 3 convolutions with a pooling after each block, then three more
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (images - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)
    convolutions = [m for m in extractor.features if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 10
    for index, convolution in enumerate(convolutions):
        x = torch.relu(nn.functional.conv2d(x, convolution.weight, convolution.bias, padding=1))
        if index in (1, 3, 6):
            x = nn.functional.max_pool2d(x, 2)
    torch.testing.assert_close(found, x)


def test_with_vgg_the_target_of_the_paper_preset_is_relu4_3_itself(vgg_file: Path) -> None:
    encoder = Encoder(TINY.levels, TINY.width, TINY.max_width, TINY.image_size)
    extractor = consistency_features(vgg_file.parent, encoder)
    assert isinstance(extractor, Vgg16Features)
    assert extractor.describe()["stand_in"] is False
    with torch.device("meta"):
        channels = InpaintingModel(PAPER).attention_channels
    projection = TargetProjection(512, channels, seed=1)
    features = torch.randn(2, 512, 32, 32)
    torch.testing.assert_close(projection(features, 32), features)


def test_one_pass_serves_both_losses_where_vgg_is_missing(vgg_file: Path) -> None:
    encoder = Encoder(TINY.levels, TINY.width, TINY.max_width, TINY.image_size)
    target, learning = learning_features(None, encoder)
    assert target is learning
    with_vgg, beside_it = learning_features(vgg_file.parent, encoder)
    assert isinstance(with_vgg, Vgg16Features)
    assert beside_it is not with_vgg
    once = InpaintTrainer(pictures(12), TINY, 1, CPU, encoder, target, target)
    twice = InpaintTrainer(pictures(12), TINY, 1, CPU, encoder, target, copy.deepcopy(target))
    assert once.train_step(0, 2) == twice.train_step(0, 2)
    assert once.train_step(1, 2) == twice.train_step(1, 2)


def test_squeezenet_teaches_at_the_pictures_own_size_and_scores_at_224(tmp_path: Path) -> None:
    save_file(squeezenet1_1(weights=None).state_dict(), tmp_path / SQUEEZENET_FILE)
    encoder = Encoder(TINY.levels, TINY.width, TINY.max_width, TINY.image_size)
    target, learning = learning_features(tmp_path, encoder)
    assert target is learning
    images = torch.rand(1, 3, 128, 128)
    assert learning(images)[learning.final].shape[-1] == 15
    scoring = scoring_features(tmp_path, encoder)
    assert scoring(images)[scoring.final].shape[-1] == 27


def test_training_with_vgg_reaches_encoder_and_decoder_at_masked_positions(
    vgg_file: Path,
) -> None:
    some = pictures(12)
    encoder = Encoder(TINY.levels, TINY.width, TINY.max_width, TINY.image_size)
    target, scoring = Vgg16Features(vgg_file), scoring_features(None, encoder)
    trainer = InpaintTrainer(some, TINY, 1, CPU, encoder, target, scoring)
    values = trainer.train_step(0, 1)
    assert values["consistency"] > 0
    images, masks = trainer.batch(0)
    restoration = trainer.model(images, masks)
    wanted = trainer.projection(target(images)[0], 8)
    # leaves of their own: the decoder's map would pass its gradient on to the encoder's
    encoded = restoration.attention_encoder.detach().requires_grad_()
    decoded = restoration.attention_decoder.detach().requires_grad_()
    loss = consistency_loss(encoded, decoded, wanted, masks)
    by_encoder, by_decoder = torch.autograd.grad(loss, (encoded, decoded))
    shown = nn.functional.max_pool2d(masks, 8)[:, 0] == 0
    for gradient in (by_encoder, by_decoder):
        reached = (gradient != 0).any(1)
        assert reached.any()
        assert not reached[shown].any()
