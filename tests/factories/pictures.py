"""Pictures of a part that a tiny model can learn within seconds."""

import io
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from inspection.models import Viewpoint
from inspection.services import folder_import

SIDE = 96


def draw_part(seed: int, defect: bool = False) -> PillowImage.Image:
    """A green board with four dark chips, a little moved and noisy; or with one missing."""
    draw = np.random.default_rng(seed)
    picture = np.full((SIDE, SIDE, 3), (40, 110, 60), np.float32)
    dy, dx = draw.integers(-2, 3, 2)
    for place in range(3 if defect else 4):
        top, left = 16 + 40 * (place // 2) + dy, 16 + 40 * (place % 2) + dx
        picture[top : top + 24, left : left + 24] = (30, 30, 35)
    picture += draw.normal(0, 4, picture.shape)
    return PillowImage.fromarray(picture.clip(0, 255).astype(np.uint8))


def png(picture: PillowImage.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def write_parts(folder: Path, how_many: int, first_seed: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for n in range(how_many):
        (folder / f"part-{first_seed + n:04}.png").write_bytes(png(draw_part(first_seed + n)))
    return folder


def upload_good_parts(viewpoint: Viewpoint, folder: Path, how_many: int = 60) -> None:
    """Bring pictures into the viewpoint's good parts, the way a person does from a folder."""
    write_parts(folder, how_many)
    folder_import.import_folder(None, dataset=viewpoint.datasets.get(), folder=folder)
