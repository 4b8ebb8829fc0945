"""One map and one score of a large picture from its tiles.

A cheap look at every tile gives the first map within seconds; a thorough one follows where the
first found most. Tiles are blended with weights that fall towards their borders, so that no seam
shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ml.data.sight import Sight
from ml.data.tiles import Tile


class Blender:
    """Adds tiles' maps (…, S, S) to one (…, h, w): the weighted mean where tiles overlap."""

    def __init__(self, *shape: int) -> None:
        self.total = torch.zeros(shape)
        self.weight = torch.zeros(shape[-2:])

    def add(self, found: Tensor, tile: Tile, instead_of: Tensor | None = None) -> None:
        """Add a tile's map; `instead_of` takes the place of one that was added before."""
        weights = window(tile)
        if instead_of is None:
            self.weight[tile.rows, tile.columns] += weights
        part = found if instead_of is None else found - instead_of
        content = tile.inside.crop(part.cpu().float())
        self.total[..., tile.rows, tile.columns] += weights * content

    def map(self) -> Tensor:
        """The map (…, h, w); 0 where no tile was added."""
        return self.total / torch.where(self.weight > 0, self.weight, 1)


def blend(maps: Iterable[Tensor], plan: list[Tile]) -> Tensor:
    """One map (h, w) from a map (S, S) for each tile of the plan."""
    blender = Blender(plan[-1].rows.stop, plan[-1].columns.stop)
    for found, tile in zip(maps, plan, strict=True):
        blender.add(found, tile)
    return blender.map()


def window(tile: Tile) -> Tensor:
    """Weights (h, w) of a tile's content, 1 in the middle and falling to its borders, never 0:
    at the picture's border there is no other tile."""
    return _ramp(tile.inside.height).unsqueeze(1) * _ramp(tile.inside.width)


def _ramp(length: int) -> Tensor:
    distance = torch.minimum(torch.arange(length), torch.arange(length).flip(0)) + 0.5
    return (distance / (length / 2)).clamp(max=1)


@dataclass(frozen=True)
class Look:
    """What a look at one tile gave: the map (S, S) that decides, scores by name (`decision` is
    one of them), and the tile as it should be (3, S, S) where it was restored."""

    map: Tensor
    scores: dict[str, float]
    restored: Tensor | None = None


@dataclass(frozen=True)
class LargeResult:
    """map: (h, w) where the picture has it; scores: by name, each that of the worst tile, so that
    a small defect counts as much in a large picture; tile_scores: of every tile that was looked
    at, in the plan's order; thorough: the places in it of those that were looked at again;
    restored: bytes (h, w, 3), the picture itself where no tile was restored."""

    map: Tensor
    scores: dict[str, float]
    tile_scores: list[float]
    thorough: list[int]
    restored: NDArray[np.uint8]

    @property
    def score(self) -> float:
        """The one that decides."""
        return self.scores["decision"]


@dataclass(frozen=True)
class LargeScorer:
    """Scores a picture through tiles.

    first: the look at every tile; again: the thorough one, at the `most` tiles of which the
    first found most (None: the first is thorough). All maps share one unit.
    """

    look_at: Callable[[Image.Image], Sight]
    first: Callable[[Sight, Tile], Look]
    again: Callable[[Sight, Tile], Look] | None = None
    most: int = 0

    def score(
        self,
        picture: Image.Image,
        on_first_map: Callable[[Tensor], None] | None = None,
        tick: Callable[[], None] | None = None,
    ) -> LargeResult:
        """Score an RGB picture; `on_first_map` gets the map (h, w) of the first look before the
        second begins, `tick` is called after every look at a tile."""
        sight = self.look_at(picture)
        canvas = _Canvas(sight)
        looks = []
        for tile in sight.wanted:
            looks.append(canvas.take(self.first(sight, tile), tile))
            if tick:
                tick()
        if on_first_map:
            on_first_map(canvas.map())
        looked = []
        if self.again:
            looked = _most_suspicious(looks, self.most)
            for place in looked:
                tile = sight.wanted[place]
                before = looks[place].map
                looks[place] = canvas.take(self.again(sight, tile), tile, before)
                if tick:
                    tick()
        tile_scores = [look.scores["decision"] for look in looks]
        return LargeResult(canvas.map(), _worst(looks), tile_scores, looked, canvas.restored())


def _most_suspicious(looks: list[Look], most: int) -> list[int]:
    """Places of the highest scores, ascending."""
    order = sorted(range(len(looks)), key=lambda i: (-looks[i].scores["decision"], i))
    return sorted(order[:most])


def _worst(looks: list[Look]) -> dict[str, float]:
    """The highest of every score over the tiles that have it."""
    names = dict.fromkeys(name for look in looks for name in look.scores)
    return {name: max(look.scores[name] for look in looks if name in look.scores) for name in names}


class _Canvas:
    """The map and the restored picture as they come together, in the size of the seen picture:
    bounded however large the picture is."""

    def __init__(self, sight: Sight) -> None:
        self.sight = sight
        width, height = sight.seen.size
        self.maps = Blender(height, width)
        self.pictures: Blender | None = None

    def take(self, look: Look, tile: Tile, instead_of: Tensor | None = None) -> Look:
        """Add a look; what is kept of it is without the restored tile."""
        self.maps.add(look.map, tile, instead_of)
        if look.restored is not None:
            if self.pictures is None:
                width, height = self.sight.seen.size
                self.pictures = Blender(3, height, width)
            self.pictures.add(look.restored, tile)
        return Look(look.map, look.scores)

    def map(self) -> Tensor:
        """The map (h, w) where the picture has it, 0 where nothing is judged."""
        found = self.maps.map()
        if self.sight.zone is not None:
            found = found * self.sight.zone
        return self.sight.seen.back(found)

    def restored(self) -> NDArray[np.uint8]:
        """Bytes (h, w, 3)."""
        seen = self.sight.seen
        pixels = seen.pixels
        if self.pictures is not None:
            made = (self.pictures.map() * 255).round().clamp(0, 255).to(torch.uint8)
            pixels = torch.where(self.pictures.weight > 0, made, pixels)
        if seen.transform is not None:
            moved = [seen.back(channel.float()) for channel in pixels]
            pixels = torch.stack(moved).round().clamp(0, 255).to(torch.uint8)
        return np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())
