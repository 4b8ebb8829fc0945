"""Fit a picture into a square without stretching it, and undo that for maps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

PADDING = (128, 128, 128)


@dataclass(frozen=True)
class Letterbox:
    """Where the picture lies inside the square: offsets and size in pixels."""

    x: int
    y: int
    width: int
    height: int

    @classmethod
    def of(cls, width: int, height: int, size: int) -> Letterbox:
        """The box of a `width` × `height` picture in a square of `size` pixels."""
        scale = size / max(width, height)
        w, h = max(1, round(width * scale)), max(1, round(height * scale))
        return cls((size - w) // 2, (size - h) // 2, w, h)

    @property
    def rows(self) -> slice:
        """Rows of the square that the picture covers."""
        return slice(self.y, self.y + self.height)

    @property
    def columns(self) -> slice:
        """Columns of the square that the picture covers."""
        return slice(self.x, self.x + self.width)

    def crop(self, square: Tensor) -> Tensor:
        """Cut (…, S, S) back to the picture's own aspect, (…, height, width)."""
        return square[..., self.rows, self.columns]

    def extended(self, square: Tensor) -> Tensor:
        """(…, S, S) with the picture's outermost pixels repeated over the padding."""
        size = square.shape[-1]
        if (self.width, self.height) == (size, size):
            return square
        places = torch.arange(size, device=square.device)
        rows = places.clamp(self.rows.start, self.rows.stop - 1)
        columns = places.clamp(self.columns.start, self.columns.stop - 1)
        return square[..., rows, :][..., columns]

    def padded(self, square: Tensor) -> Tensor:
        """Bytes (3, S, S) with the padding's grey around the picture."""
        grey = torch.tensor(PADDING, dtype=torch.uint8).view(3, 1, 1).expand_as(square).clone()
        grey[:, self.rows, self.columns] = self.crop(square)
        return grey


def letterbox(picture: Image.Image, size: int) -> tuple[NDArray[np.uint8], Letterbox]:
    """The picture in a grey square (size, size, 3) and the box that it covers there."""
    box = Letterbox.of(picture.width, picture.height, size)
    square = Image.new("RGB", (size, size), PADDING)
    if picture.size != (box.width, box.height):
        picture = picture.resize((box.width, box.height), Image.Resampling.LANCZOS)
    square.paste(picture, (box.x, box.y))
    return np.array(square), box


def to_tensor(square: NDArray[np.uint8]) -> Tensor:
    """(S, S, 3) bytes to a (3, S, S) byte tensor."""
    return torch.from_numpy(np.ascontiguousarray(square.transpose(2, 0, 1)))
