"""Generator with skip connections and the discriminator whose features judge its pictures."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from ml.presets import Preset
from ml.rivals.networks import Restored, initialise, loaded, signed, unsigned
from ml.rivals.skip_ganomaly.loss import score_map
from ml.unet import Decoder, Down, Encoder, channels_at

SMALLEST_SIDE = 4  # of the discriminator's last map


class Generator(nn.Module):
    """U-Net from the whole picture to the whole picture, (B, 3, S, S) in −1..1."""

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        self.encoder = Encoder(preset.levels, preset.width, preset.max_width, preset.image_size)
        self.decoder = Decoder(self.encoder.channels, preset.width)
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Reproduce the pictures; the encoder's mask channel stays empty."""
        empty = torch.zeros_like(images[:, :1])
        colours, _ = self.decoder(self.encoder(torch.cat([images, empty], dim=1)))
        return colours.float().tanh()


class Discriminator(nn.Module):
    """DCGAN's discriminator (Radford et al. 2016): halvings down to a 4×4 map, then one logit."""

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        levels = (preset.image_size // SMALLEST_SIDE).bit_length() - 1
        channels = [3, *(channels_at(i, preset.width, preset.max_width) for i in range(levels))]
        self.features = nn.Sequential(
            *(Down(i, o, normalise=level > 0) for level, (i, o) in enumerate(pairwise(channels)))
        )
        self.classifier = nn.Conv2d(channels[-1], 1, SMALLEST_SIDE)
        initialise(self)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, S, S) in −1..1 to logits (B,) and the features f (B, C, 4, 4) before them."""
        features = self.features(images)
        return self.classifier(features).flatten().float(), features.float()


class SkipGanomaly(nn.Module):
    """Both networks: restores whole pictures in one pass and says where they differ."""

    whole = True

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        self.generator = Generator(preset)
        self.discriminator = Discriminator(preset)

    def forward(self, image: Tensor, mask: Tensor) -> Restored:
        """image (B, 3, S, S) in 0..1; nothing is hidden from the network, whatever the mask."""
        restored = unsigned(self.generator(signed(image)))
        return Restored(restored, restored)

    def anomaly_map(self, image: Tensor) -> Tensor:
        """image (B, 3, S, S) in 0..1 to the map (B, 1, S, S) whose mean is the score A."""
        original = signed(image)
        restored = self.generator(original)
        _, wanted = self.discriminator(original)
        _, found = self.discriminator(restored)
        return score_map(original, restored, wanted, found)


def load_model(preset: Preset, tensors: dict[str, Tensor], device: torch.device) -> SkipGanomaly:
    """The model in evaluation mode from `SkipGanomalyTrainer.result`."""
    return loaded(lambda: SkipGanomaly(preset), tensors, device)
