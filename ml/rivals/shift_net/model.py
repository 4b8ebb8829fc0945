"""U-Net with the shift-connection layer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ml.presets import Preset
from ml.rivals.networks import PatchDiscriminator, initialise, loaded, signed, unsigned
from ml.unet import Encoder, Up


@dataclass(frozen=True)
class Shifted:
    """What one pass gives: the picture (B, 3, S, S), and at the shift layer the decoder's map
    (B, C, h, w) and which positions are hidden (B, 1, h, w)."""

    refined: Tensor
    decoded: Tensor
    hidden: Tensor

    @property
    def rough(self) -> Tensor:
        """The method has one stage."""
        return self.refined


def shift_features(encoded: Tensor, decoded: Tensor, hidden: Tensor) -> Tensor:
    """Shift known encoder features to the hidden positions (Eq. 3 and 4 of Yan et al. 2018).

    For each hidden position y the known x whose encoder feature has the highest cosine
    similarity to the decoder's feature at y: Φ_shift(y) = Φ_enc(x). The choice has no gradient,
    the shifted feature has. Known positions, and all of a picture with none known, are 0.

    encoded, decoded: (B, C, h, w); hidden: (B, 1, h, w), true where hidden. Returns (B, C, h, w).
    """
    b, c, h, w = encoded.shape
    unknown = hidden.reshape(b, h * w).bool()
    known = encoded.flatten(2)
    with torch.no_grad():
        keys = F.normalize(known.float(), dim=1, eps=1e-8)
        guesses = F.normalize(decoded.flatten(2).float(), dim=1, eps=1e-8)
        similarity = guesses.transpose(1, 2) @ keys  # (B, position y, position x)
        best = similarity.masked_fill(unknown.unsqueeze(1), -torch.inf).argmax(dim=2)
    shifted = known.gather(2, best.unsqueeze(1).expand(-1, c, -1))
    filled = unknown & ~unknown.all(dim=1, keepdim=True)
    return (shifted * filled.unsqueeze(1)).reshape(b, c, h, w)


class ShiftNet(nn.Module):
    """The generator: the shift layer lies after `attention_level` halvings.

    There the decoder's next stage sees three maps: its own, the encoder's, the shifted.
    """

    whole = False

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        self.tap = preset.attention_level - 1
        self.encoder = Encoder(preset.levels, preset.width, preset.max_width, preset.image_size)
        channels = self.encoder.channels
        deepest = len(channels) - 1
        if self.tap >= deepest:
            raise ValueError("levels must reach below the shift layer")
        self.ups = nn.ModuleList(
            Up(
                channels[level] * self._maps_into(level, deepest),
                channels[level - 1] if level else preset.width,
            )
            for level in range(deepest, -1, -1)
        )
        self.head = nn.Conv2d(preset.width, 3, 3, padding=1)
        initialise(self)

    def _maps_into(self, level: int, deepest: int) -> int:
        if level == deepest:
            return 1
        return 3 if level == self.tap else 2

    def forward(self, image: Tensor, mask: Tensor) -> Shifted:
        """image (B, 3, S, S) in 0..1; mask (B, 1, S, S), 1 where hidden from the network."""
        maps = self.encoder(torch.cat([signed(image) * (1 - mask), mask], dim=1))
        stride = 2 ** (self.tap + 1)
        hidden = F.max_pool2d(mask, stride) > 0
        x = decoded = maps[-1]
        for level, up in zip(range(len(maps) - 1, -1, -1), self.ups, strict=True):
            x = up(x)
            below = level - 1
            if below == self.tap:
                decoded = x
                x = torch.cat([x, maps[below], shift_features(maps[below], x, hidden)], dim=1)
            elif level:
                x = torch.cat([x, maps[below]], dim=1)
        restored = unsigned(self.head(x).float().tanh())
        return Shifted(restored, decoded.float(), hidden)

    def guidance(self, image: Tensor) -> Tensor:
        """Φ_enc of the whole picture (B, C, h, w), which the guidance loss aims at."""
        empty = torch.zeros_like(image[:, :1])
        maps = self.encoder(torch.cat([signed(image), empty], dim=1), depth=self.tap + 1)
        return maps[self.tap].float()


def discriminator(preset: Preset) -> PatchDiscriminator:
    """The discriminator of pix2pix, as published."""
    return PatchDiscriminator(3, preset.width, preset.max_width)


def load_model(preset: Preset, tensors: dict[str, Tensor], device: torch.device) -> ShiftNet:
    """The model in evaluation mode from `ShiftNetTrainer.result`."""
    return loaded(lambda: ShiftNet(preset), tensors, device)
