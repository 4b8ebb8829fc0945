"""The rivals learn, resume to the digit, and reload to the same restorer."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import part
from safetensors.torch import load_file, save_file
from torch import nn

from ml.data.dataset import PictureSet
from ml.data.model_view import model_view
from ml.features import EncoderFeatures
from ml.inpainting.model import InpaintingModel
from ml.masks import partition
from ml.methods import METHODS, load_restorer, restoration_trainer
from ml.presets import PRESETS
from ml.rivals.trainer import AdversarialTrainer
from ml.unet import Encoder

PRESET = replace(PRESETS["tiny"], inpaint_batch=4)
RIVALS = ("skip-ganomaly", "shift-net", "csa")
CPU = torch.device("cpu")
STEPS = 30


def parts(count: int = 8) -> PictureSet:
    """Some good parts as the model sees them."""
    pictures = [part(seed) for seed in range(count)]
    pixels = torch.stack([model_view(p, PRESET.image_size, None).pixels for p in pictures])
    return PictureSet([str(i) for i in range(count)], pixels, [p.size for p in pictures])


def trainer(name: str, seed: int = 1) -> AdversarialTrainer:
    torch.manual_seed(0)
    features = EncoderFeatures(
        Encoder(PRESET.levels, PRESET.width, PRESET.max_width, PRESET.image_size)
    )
    made: Any = restoration_trainer(
        METHODS[name], parts(), PRESET, seed, CPU, None, features, features, 1
    )
    assert isinstance(made, AdversarialTrainer)
    return made


@torch.inference_mode()
def error(model: nn.Module) -> float:
    """Mean absolute error of the restoration over hidden pixels; every pixel is hidden once."""
    images = parts().floats()
    masks = partition(PRESET.image_size, PRESET.cells[-1], PRESET.subsets, 3)
    errors = [
        ((model(images, mask.expand(len(images), -1, -1, -1)).refined - images).abs() * mask).sum()
        for mask in masks
    ]
    return float(torch.stack(errors).sum() / images.numel())


@dataclass
class Run:
    """A rival before and after some steps."""

    name: str
    trainer: AdversarialTrainer
    before: float
    after: float
    values: list[dict[str, float]]


@pytest.fixture(scope="module", params=RIVALS)
def run(request: pytest.FixtureRequest) -> Run:
    made: Any = trainer(request.param)
    before = error(made.averaged_model())
    values = [made.train_step(step, STEPS) for step in range(STEPS)]
    return Run(request.param, made, before, error(made.averaged_model()), values)


def test_training_lowers_the_error_on_hidden_pixels(run: Run) -> None:
    # Moving averages of thirty steps still remember the first; the trained network does not.
    assert run.after < 0.75 * run.before
    errors = [v["restoration_error"] for v in run.values]
    assert sum(errors[-3:]) < 0.5 * sum(errors[:3])


def test_every_figure_and_weight_stays_finite(run: Run) -> None:
    assert all(math.isfinite(v) for values in run.values for v in values.values())
    assert all(torch.isfinite(t).all() for t in run.trainer.optimised.tensors().values())


def test_every_network_learns(run: Run) -> None:
    start = trainer(run.name).optimised
    for part_name, optimised in run.trainer.optimised.parts.items():
        pairs = zip(start[part_name].parameters, optimised.parameters, strict=True)
        unchanged = [p.shape for p, q in pairs if torch.equal(p, q)]
        assert unchanged == []


def test_the_result_reloads_to_the_same_outputs(run: Run, tmp_path: Path) -> None:
    made: Any = run.trainer
    save_file({k: v.contiguous() for k, v in made.result().items()}, tmp_path / "r.safetensors")
    loaded = load_restorer(run.name, PRESET, load_file(tmp_path / "r.safetensors"), CPU)
    image = parts(2).floats()
    mask = partition(PRESET.image_size, 16, PRESET.subsets, 3)[0].expand(2, -1, -1, -1)
    with torch.inference_mode():
        expected, found = made.averaged_model()(image, mask), loaded(image, mask)
    assert not loaded.training
    for tensor, other in ((expected.rough, found.rough), (expected.refined, found.refined)):
        assert tensor.shape == (2, 3, PRESET.image_size, PRESET.image_size)
        assert torch.equal(tensor, other)


@pytest.mark.parametrize("name", RIVALS)
def test_killed_and_resumed_equals_uninterrupted(name: str, tmp_path: Path) -> None:
    whole: Any = trainer(name)
    for step in range(6):
        whole.train_step(step, 6)

    killed: Any = trainer(name)
    for step in range(3):
        killed.train_step(step, 6)
    path = tmp_path / "state.safetensors"
    save_file({k: v.contiguous() for k, v in killed.optimised.tensors().items()}, path)
    resumed: Any = trainer(name)
    resumed.optimised.restore(load_file(path))
    for step in range(3, 6):
        resumed.train_step(step, 6)

    expected, found = whole.optimised.tensors(), resumed.optimised.tensors()
    assert expected.keys() == found.keys()
    for key, tensor in expected.items():
        assert float((tensor - found[key]).abs().max()) <= 1e-5, key


def test_seeds_matter() -> None:
    first, same, other = (trainer("shift-net", seed) for seed in (1, 1, 2))
    weights = [t.optimised["generator"].parameters[0] for t in (first, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_declared_symmetries_are_shown_in_training() -> None:
    made = trainer("shift-net")
    made.shift = 0
    seen = made.pictures.pixels.float().mean(1) / 255

    def mirrored() -> list[bool]:
        """For each drawn picture, whether it resembles a mirrored one more than any other."""
        drawn = torch.cat([made.batch(step)[0] for step in range(4)]).mean(1)
        straight, turned = (
            (drawn[:, None] - s[None]).abs().mean((2, 3)).amin(1) for s in (seen, seen.flip(-1))
        )
        return (turned < straight).tolist()

    assert not any(mirrored())
    made.pictures.symmetries = ("mirror_left_right",)
    assert 0 < sum(mirrored()) < 16


@pytest.mark.parametrize("name", ["shift-net", "csa"])
def test_what_is_hidden_does_not_reach_the_restoration(name: str) -> None:
    made: Any = trainer(name)
    model = made.averaged_model()
    image = parts(1).floats()
    mask = partition(PRESET.image_size, 16, PRESET.subsets, 3)[:1]
    other = torch.where(mask > 0, 1 - image, image)
    assert model.whole is False
    with torch.inference_mode():
        assert torch.equal(model(image, mask).refined, model(other, mask).refined)
        assert not torch.equal(model(image, mask).refined, model(image, 1 - mask).refined)


def test_skip_ganomaly_sees_the_whole_picture_and_maps_its_own_score() -> None:
    made: Any = trainer("skip-ganomaly")
    model = made.averaged_model()
    image = parts(2).floats()
    with torch.inference_mode():
        empty, full = torch.zeros(2, 1, 64, 64), torch.ones(2, 1, 64, 64)
        restored = model(image, empty).refined
        assert model.whole is True
        assert torch.equal(restored, model(image, full).refined)
        assert 0 <= float(restored.min()) <= float(restored.max()) <= 1
        map_ = model.anomaly_map(image)
        features = [model.discriminator(2 * x - 1)[1] for x in (image, restored)]
    assert features[0].shape[-2:] == (4, 4)
    contextual = (2 * image - 2 * restored).abs().mean((1, 2, 3))
    latent = (features[0] - features[1]).square().mean((1, 2, 3))
    assert map_.shape == (2, 1, 64, 64)
    assert torch.allclose(map_.mean((1, 2, 3)), 0.9 * contextual + 0.1 * latent, atol=1e-5)


def convolution(inputs: int, outputs: int, edge: int, *, normalised: bool) -> int:
    """Parameters of a convolution with its normalisation, or with its bias."""
    return inputs * outputs * edge * edge + (2 * outputs if normalised else outputs)


def u_net(channels: list[int], width: int, maps_at_tap: int, tap: int) -> int:
    """Parameters of a U-Net counted by hand: down, up with skips, three colours."""
    pairs = zip([4, *channels[:-1]], channels, strict=True)
    total = sum(convolution(i, o, 4, normalised=True) for i, o in pairs)
    for level in range(len(channels) - 1, -1, -1):
        maps = 1 if level == len(channels) - 1 else maps_at_tap if level == tap else 2
        outputs = channels[level - 1] if level else width
        total += convolution(maps * channels[level], outputs, 4, normalised=True)
    return total + convolution(width, 3, 3, normalised=False)


def patches(inputs: int, channels: list[int]) -> int:
    """Parameters of a patch discriminator whose last convolution but one has no stride."""
    total, edges = 0, [4] * (len(channels) - 1) + [3]
    for level, (outputs, edge) in enumerate(zip(channels, edges, strict=True)):
        total += inputs * outputs * edge * edge + (outputs if level == 0 else 0)
        inputs = outputs
    return total + inputs * 9 + 1


def test_parameters_are_counted_and_comparable() -> None:
    channels = [16, 32, 64, 64]
    counts = {name: trainer(name).optimised.parameters() for name in RIVALS}
    one = u_net(channels, 16, 2, 2)
    judge = convolution(3, 16, 4, normalised=False) + sum(
        convolution(i, o, 4, normalised=True) for i, o in ((16, 32), (32, 64), (64, 64))
    )
    judge += 64 * 16 + 1  # the classifier over the 4×4 map
    assert counts["shift-net"] == {
        "generator": u_net(channels, 16, 3, 2),
        "discriminator": patches(3, [16, 32, 64, 64]),
    }
    assert counts["csa"] == {
        "generator": 2 * one,
        "picture": patches(3, [16, 32, 64, 64]),
        "feature": patches(64, [16, 32, 64]),
    }
    assert counts["skip-ganomaly"] == {"generator": one, "discriminator": judge}
    paper = sum(p.numel() for p in InpaintingModel(PRESET).parameters())
    assert counts["csa"]["generator"] == paper
    assert all(0.4 < c["generator"] / paper <= 1 for c in counts.values()), counts
