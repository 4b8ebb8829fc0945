"""Runs on large pictures: whether they are looked at through tiles, and tiles to learn from."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ml.data.dataset import PictureSet
from ml.data.sight import Sight, Tiling, wanted_tiles
from ml.data.symmetries import copies, transformed
from ml.data.tiles import Tile, is_tiled, random_tiles, seen_edge
from ml.train.context import Context

SHOWN_SEED = 1  # added to the run's seed for the tiles that are measured and shown


def settle(context: Context, usable: Sequence[str]) -> None:
    """Decide once, by the usable pictures, whether this run works by tiles; a run that has begun to
    train goes on as it began."""
    state, size = context.state, context.preset.image_size
    if state.tile_edge is None:
        sizes = context.pictures.subset(usable).sizes
        tiled = not state.plan and is_tiled(sizes, context.job.tile)
        state.tile_edge = seen_edge(sizes, size) if tiled else 0
        context.save_state()
    if state.tile_edge:
        context.tiling = Tiling(state.tile_edge)
        context.log(
            "info",
            f"Pictures are large: they are looked at with a long edge of {state.tile_edge} px "
            f"through tiles of {size} px.",
        )


def learnt(context: Context) -> PictureSet:
    """What the networks are trained on: the training pictures, or random tiles of them."""
    ids = context.state.train
    if context.tiling is None:
        return context.pictures.subset(ids)
    if context.pool is None or context.pool[0] != ids:
        context.log("info", f"Cutting tiles to learn from out of {len(ids)} pictures.")
        context.pool = (list(ids), _cut(context, ids, None, context.job.seed))
    return context.pool[1]


def shown(context: Context, ids: Sequence[str]) -> PictureSet:
    """Pictures to measure and to show restorations on, or one random tile of each."""
    if context.tiling is None:
        return context.pictures.subset(ids)
    return _cut(context, ids, len(ids), context.job.seed + SHOWN_SEED)


def _cut(context: Context, ids: Sequence[str], pool: int | None, seed: int) -> PictureSet:
    pictures = ((id_, context.sight(id_).seen) for id_ in ids)
    size = context.preset.image_size
    if pool is None:
        return random_tiles(pictures, len(ids), size, seed)
    return random_tiles(pictures, len(ids), size, seed, pool)


class Place(NamedTuple):
    """A tile of one of the run's pictures."""

    picture: str
    tile: Tile


def places(context: Context, ids: Sequence[str], most: int, *, alike: bool = False) -> list[Place]:
    """About `most` tiles of these pictures, as many of each (one at least), drawn by the seed.

    `alike`: pictures of one size give the same tiles, so that each shows what the others show
    there if parts lie still.
    """
    if context.tiling is None:
        raise ValueError("this run looks at whole pictures")
    each = max(1, most // max(1, len(ids)))
    sizes = dict(zip(context.pictures.ids, context.pictures.sizes, strict=True))
    found = []
    for id_ in ids:
        wanted = wanted_tiles(
            *sizes[id_], context.tiling, context.preset.image_size, context.job.repair_zones
        )
        rng = random.Random(f"{context.job.seed}:{'' if alike else id_}")
        chosen = sorted(rng.sample(range(len(wanted)), min(each, len(wanted))))
        found += [Place(id_, wanted[index]) for index in chosen]
    return found


class Opened:
    """The run's pictures through tiles; the last one stays open."""

    def __init__(self, context: Context, fine_size: int) -> None:
        self.context, self.fine_size = context, fine_size
        self.last: tuple[str, Sight] | None = None

    def sight(self, id_: str) -> Sight:
        """One picture."""
        if self.last is None or self.last[0] != id_:
            self.last = None  # never two at a time
            self.last = (id_, self.context.sight(id_, self.fine_size))
        return self.last[1]

    def large(self, place: Place) -> Tensor:
        """A tile as the memory sees it, uint8 (3, V, V)."""
        found = self.sight(place.picture).large(place.tile)
        if found is None:
            raise ValueError("this run remembers nothing")
        return found


@dataclass
class RememberedTiles(Sequence[Tensor]):
    """Tiles as floats (3, V, V) in 0..1, cut when asked for: each as it is, and then once more per
    symmetry. In the order of the pictures, so that each is opened once."""

    opened: Opened
    places: Sequence[Place]
    symmetries: Sequence[str]
    device: torch.device

    @property
    def owners(self) -> list[int]:
        """Which picture each belongs to, counted in their order."""
        order = {id_: i for i, id_ in enumerate(dict.fromkeys(p.picture for p in self.places))}
        return [order[p.picture] for p in self.places for _ in copies(self.symmetries)]

    def __len__(self) -> int:
        return len(self.places) * len(copies(self.symmetries))

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        shows = copies(self.symmetries)
        number, show = divmod(index, len(shows))
        tile = self.opened.large(self.places[number]).to(self.device).float() / 255
        if not shows[show]:
            return tile
        return transformed(tile, shows[show], random.Random(f"{shows[show]}:{show}:{number}"))

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))
