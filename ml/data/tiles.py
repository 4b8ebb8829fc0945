"""Large pictures, looked at through overlapping squares of the preset's size.

A picture that is much larger than the preset's square would lose small defects when it is fitted
in. It is resampled to a length at which a tile shows enough of it, cut into tiles that overlap,
and never stretched; where it is narrower than a tile, grey fills the tile up as in a letterbox.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ml.data.alignment import Aligner, inverse, warp
from ml.data.dataset import PictureSet
from ml.data.letterbox import PADDING, Letterbox, letterbox, to_tensor

# The median long edge in pixels above which tiles are used. Up to there a picture is looked at
# whole, which says more of a part, where it lies and what is usual at each place, and takes a
# thirtieth of the time; the memory sees it at up to 512 px whatever the preset.
TILED_ABOVE = 2048
MOST_ALONG = 8  # times the preset's size: the longest edge that is looked at
OVERLAP = 0.25  # of a tile, at least
POOL = 4096  # random tiles that a training holds in memory at most,
POOL_BYTES = 256 * 2**20  # and the bytes that they take at most
MOST_BYTES = 256 * 2**20  # of a picture moved in floats at twice its size


@dataclass(frozen=True)
class Tile:
    """A square of the seen picture: `inside` is where its content lies in the tile, `x`, `y`
    where that content's first pixel lies in the seen picture; `index` counts row by row."""

    index: int
    row: int
    column: int
    x: int
    y: int
    inside: Letterbox

    @property
    def columns(self) -> slice:
        """Columns of the seen picture that the tile covers."""
        return slice(self.x, self.x + self.inside.width)

    @property
    def rows(self) -> slice:
        """Rows of the seen picture that the tile covers."""
        return slice(self.y, self.y + self.inside.height)

    def at(self, scale: float, size: int, width: int, height: int) -> Tile:
        """The same place in the same picture seen at `scale` times the size, width × height, as a
        tile of `size` pixels."""
        w, h = min(width, size), min(height, size)
        x, y = min(round(self.x * scale), width - w), min(round(self.y * scale), height - h)
        inside = Letterbox((size - w) // 2, (size - h) // 2, w, h)
        return Tile(self.index, self.row, self.column, x, y, inside)


def is_tiled(sizes: Sequence[tuple[int, int]], setting: str = "auto") -> bool:
    """Whether pictures of these (width, height) want tiles.

    setting: `auto` (the median long edge is more than 2,048 px), `never` or `always`.
    """
    if setting not in ("auto", "never", "always"):
        raise ValueError(f"tile must be auto, never or always, not {setting!r}")
    if setting != "auto":
        return setting == "always"
    return bool(sizes) and _median_edge(sizes) > TILED_ABOVE


def seen_edge(sizes: Sequence[tuple[int, int]], size: int) -> int:
    """Long edge in pixels at which pictures of these (width, height) are looked at.

    Their own, up to eight tiles: a defect of 0.1 % of the area is then 32 pixels wide at 128.
    """
    return round(min(_median_edge(sizes), MOST_ALONG * size))


def _median_edge(sizes: Sequence[tuple[int, int]]) -> float:
    return statistics.median(max(size) for size in sizes)


def tile_plan(width: int, height: int, size: int, overlap: float = OVERLAP) -> list[Tile]:
    """Tiles of `size` pixels that cover a picture of width × height, row by row.

    Evenly spaced, the first and the last at the borders; neighbours share at least `overlap`
    (0 ≤ overlap < 1) of a tile. Raises ValueError where a number makes no sense.
    """
    if min(width, height, size) < 1 or not 0 <= overlap < 1:
        raise ValueError(f"no tiles of {size} px for {width} × {height} px, overlap {overlap}")
    across = _starts(width, size, overlap)
    w, h = min(width, size), min(height, size)
    inside = Letterbox((size - w) // 2, (size - h) // 2, w, h)
    return [
        Tile(row * len(across) + column, row, column, x, y, inside)
        for row, y in enumerate(_starts(height, size, overlap))
        for column, x in enumerate(across)
    ]


def _starts(length: int, size: int, overlap: float) -> list[int]:
    if length <= size:
        return [0]
    step = max(1, int(size * (1 - overlap)))
    count = 1 - (size - length) // step  # the first, and the rest rounded up
    return [round(i * (length - size) / (count - 1)) for i in range(count)]


@dataclass(frozen=True)
class Seen:
    """A picture as its tiles show it: uint8 (3, h, w), and how it was brought to the common pose
    ((1, 2, 3) of its letterbox, or None)."""

    pixels: Tensor
    transform: Tensor | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return int(self.pixels.shape[-1]), int(self.pixels.shape[-2])

    def plan(self, size: int, overlap: float = OVERLAP) -> list[Tile]:
        """Its tiles of `size` pixels."""
        return tile_plan(*self.size, size, overlap)

    def cut(self, tile: Tile, size: int) -> Tensor:
        """One tile's pixels, uint8 (3, size, size)."""
        content = self.pixels[:, tile.rows, tile.columns]
        if content.shape[-2:] == (size, size):
            return content.contiguous()
        square = torch.tensor(PADDING, dtype=torch.uint8).view(3, 1, 1).repeat(1, size, size)
        square[:, tile.inside.rows, tile.inside.columns] = content
        return square

    def back(self, found: Tensor) -> Tensor:
        """A map (h, w) of this view, brought back to where the picture has it."""
        if self.transform is None:
            return found
        width, height = self.size
        box = Letterbox.of(width, height, max(width, height))
        square = found.new_zeros(max(width, height), max(width, height))
        square[box.rows, box.columns] = found
        moved = warp(square[None, None], inverse(self.transform).to(found.device))
        return box.crop(moved[0, 0])


def seen_picture(
    picture: Image.Image, edge: int, aligner: Aligner | None = None, size: int | None = None
) -> Seen:
    """An RGB picture with a long edge of `edge` pixels, in the product's common pose.

    aligner: registers the whole picture at `size` pixels, the size that it was fitted at.
    """
    box = Letterbox.of(picture.width, picture.height, edge)
    if aligner is None:
        small = picture.resize((box.width, box.height), Image.Resampling.LANCZOS)
        return Seen(_pixels(small))
    size = size or aligner.template.shape[-1]
    whole = _square(picture, size, aligner).float().unsqueeze(0) / 255
    transform = aligner.transforms(whole, picture.size)
    # Sampled from twice the size where that fits: bilinear weights blur by the shift.
    finer = 2 if 4 * edge * edge * 4 <= MOST_BYTES else 1
    square = _square(picture, finer * edge, aligner)
    moved = torch.stack([_moved(channel, transform, edge) for channel in square])
    return Seen(box.crop(moved).contiguous(), transform)


def _square(picture: Image.Image, size: int, aligner: Aligner) -> Tensor:
    """Bytes (3, size, size) as the aligner wants them."""
    square, box = letterbox(picture, size)
    return box.extended(to_tensor(square)) if aligner.extends else to_tensor(square)


def _moved(channel: Tensor, transform: Tensor, edge: int) -> Tensor:
    """One colour (H, H) of bytes at a time: in floats all three would be large."""
    found = warp(channel[None, None].float(), transform, edge)[0, 0]
    return found.round().clamp(0, 255).to(torch.uint8)


def _pixels(picture: Image.Image) -> Tensor:
    data = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
    return data.view(picture.height, picture.width, 3).permute(2, 0, 1).contiguous()


def random_tiles(
    pictures: Iterable[tuple[str, Seen]], count: int, size: int, seed: int, pool: int = POOL
) -> PictureSet:
    """Random tiles of `count` pictures as pictures to train on, at most `pool` in all (but one a
    picture) and no more than fit into a bounded memory.

    Every picture gives as many, at places drawn evenly from all that lie inside it; each is
    opened once. Ids are `picture#number`; the same seed gives the same tiles.
    """
    each = max(1, min(pool, POOL_BYTES // (3 * size * size)) // max(1, count))
    generator = torch.Generator().manual_seed(seed)
    ids: list[str] = []
    pixels = torch.zeros(count * each, 3, size, size, dtype=torch.uint8)
    for id_, seen in pictures:
        width, height = seen.size
        for number in range(each):
            tile = _random_tile(width, height, size, number, generator)
            pixels[len(ids)] = seen.cut(tile, size)
            ids.append(f"{id_}#{number}")
    return PictureSet(ids, pixels[: len(ids)], [(size, size)] * len(ids))


def _random_tile(
    width: int, height: int, size: int, number: int, generator: torch.Generator
) -> Tile:
    inside = tile_plan(width, height, size)[0].inside
    x, y = (
        int(torch.randint(length - used + 1, (1,), generator=generator))
        for length, used in ((width, inside.width), (height, inside.height))
    )
    return Tile(number, 0, 0, x, y, inside)


def reduced(maps: Tensor, edge: int) -> Tensor:
    """A map (h, w) with a long edge of at most `edge`, for storing and showing."""
    height, width = maps.shape
    if max(height, width) <= edge:
        return maps
    box = Letterbox.of(width, height, edge)
    return F.adaptive_max_pool2d(maps[None, None], (box.height, box.width))[0, 0]
