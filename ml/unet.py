"""The U-Net of the rough network; its encoder is what Barlow Twins pre-trains."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

IN_CHANNELS = 4  # red, green, blue, mask


def channels_at(level: int, width: int, max_width: int) -> int:
    """Channels after `level` + 1 halvings."""
    return int(min(width * 2**level, max_width))


def _norm(channels: int, normalise: bool) -> nn.Module:
    return nn.BatchNorm2d(channels) if normalise else nn.Identity()


class Down(nn.Sequential):
    """Halve the map: 4×4 convolution of stride 2, normalisation, leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, *, normalise: bool = True) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=not normalise),
            _norm(outputs, normalise),
            nn.LeakyReLU(0.2, inplace=True),
        )


class Up(nn.Sequential):
    """Double the map: transposed 4×4 convolution of stride 2, normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, *, normalise: bool = True) -> None:
        super().__init__(
            nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=not normalise),
            _norm(outputs, normalise),
            nn.ReLU(inplace=True),
        )


class Encoder(nn.Module):
    """`levels` halvings of a (B, 4, S, S) picture with its mask channel.

    The 1×1 map at the bottom of preset `paper` has no normalisation: over one position per
    picture it would erase what it is meant to scale.
    """

    def __init__(
        self,
        levels: int,
        width: int,
        max_width: int,
        image_size: int,
        channels: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        usual = [channels_at(level, width, max_width) for level in range(levels)]
        self.channels = list(channels or usual)
        inputs = [IN_CHANNELS, *self.channels[:-1]]
        self.stages = nn.ModuleList(
            Down(i, o, normalise=image_size >> (level + 1) > 1)
            for level, (i, o) in enumerate(zip(inputs, self.channels, strict=True))
        )

    def forward(self, x: Tensor, depth: int | None = None) -> list[Tensor]:
        """Maps after each halving, finest first; only the first `depth` where given."""
        maps = []
        for stage in self.stages[:depth]:
            x = stage(x)
            maps.append(x)
        return maps


class Decoder(nn.Module):
    """Mirror of the encoder with skip connections; ends in three colour channels."""

    def __init__(self, channels: list[int], width: int) -> None:
        super().__init__()
        deepest = len(channels) - 1
        self.stages = nn.ModuleList(
            Up(
                channels[level] * (1 if level == deepest else 2),
                channels[level - 1] if level else width,
            )
            for level in range(deepest, -1, -1)
        )
        # Starts at "no correction": the first restoration is what the network was given.
        self.head = nn.Conv2d(width, 3, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, maps: list[Tensor], tap: int | None = None) -> tuple[Tensor, Tensor | None]:
        """Colours (B, 3, S, S) and the decoder's map at encoder level `tap` (same shape there)."""
        x, tapped = maps[-1], None
        for level, stage in zip(range(len(maps) - 1, -1, -1), self.stages, strict=True):
            x = stage(x)
            if level - 1 == tap:
                tapped = x
            if level:
                x = torch.cat([x, maps[level - 1]], dim=1)
        return self.head(x), tapped


class UNet(nn.Module):
    """Encoder and decoder around a fixed `prior`, the mean of the training normals.

    The network learns what differs from the mean picture. On parts that lie still under the
    camera most of a normal picture is its mean, and a short budget is spent on the rest; where
    parts turn freely the mean is a flat grey and costs nothing.
    """

    prior: Tensor

    def __init__(self, levels: int, width: int, max_width: int, image_size: int) -> None:
        super().__init__()
        self.encoder = Encoder(levels, width, max_width, image_size)
        self.decoder = Decoder(self.encoder.channels, width)
        self.register_buffer("prior", torch.full((3, image_size, image_size), 0.5))

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Restore (B, 3, S, S) in 0..1 from an image whose masked (1) pixels are hidden."""
        # Centred as in pre-training, so that the encoder's first layer meets what it learnt on.
        visible = (image - 0.5) * (1 - mask)
        colours, _ = self.decoder(self.encoder(torch.cat([visible, mask], dim=1)))
        return self.prior + colours.float()
