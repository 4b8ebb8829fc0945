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
    """pixels: uint8 (3, S, S); box: the picture's content; transform: (1, 2, 3) or None."""

    pixels: Tensor
    box: Letterbox
    transform: Tensor | None

    def at(self, picture: Image.Image, size: int) -> Tensor:
        """The same view of the same picture at another size, uint8 (3, size, size)."""
        if size == self.pixels.shape[-1]:
            return self.pixels
        if self.transform is None:
            return to_tensor(letterbox(picture, size)[0])
        return _moved(picture, size, self.transform)

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
    large = to_tensor(letterbox(picture, 2 * size)[0]).float().unsqueeze(0) / 255
    transform = aligner.transforms(F.avg_pool2d(large, 2))
    pixels = _sampled(large, transform, size)
    return ModelView(pixels, Letterbox.of(picture.width, picture.height, size), transform)


def _moved(picture: Image.Image, size: int, transform: Tensor) -> Tensor:
    large = to_tensor(letterbox(picture, 2 * size)[0]).float().unsqueeze(0) / 255
    return _sampled(large, transform, size)


def _sampled(large: Tensor, transform: Tensor, size: int) -> Tensor:
    moved = warp(large, transform, size)[0]
    return (moved * 255).round().clamp(0, 255).to(torch.uint8)
