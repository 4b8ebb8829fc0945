"""Presets: every size that a training run needs, under one name."""

from __future__ import annotations

from dataclasses import dataclass

from ml.unet import channels_at


@dataclass(frozen=True)
class Preset:
    """Sizes of the networks, the masks and the batches of one training run.

    `cells` are the edges of the sweep's square cells in pixels; each is a multiple of
    `attention_stride`, so that a mask is exact where the attention layer works.
    `attention_width` are the channels at the attention layer where they differ from the usual
    doubling: VGG-16's relu4_3 has 512, and L_c (Eq. 4) compares the two position by position.
    `pools_every_level`: Barlow Twins' embedding is pooled from all levels of the encoder, which
    trains the stride-8 stage that may stand in for a backbone; false is the paper's last level.
    """

    name: str
    image_size: int
    levels: int
    width: int
    max_width: int
    refine_levels: int
    cells: tuple[int, ...]
    projector: int
    pretrain_batch: int
    inpaint_batch: int
    subsets: int = 4
    attention_stride: int = 8
    learning_rate: float = 2e-3
    attention_width: int | None = None
    pools_every_level: bool = True

    @property
    def attention_level(self) -> int:
        """Number of halvings down to the attention layer (stride 8 is 3)."""
        return self.attention_stride.bit_length() - 1

    @property
    def refine_channels(self) -> list[int]:
        """Channels of the refinement network's encoder, level by level."""
        channels = [
            channels_at(level, self.width, self.max_width) for level in range(self.refine_levels)
        ]
        if self.attention_width:
            channels[self.attention_level - 1] = self.attention_width
        return channels


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            name="paper", image_size=256, levels=8, width=64, max_width=512, refine_levels=6,
            cells=(16, 32, 64), projector=1024, pretrain_batch=64, inpaint_batch=16,
            learning_rate=5e-4, attention_width=512, pools_every_level=False,
        ),
        Preset(
            name="compact", image_size=128, levels=6, width=32, max_width=192, refine_levels=4,
            cells=(8, 16, 32), projector=256, pretrain_batch=48, inpaint_batch=8,
        ),
        Preset(
            name="tiny", image_size=64, levels=4, width=16, max_width=64, refine_levels=4,
            cells=(8, 16), projector=64, pretrain_batch=16, inpaint_batch=8,
        ),
    )
}  # fmt: skip
