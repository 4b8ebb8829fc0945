"""A picture as the model sees it: letterboxed, and in the product's common pose where it has one.

Training, calibration and scoring all come through here, so that they see the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ml.data.alignment import Aligner, inverse, warp
from ml.data.letterbox import Letterbox, letterbox, to_tensor


@dataclass(frozen=True)
class ModelView:
    """pixels: uint8 (3, S, S); box: the picture's content; transform: (1, 2, 3) or None; extends:
    as the aligner's."""

    pixels: Tensor
    box: Letterbox
    transform: Tensor | None
    extends: bool = False

    def at(self, picture: Image.Image, size: int) -> Tensor:
        """The same view of the same picture at another size, uint8 (3, size, size)."""
        if size == self.pixels.shape[-1]:
            return self.pixels
        if self.transform is None:
            return to_tensor(letterbox(picture, size)[0])
        large = _large(picture, size, self.extends)
        return _sampled(large, self.transform, picture.size, size, self.extends)

    def back(self, maps: Tensor) -> Tensor:
        """Maps (…, S, S) of this view, brought back to where the picture has them."""
        return moved_back(maps, self.transform)


def moved_back(maps: Tensor, transform: Tensor | None) -> Tensor:
    """Maps (…, S, S) of a view with this transform, brought back to where the picture has them."""
    if transform is None:
        return maps
    flat = maps.reshape(1, -1, *maps.shape[-2:])
    return warp(flat, inverse(transform).to(maps.device)).reshape(maps.shape)


def model_view(picture: Image.Image, size: int, aligner: Aligner | None) -> ModelView:
    """Letterbox an RGB picture to `size` pixels and register it, if the product is aligned.

    One picture at a time and on the CPU whatever the device: the same bytes, the same view.
    """
    if aligner is None:
        square, box = letterbox(picture, size)
        return ModelView(to_tensor(square), box, None)
    # Sampled from twice the size: bilinear weights would blur each picture by another amount.
    large = _large(picture, size, aligner.extends)
    transform = aligner.transforms(F.avg_pool2d(large, 2), picture.size)
    pixels = _sampled(large, transform, picture.size, size, aligner.extends)
    box = Letterbox.of(picture.width, picture.height, size)
    return ModelView(pixels, box, transform, aligner.extends)


def _large(picture: Image.Image, size: int, extends: bool) -> Tensor:
    """(1, 3, 2·size, 2·size) in 0..1."""
    square, box = letterbox(picture, 2 * size)
    whole = box.extended(to_tensor(square)) if extends else to_tensor(square)
    return whole.float().unsqueeze(0) / 255


def _sampled(
    large: Tensor, transform: Tensor, picture: tuple[int, int], size: int, extends: bool
) -> Tensor:
    moved = warp(large, transform, size)[0]
    pixels = (moved * 255).round().clamp(0, 255).to(torch.uint8)
    return Letterbox.of(*picture, size).padded(pixels) if extends else pixels
