"""Frozen feature extractors: what F_s (Eq. 7) and F_v (Eq. 4) stand for in this run.

Weights are files that an administrator installed; nothing here ever downloads. Without them a
frozen copy of the pre-trained encoder stands in, and says so in the manifest.
"""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from ml.barlow_twins.model import with_empty_mask
from ml.unet import Encoder

SQUEEZENET_FILE = "squeezenet1_1_imagenet.safetensors"
VGG_FILE = "vgg16_imagenet.safetensors"


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


class FeatureExtractor(nn.Module):
    """Several maps of one picture, of which `final` is the one that Eq. 7 compares."""

    name = ""
    layer = ""
    sha256 = ""
    stand_in = False
    final = -1
    stage_names: tuple[str, ...] = ()

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images (B, 3, S, S) in 0..1 to maps (B, C_i, h_i, w_i), finest first."""
        raise NotImplementedError

    def describe(self) -> dict[str, Any]:
        """The manifest's entry."""
        return {
            "name": self.name,
            "layer": self.layer,
            "sha256": self.sha256,
            "stand_in": self.stand_in,
        }

    def freeze(self) -> FeatureExtractor:
        """Evaluation mode for good, no gradients into the weights."""
        self.eval().requires_grad_(False)
        return self


class ImageNetFeatures(FeatureExtractor):
    """Some layers of a torchvision network's `features`, with ImageNet normalisation."""

    mean: Tensor
    std: Tensor

    def __init__(self, features: nn.Sequential, taps: tuple[int, ...], size: int | None) -> None:
        super().__init__()
        self.taps = taps
        self.size = size
        self.features = features[: max(taps) + 1]
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> list[Tensor]:
        if self.size and images.shape[-1] != self.size:
            images = F.interpolate(
                images, size=(self.size, self.size), mode="bilinear", align_corners=False
            )
        x = (images - self.mean) / self.std
        maps = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self.taps:
                maps.append(x)
        return maps


class SqueezeNetFeatures(ImageNetFeatures):
    """SqueezeNet 1.1, `features` 4 (stride 4), 7 and 10; the paper's seventh layer is index 7."""

    name = "squeezenet1_1"
    layer = "features.7"

    def __init__(
        self, path: Path, size: int | None = 224, taps: tuple[int, ...] = (4, 7, 10)
    ) -> None:
        from torchvision.models import squeezenet1_1

        network = squeezenet1_1(weights=None)
        network.load_state_dict(load_file(path))
        super().__init__(network.features, taps=taps, size=size)
        self.final = taps.index(7) if 7 in taps else -1
        self.stage_names = tuple(f"{self.name}.{tap}" for tap in taps)
        self.sha256 = file_sha256(path)
        self.freeze()


class Vgg16Features(ImageNetFeatures):
    """VGG-16 relu4_3, `features` 22: 512 channels at stride 8."""

    name = "vgg16"
    layer = "features.22"
    stage_names = ("vgg16.22",)

    def __init__(self, path: Path) -> None:
        from torchvision.models import vgg16

        # Only the convolutions: the classifier is nine tenths of the weights and never used.
        with torch.device("meta"):
            features = vgg16(weights=None).features
        prefix = "features."
        weights = {
            k.removeprefix(prefix): v for k, v in load_file(path).items() if k.startswith(prefix)
        }
        features.load_state_dict(weights, assign=True)
        super().__init__(features, taps=(22,), size=None)
        self.sha256 = file_sha256(path)
        self.freeze()


class EncoderFeatures(FeatureExtractor):
    """Stand-in: a frozen copy of the pre-trained encoder, strides 2, 4 and 8."""

    name = "ssl_encoder"
    layer = "stride8"
    stand_in = True

    def __init__(self, encoder: Encoder, stages: tuple[int, ...] = (0, 1, 2)) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(encoder)
        self.stages = stages
        self.stage_names = tuple(f"{self.name}.{2 ** (stage + 1)}" for stage in stages)
        self.freeze()

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = self.encoder(with_empty_mask(images), depth=max(self.stages) + 1)
        return [maps[stage] for stage in self.stages]


def scoring_features(weights_dir: Path | None, encoder: Encoder | None) -> FeatureExtractor:
    """F_s: SqueezeNet where its file is installed, otherwise the stand-in."""
    path = installed(weights_dir, SQUEEZENET_FILE)
    return SqueezeNetFeatures(path) if path else _stand_in(encoder)


def consistency_features(weights_dir: Path | None, encoder: Encoder | None) -> FeatureExtractor:
    """F_v: VGG-16, else SqueezeNet at stride 8, else the stand-in."""
    if path := installed(weights_dir, VGG_FILE):
        return Vgg16Features(path)
    if path := installed(weights_dir, SQUEEZENET_FILE):
        return SqueezeNetFeatures(path, size=None)
    return _stand_in(encoder)


def learning_features(
    weights_dir: Path | None, encoder: Encoder | None
) -> tuple[FeatureExtractor, FeatureExtractor]:
    """F_v of L_c, and what the feature loss looks through: one network where VGG-16 is missing.

    SqueezeNet sees the picture at its own size here. At the 224 px of the score a step of preset
    `compact` takes half as long again, and teaches no more (docs/method.md, Tried).
    """
    target = consistency_features(weights_dir, encoder)
    if not isinstance(target, Vgg16Features):
        return target, target
    path = installed(weights_dir, SQUEEZENET_FILE)
    return target, SqueezeNetFeatures(path, size=None) if path else _stand_in(encoder)


def _stand_in(encoder: Encoder | None) -> EncoderFeatures:
    if encoder is None:
        raise ValueError("without installed weights a pre-trained encoder has to stand in")
    return EncoderFeatures(encoder)


def installed(weights_dir: Path | None, name: str) -> Path | None:
    """The weights file's path, or None where it is not installed."""
    path = weights_dir / name if weights_dir else None
    return path if path and path.is_file() else None
