"""Sample strips: original, masked, rough and restored, side by side, one row a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ml.data.dataset import PictureSet
from ml.masks import partition
from ml.methods import RestorationTrainer

COLUMNS = ["original", "masked", "rough", "restored"]
ROWS = 4
GAP = 4


@torch.inference_mode()
def write_strip(trainer: RestorationTrainer, pictures: PictureSet, path: Path) -> int:
    """Write a WebP strip of up to four pictures; returns the number of rows.

    The whole picture is masked in turn, as in an inspection; "rough" and "restored" are
    stitched from these passes, "masked" shows the first.
    """
    model, preset = trainer.averaged_model(), trainer.preset
    masks = partition(preset.image_size, preset.cells[-1], preset.subsets, trainer.seed)
    masks = masks.to(trainer.device)
    rows = []
    for index in range(min(ROWS, len(pictures))):
        image = pictures.floats(slice(index, index + 1)).to(trainer.device)
        passes = model(image.expand(len(masks), -1, -1, -1), masks)
        rough = (passes.rough * masks).sum(0)
        refined = (passes.refined * masks).sum(0)
        masked = image[0] * (1 - masks[0]) + 0.5 * masks[0]
        rows.append(torch.stack([image[0], masked, rough, refined]))
    path.parent.mkdir(exist_ok=True)
    _grid(torch.stack(rows)).save(path, quality=85)
    return len(rows)


def _grid(tiles: torch.Tensor) -> Image.Image:
    """(rows, columns, 3, S, S) in 0..1 to one picture with a white gap between tiles."""
    rows, columns, _, size, _ = tiles.shape
    step = size + GAP
    canvas = np.full((rows * step - GAP, columns * step - GAP, 3), 255, np.uint8)
    pixels = (tiles.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 1, 3, 4, 2).cpu().numpy()
    for row in range(rows):
        for column in range(columns):
            y, x = row * step, column * step
            canvas[y : y + size, x : x + size] = pixels[row, column]
    return Image.fromarray(canvas)
