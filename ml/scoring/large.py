"""How a tiled model looks at a large picture: the same way when it is calibrated and ever after."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ml.data.alignment import Aligner
from ml.data.sight import Sight, Tiling, look_at
from ml.data.tiles import Tile, reduced
from ml.scoring.decision import Decision
from ml.scoring.evidence import Engine
from ml.scoring.tiling import LargeResult, LargeScorer, Look

SHOWN_EDGE = 1024  # pixels of the long edge of what is stored and shown, at most


def large_scorer(
    engine: Engine,
    decision: Decision,
    tiling: Tiling,
    aligner: Aligner | None,
    zones: Sequence[Sequence[float]],
) -> LargeScorer:
    """Where there is a memory it looks at every tile, and the most suspicious are restored too;
    without one all tiles are restored."""

    def first(sight: Sight, tile: Tile) -> Look:
        large = sight.large(tile)
        if engine.memory is None or large is None:
            return again(sight, tile)
        found = engine.inside(sight.zone_in(tile)).distances(large.float() / 255)
        decided = decision.glance(found, sight.box(tile))
        return Look(decided.map.cpu(), decided.scores)

    def again(sight: Sight, tile: Tile) -> Look:
        large = sight.large(tile)
        evidence = engine.inside(sight.zone_in(tile)).evidence(
            sight.pixels(tile).float() / 255, None if large is None else large.float() / 255
        )
        decided = decision.decide(evidence, sight.box(tile))
        restored = None if evidence.restored is None else evidence.restored.cpu()
        return Look(decided.map.cpu(), decided.scores, restored)

    look = partial(
        look_at,
        tiling=tiling,
        size=engine.size,
        fine_size=engine.memory.view.size if engine.memory else 0,
        aligner=aligner,
        zones=zones,
    )
    both = engine.memory is not None and engine.model is not None
    return LargeScorer(look, first, again if both else None, tiling.thorough)


def shown_map(result: LargeResult) -> NDArray[np.float32]:
    """The map as it is stored and shown; its peak is the peak of the whole."""
    return np.ascontiguousarray(reduced(result.map, SHOWN_EDGE).numpy())


def shown_picture(picture: Image.Image, shape: Sequence[int]) -> NDArray[np.uint8]:
    """An RGB picture at the size (h, w) of its map."""
    size = (shape[1], shape[0])
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    return np.array(picture)
