"""Rough and refinement network with the CSA layer, and their two discriminators."""

from __future__ import annotations

import torch
from torch import Tensor

from ml.inpainting.model import InpaintingModel
from ml.presets import Preset
from ml.rivals.networks import PatchDiscriminator, loaded


class CsaModel(InpaintingModel):
    """The paper's two networks; the prior stays mid-grey, since the method has none."""

    whole = False


def picture_discriminator(preset: Preset) -> PatchDiscriminator:
    """Looks at patches of pictures."""
    return PatchDiscriminator(3, preset.width, preset.max_width)


def feature_discriminator(preset: Preset, channels: int) -> PatchDiscriminator:
    """Looks at patches of the consistency target's features (B, channels, h, w) at stride 8."""
    return PatchDiscriminator(channels, preset.width, preset.max_width, halvings=2)


def load_model(preset: Preset, tensors: dict[str, Tensor], device: torch.device) -> CsaModel:
    """The model in evaluation mode from `CsaTrainer.result`."""
    return loaded(lambda: CsaModel(preset), tensors, device)
