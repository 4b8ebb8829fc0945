"""One map of a large picture from the maps of its tiles.

A cheap look at every tile gives the first map within seconds; a thorough one follows where the
first found most. Tiles are blended with weights that fall towards their borders, so that no seam
shows, and judged against the same tile of the normals where parts lie still, against all tiles
where they do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from PIL import Image
from torch import Tensor

from ml.data.alignment import Aligner
from ml.data.tiles import OVERLAP, Seen, Tile, seen_picture
from ml.scoring.normalise import Norm, Statistics

THOROUGH = 16  # tiles at most that get the thorough look

TileMap = Callable[[Tensor, Tile], Tensor]


class Blender:
    """Adds tiles' maps (S, S) to one map (h, w): the weighted mean where tiles overlap."""

    def __init__(self, plan: list[Tile]) -> None:
        last = plan[-1]
        height, width = last.rows.stop, last.columns.stop
        self.plan = plan
        self.total = torch.zeros(height, width)
        self.weight = torch.zeros(height, width)
        for tile in plan:
            self.weight[tile.rows, tile.columns] += window(tile)

    def add(self, found: Tensor, tile: Tile, instead_of: Tensor | None = None) -> None:
        """Add a tile's map; `instead_of` takes out the one that was added before."""
        part = found if instead_of is None else found - instead_of
        content = tile.inside.crop(part.cpu().float())
        self.total[tile.rows, tile.columns] += window(tile) * content

    def map(self) -> Tensor:
        """The map (h, w); every tile of the plan must have been added."""
        return self.total / self.weight


def blend(maps: Iterable[Tensor], plan: list[Tile]) -> Tensor:
    """One map (h, w) from a map (S, S) for each tile of the plan."""
    blender = Blender(plan)
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


@dataclass
class TileStatistics:
    """What is normal, tile by tile (`still`: the same tile of every normal) or over all tiles.

    Only tiles of plans with the same tiles may be mixed where parts lie still.
    """

    still: bool
    sums: dict[int, Statistics] = field(default_factory=dict)

    def add(self, maps: Tensor, tile: Tile) -> None:
        """A normal's maps (n, L, S, S) of one tile."""
        key = tile.index if self.still else 0
        one = Statistics(1, maps.double().cpu(), maps.double().square().cpu())
        known = self.sums.get(key)
        self.sums[key] = one if known is None else _sum(known, one)

    def norms(self) -> dict[int, Norm]:
        """By tile index; 0 for all where parts do not lie still."""
        return {key: sums.norm() for key, sums in self.sums.items()}

    def norm_of(self, norms: dict[int, Norm], tile: Tile) -> Norm:
        """The tile's norm. Raises KeyError where no normal showed that tile."""
        return norms[tile.index if self.still else 0]


def _sum(a: Statistics, b: Statistics) -> Statistics:
    return Statistics(a.count + b.count, a.total + b.total, a.squares + b.squares)


@dataclass(frozen=True)
class LargeResult:
    """map: (h, w), where the picture has it; tile_scores: by tile index, the highest is the
    picture's score; thorough: indices of the tiles that were looked at thoroughly."""

    map: Tensor
    tile_scores: list[float]
    thorough: list[int]
    seen: Seen

    @property
    def score(self) -> float:
        """That of the worst tile: a small defect counts as much in a large picture."""
        return max(self.tile_scores)


@dataclass(frozen=True)
class LargeScorer:
    """Scores a picture through tiles of `size` pixels, at a long edge of `edge`.

    cheap and thorough: a tile's pixels (3, S, S) in 0..1 to its map (S, S), both in one unit;
    aggregate: a map's content (h, w) to a number. Without `thorough` the cheap map is the map.
    The number of thorough tiles is fixed, so that a normal is looked at no less than a defect
    and calibration holds.
    """

    edge: int
    size: int
    cheap: TileMap
    aggregate: Callable[[Tensor], float]
    thorough: TileMap | None = None
    aligner: Aligner | None = None
    most: int = THOROUGH
    overlap: float = OVERLAP

    def score(
        self, picture: Image.Image, on_first_map: Callable[[Tensor], None] | None = None
    ) -> LargeResult:
        """Score an RGB picture; `on_first_map` gets the cheap map (h, w) before the rest."""
        seen = seen_picture(picture, self.edge, self.aligner)
        plan = seen.plan(self.size, self.overlap)
        blender, scores = Blender(plan), []
        for tile in plan:
            found = self.cheap(self._pixels(seen, tile), tile)
            blender.add(found, tile)
            scores.append(self._score(found, tile))
        if on_first_map:
            on_first_map(seen.back(blender.map()))
        looked = self._look_again(seen, plan, blender, scores) if self.thorough else []
        return LargeResult(seen.back(blender.map()), scores, looked, seen)

    def _look_again(
        self, seen: Seen, plan: list[Tile], blender: Blender, scores: list[float]
    ) -> list[int]:
        """Replace the maps and scores of the most suspicious tiles; which they were."""
        worst = sorted(range(len(plan)), key=lambda i: (-scores[i], i))[: self.most]
        for index in sorted(worst):
            tile = plan[index]
            pixels = self._pixels(seen, tile)
            # Made again rather than kept: the maps of all tiles would not be bounded.
            before = self.cheap(pixels, tile)
            found = self.thorough(pixels, tile) if self.thorough else before
            blender.add(found, tile, instead_of=before)
            scores[index] = self._score(found, tile)
        return sorted(worst)

    def _pixels(self, seen: Seen, tile: Tile) -> Tensor:
        return seen.cut(tile, self.size).float() / 255

    def _score(self, found: Tensor, tile: Tile) -> float:
        return self.aggregate(tile.inside.crop(found))
