"""Calibration where pictures are looked at through tiles: settings by tiles, scores by pictures.

What is chosen is chosen on tiles of held-out normals. The calibration pictures are scored whole,
by the very procedure of every later scoring, so that the promise on false calls holds for
pictures.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ml.data.letterbox import Letterbox
from ml.data.sight import wanted_tiles
from ml.scoring.choose import Sample, choose, damage
from ml.scoring.decision import Decision
from ml.scoring.evidence import Engine, Evidence
from ml.scoring.large import large_scorer, shown_map
from ml.scoring.tiling import LargeScorer
from ml.train.calibrate import (
    SYNTHETIC,
    Calibration,
    colour_scale,
    damage_both,
    defect_peaks,
    reference_ids,
)
from ml.train.context import Context, StageClock
from ml.train.tiles import Opened, Place, places

NORMAL_TILES = 72  # of held-out normals, to choose by; more than pictures, as each shows less


@dataclass(frozen=True)
class Square:
    """A tile: bytes (3, S, S), as the memory sees it (3, V, V), what of it counts, and the place
    in the memory of the picture that it is from."""

    pixels: Tensor
    fine: Tensor | None
    box: Letterbox
    zone: Tensor | None
    owner: int | None

    @property
    def image(self) -> Tensor:
        """In 0..1."""
        return self.pixels.float() / 255

    @property
    def large(self) -> Tensor | None:
        """In 0..1."""
        return None if self.fine is None else self.fine.float() / 255


class TileLooker:
    """Gives the evidence on tiles of the run's pictures, and counts what is looked at."""

    def __init__(
        self, context: Context, engine: Engine, clock: StageClock, remembered: Sequence[str]
    ) -> None:
        self.context, self.engine, self.clock = context, engine, clock
        self.opened = Opened(context, engine.memory.view.size if engine.memory else 0)
        self.owners = {id_: place for place, id_ in enumerate(remembered)}
        self.total, self.done = 1, 0

    def tick(self) -> None:
        """Count one look; look for a stop."""
        self.context.control.check()
        self.done += 1
        self.clock.progress(self.done, max(self.done, self.total))

    def square(self, place: Place) -> Square:
        """Cut a tile."""
        sight, tile = self.opened.sight(place.picture), place.tile
        return Square(
            sight.pixels(tile),
            sight.large(tile),
            sight.box(tile),
            sight.zone_in(tile),
            self.owners.get(place.picture),
        )

    def evidence(self, square: Square, changed: tuple[Tensor, Tensor | None] | None) -> Evidence:
        """On the tile, or on what it was changed to; a remembered picture is no witness of its
        own."""
        image, large = changed or (square.image, square.large)
        found = self.engine.inside(square.zone).evidence(image, large, square.owner)
        self.tick()
        return found

    def samples(self, squares: list[Square], synthetic: int, seed: int) -> list[Sample]:
        """The tiles, and then `synthetic` defects on them."""
        samples = [
            Sample(self.evidence(square, None), square.box, None, index)
            for index, square in enumerate(squares)
        ]
        chosen = [index * len(squares) // synthetic % len(squares) for index in range(synthetic)]
        small = [squares[index].image for index in chosen]
        large = [one for index in chosen if (one := squares[index].large) is not None]
        damaged = (
            damage_both(small, large, seed)
            if large
            else [(image, None, kind) for image, kind in damage(small, seed)]
        )
        for index, (image, fine, kind) in zip(chosen, damaged, strict=True):
            found = self.evidence(squares[index], (image, fine))
            samples.append(Sample(found, squares[index].box, kind, index))
        return samples


def tile_count(context: Context) -> int:
    """About how many tiles the stage restores; a look by the memory alone counts a quarter."""
    restored = cheap = 0
    for count in _tiles_each(context, context.state.calibration):
        both = context.method.memory and context.method.restores
        most = context.tiling.thorough if context.tiling else 0
        restored += min(most, count) if both else count
        cheap += count if both else 0
    return NORMAL_TILES + SYNTHETIC + restored + cheap // 4


def _tiles_each(context: Context, ids: Sequence[str]) -> list[int]:
    if context.tiling is None:
        return []
    size, zones = context.preset.image_size, context.job.repair_zones
    sizes = context.pictures.subset(ids).sizes
    return [len(wanted_tiles(*one, context.tiling, size, zones)) for one in sizes]


def run_scorer(context: Context, look: TileLooker, decision: Decision) -> LargeScorer:
    """Scores whole pictures as the finished model will."""
    if context.tiling is None:
        raise ValueError("this run looks at whole pictures")
    zones = context.job.repair_zones
    return large_scorer(look.engine, decision, context.tiling, context.aligner, zones)


def calibrate_tiles(context: Context, engine: Engine, remembered: list[str]) -> Calibration:
    """Look at tiles of held-out normals and synthetic defects on them, choose, then score the
    calibration pictures whole.

    remembered: the pictures behind the engine's memory, in its order.
    """
    clock = StageClock(context, "calibrate", "tiles")
    look = TileLooker(context, engine, clock, remembered)
    ids = context.state.calibration
    tiles = places(context, reference_ids(context), NORMAL_TILES)
    again = len(ids) * (context.tiling.thorough if context.tiling else 0)
    look.total = len(tiles) + SYNTHETIC + sum(_tiles_each(context, ids)) + again
    samples = look.samples([look.square(p) for p in tiles], SYNTHETIC, context.job.seed)
    kind, stand_in = context.method.decision, engine.extractor.stand_in
    choice = choose(samples, {}, kind, stand_in, still=False)
    scorer = run_scorer(context, look, choice.decision)
    scores: list[dict[str, float]] = []
    peaks: list[float] = []
    started = time.monotonic()
    for id_ in ids:
        result = scorer.score(context.open(id_), tick=look.tick)
        scores.append(result.scores)
        peaks.append(float(shown_map(result).max()))
    speed = len(ids) / (time.monotonic() - started)
    clock.keep()
    return Calibration(
        decision=choice.decision,
        choice=choice,
        scores={name: sorted(one[name] for one in scores) for name in scores[0]},
        peaks=sorted(peaks),
        scale=colour_scale(peaks, defect_peaks(choice.decision, samples)),
        images_per_second=speed,
    )
