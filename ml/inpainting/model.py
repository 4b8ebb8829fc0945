"""The image inpainting model: rough network, then refinement network with attention."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ml.csa import CoherentSemanticAttention
from ml.presets import Preset
from ml.unet import Decoder, Encoder, UNet


@dataclass(frozen=True)
class Restoration:
    """What one pass gives: I_p, I_r (B, 3, S, S) and the two maps that Eq. 4 compares."""

    rough: Tensor
    refined: Tensor
    attention_encoder: Tensor
    attention_decoder: Tensor


class RefinementNetwork(nn.Module):
    """Encoder–decoder with the CSA layer after `attention_level` halvings.

    It sees I_p inside the mask and I_gt outside (Liu et al. 2019) and adds its correction to
    that picture.
    """

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        self.tap = preset.attention_level - 1
        self.encoder = Encoder(
            preset.refine_levels,
            preset.width,
            preset.max_width,
            preset.image_size,
            preset.refine_channels,
        )
        self.attention = CoherentSemanticAttention()
        self.decoder = Decoder(self.encoder.channels, preset.width)

    def forward(self, composite: Tensor, prior: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """I_r, the CSA layer's map and the decoder's map of the same shape."""
        stages = self.encoder.stages
        x, maps = torch.cat([composite - prior, mask], dim=1), []
        for level, stage in enumerate(stages):
            x = stage(x)
            if level == self.tap:
                x = self.attention(x, mask)
            maps.append(x)
        colours, tapped = self.decoder(maps, tap=self.tap)
        if tapped is None:
            raise ValueError("refine_levels must reach below the attention layer")
        return composite + colours.float(), maps[self.tap], tapped


class InpaintingModel(nn.Module):
    """Rough network and refinement network (Fig. 1 to 3 of the paper)."""

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        self.rough = UNet(preset.levels, preset.width, preset.max_width, preset.image_size)
        self.refinement = RefinementNetwork(preset)

    @property
    def attention_channels(self) -> int:
        """Channels at the CSA layer."""
        return self.refinement.encoder.channels[self.refinement.tap]

    def forward(self, image: Tensor, mask: Tensor) -> Restoration:
        """image (B, 3, S, S) in 0..1; mask (B, 1, S, S), 1 where hidden from both networks."""
        rough = self.rough(image, mask)
        composite = rough * mask + image * (1 - mask)
        refined, attended, decoded = self.refinement(composite, self.rough.prior, mask)
        return Restoration(rough, refined, attended, decoded)
