"""A large picture as a tiled model sees it: through tiles, at the scales of its networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ml.data.alignment import Aligner
from ml.data.letterbox import Letterbox
from ml.data.tiles import OVERLAP, Seen, Tile, seen_picture, tile_plan
from ml.masks import zone_mask

THOROUGH = 16  # tiles that get the thorough look


@dataclass(frozen=True)
class Tiling:
    """How a model looks at large pictures; a part of its manifest.

    edge: long edge in pixels at which a picture is seen; overlap: of neighbouring tiles, at
    least; thorough: how many tiles are restored after the memory has looked at all of them.
    The number is fixed, so that a normal is looked at no less than a defect and calibration holds.
    """

    edge: int
    overlap: float = OVERLAP
    thorough: int = THOROUGH

    def as_json(self) -> dict[str, Any]:
        """Plain types for the manifest."""
        return asdict(self)


@dataclass(frozen=True)
class Sight:
    """One picture through tiles of `size` pixels.

    fine: the same picture at the memory's scale, where that is another, for tiles of `fine_size`
    pixels. zone: (h, w) of `seen`, 1 where the part is judged; None where that is everywhere.
    """

    seen: Seen
    size: int
    plan: list[Tile]
    fine: Seen | None = None
    fine_size: int = 0
    zone: Tensor | None = None

    @cached_property
    def wanted(self) -> list[Tile]:
        """The tiles that show anything to be judged."""
        return _judged(self.plan, self.zone)

    def pixels(self, tile: Tile) -> Tensor:
        """A tile as the restorer sees it, uint8 (3, S, S)."""
        return self.seen.cut(tile, self.size)

    def large(self, tile: Tile) -> Tensor | None:
        """The same as the memory sees it, uint8 (3, V, V); None where nothing is remembered."""
        if not self.fine_size:
            return None
        if self.fine is None:
            return self.pixels(tile)
        there = tile.at(self.fine_size / self.size, self.fine_size, *self.fine.size)
        return self.fine.cut(there, self.fine_size)

    def zone_in(self, tile: Tile) -> Tensor | None:
        """What of a tile is judged (S, S); None where that is all of it."""
        if self.zone is None:
            return None
        square = torch.zeros(self.size, self.size)
        square[tile.inside.rows, tile.inside.columns] = self.zone[tile.rows, tile.columns]
        return None if bool(self.zone[tile.rows, tile.columns].all()) else square

    def box(self, tile: Tile) -> Letterbox:
        """The part of a tile that counts: its content, or the box around what is judged of it."""
        zone = self.zone_in(tile)
        if zone is None:
            return tile.inside
        rows, columns = zone.any(1).nonzero(), zone.any(0).nonzero()
        top, left = int(rows[0]), int(columns[0])
        return Letterbox(left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top)


def look_at(
    picture: Image.Image,
    tiling: Tiling,
    size: int,
    fine_size: int = 0,
    aligner: Aligner | None = None,
    zones: Sequence[Sequence[float]] = (),
) -> Sight:
    """An RGB picture through tiles of `size` pixels, which the memory sees at `fine_size`."""
    seen = seen_picture(picture, tiling.edge, aligner)
    fine = None
    if fine_size and fine_size != size:
        fine = seen_picture(picture, round(tiling.edge * fine_size / size), aligner)
    plan = seen.plan(size, tiling.overlap)
    return Sight(seen, size, plan, fine, fine_size, _zone(*seen.size, zones))


def wanted_tiles(
    width: int, height: int, tiling: Tiling, size: int, zones: Sequence[Sequence[float]] = ()
) -> list[Tile]:
    """The tiles of a picture of width × height that show anything to be judged, by its size
    alone."""
    box = Letterbox.of(width, height, tiling.edge)
    plan = tile_plan(box.width, box.height, size, tiling.overlap)
    return _judged(plan, _zone(box.width, box.height, zones))


def _zone(width: int, height: int, zones: Sequence[Sequence[float]]) -> Tensor | None:
    if not zones:
        return None
    square = zone_mask(zones, max(width, height), 0, 0, width, height)
    return square[:height, :width]


def _judged(plan: list[Tile], zone: Tensor | None) -> list[Tile]:
    return [t for t in plan if zone is None or bool(zone[t.rows, t.columns].any())]
