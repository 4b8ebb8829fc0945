"""Memory stage: choose how to look, then remember the training normals."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from ml.checkpoints import write_json, write_tensors
from ml.data.letterbox import Letterbox
from ml.data.symmetries import Squares, copies
from ml.features import SQUEEZENET_FILE, installed
from ml.memory.memory import KEEP, Memory, remember
from ml.memory.view import MemoryView, resized, views
from ml.scoring.choose import Sample, best, choose_part, damage
from ml.scoring.evidence import Evidence
from ml.scoring.maps import upsample
from ml.train.context import Context, StageClock
from ml.train.tiles import Opened, RememberedTiles, places
from ml.unet import Encoder

FILE = "memory.safetensors"
NOTE = "memory.json"
REMEMBERED = 400  # normals at most: more add hardly a patch to the coreset
REMEMBERED_LARGE, REMEMBERED_TILES = 100, 800  # large pictures, and tiles of them, at most
TRIAL_NORMALS, TRIAL_DEFECTS = 24, 45  # to choose a view by
TRIAL_REMEMBERED, TRIAL_KEEP = 48, 2_000
TRIAL_TILES = 4  # of each large picture
TRIAL_SHARE = 0.10  # of the budget at most
PLANNED = "views"  # in a plan: how many views are tried
# Standard errors that a view must win by: the best of many is flattered, and synthetic defects,
# many of them small, flatter the fine views.
TRIAL_ERRORS = 4.0

Clock = Callable[[], None]


def build(context: Context, encoder: Encoder | None) -> None:
    """Write `memory.safetensors` and `memory.json` (the view, how it was chosen)."""
    clock = StageClock(context, "memory", "pictures")
    options = view_options(context)
    count = _Count(context, clock, len(options))
    view, table = choose_view(context, options, encoder, count.tick)
    extractor = view.extractor(context.job.weights_dir, encoder).to(context.device)
    images, ids, owners = _normals(context, view.size)
    memory = remember(view, extractor, images, context.job.seed, KEEP, count.tick, owners)
    write_tensors(context.out / FILE, memory.tensors())
    note = {
        "view": view.as_json(),
        "patches": len(memory.bank.patches),
        "pictures": ids,
        "candidates": table,
    }
    write_json(context.out / NOTE, note)
    clock.keep()
    context.log(
        "info",
        f"The memory looks at {view.size} px, layers {', '.join(extractor.stage_names)}, and "
        f"keeps {len(memory.bank.patches)} patches of {len(ids)} pictures.",
    )


def view_options(context: Context) -> list[MemoryView]:
    """The views that the run's backbone can have, the default first."""
    stand_in = installed(context.job.weights_dir, SQUEEZENET_FILE) is None
    return views(stand_in, context.preset.image_size, context.tiling is not None)


def _normals(context: Context, size: int) -> tuple[Sequence[Tensor], list[str], Sequence[int]]:
    """What is remembered: images (3, V, V), the pictures that they are from, and which each is
    from: a copy of a picture must not bear witness for it either."""
    train, seed, symmetries = context.state.train, context.job.seed, context.job.symmetries
    if context.tiling is None:
        ids = _spread(train, REMEMBERED, seed)
        squares = Squares(context.large_loader(size), ids, symmetries, context.device)
        return squares, ids, squares.owners
    ids = _spread(train, REMEMBERED_LARGE, seed)
    most = REMEMBERED_TILES // len(copies(symmetries))
    drawn = places(context, ids, most)
    tiles = RememberedTiles(Opened(context, size), drawn, symmetries, context.device)
    return tiles, ids, tiles.owners


def load(context: Context, encoder: Encoder | None) -> tuple[Memory, dict[str, Any]]:
    """The memory of this run and its note."""
    note = json.loads((context.out / NOTE).read_text())
    view = MemoryView.from_json(note["view"])
    extractor = view.extractor(context.job.weights_dir, encoder).to(context.device)
    tensors = load_file(context.out / FILE)
    return Memory.of_tensors(tensors, view, extractor, context.device), note


def choose_view(
    context: Context, options: Sequence[MemoryView], encoder: Encoder | None, tick: Clock
) -> tuple[MemoryView, list[dict[str, object]]]:
    """The view that tells synthetic defects from normals best; the first where none is clearly
    better. Without a fixed number of steps it stops trying when its share of the budget is
    spent, and plans as many for the other seeds; what was tried is in the table."""
    state = context.state
    # Where none is held out, no more than half are tried: a picture that is remembered too would
    # be found in the memory as it is.
    most = TRIAL_NORMALS if state.held_out else min(TRIAL_NORMALS, max(1, len(state.train) // 2))
    normals = _spread(state.held_out or state.train, most, context.job.seed)
    rest = [i for i in state.train if i not in normals]
    remembered = _spread(rest or state.train, TRIAL_REMEMBERED, context.job.seed)
    largest = max(view.size for view in options)
    trial = _Trial(
        context,
        _opened(context, normals, largest),
        _opened(context, remembered, largest),
        _sizes(context, normals),
    )
    if trial.normals < 2:  # nothing to compare with: one normal has no deviation
        return options[0], []
    started, allowed = time.monotonic(), TRIAL_SHARE * context.budget_seconds
    timed = context.job.steps is None and not context.job.plan
    tried: list[MemoryView] = []
    columns: list[np.ndarray[Any, Any]] = []
    for view in options[: context.job.plan.get(PLANNED)]:
        if tried and timed and time.monotonic() - started > allowed:
            break
        columns.append(trial.scores(view, encoder, tick))
        tried.append(view)
    if context.job.steps is None:
        state.planned[PLANNED] = len(tried)
    scores = np.stack(columns, axis=1)
    return best(tried, scores, trial.labels, MemoryView.as_json, TRIAL_ERRORS)


def _sizes(context: Context, ids: Sequence[str]) -> list[tuple[int, int]]:
    """Width and height of each picture of the trial; none for tiles, which fill their square."""
    return [] if context.tiling else context.pictures.subset(ids).sizes


def _opened(context: Context, ids: list[str], size: int) -> list[Tensor]:
    """Pictures as bytes (3, size, size); of large ones a few tiles each, the same of all."""
    if context.tiling is None:
        loader = context.large_loader(size)
        return [loader(i) for i in ids]
    opened, few = Opened(context, size), ids[: -(-len(ids) // TRIAL_TILES)]
    return [opened.large(p) for p in places(context, few, TRIAL_TILES * len(few), alike=True)]


class _Trial:
    """The same normals and synthetic defects for every view; pictures are bytes (3, V, V)."""

    def __init__(
        self,
        context: Context,
        normals: list[Tensor],
        remembered: list[Tensor],
        sizes: Sequence[tuple[int, int]],
    ) -> None:
        self.context = context
        self.remembered = remembered
        self.sizes = sizes  # width and height of the normals; empty: they fill the square
        self.normals = len(normals)
        floats = [picture.float() / 255 for picture in normals]
        repeated = [floats[i % len(floats)] for i in range(TRIAL_DEFECTS)]
        boxes = [self._box(i, one.shape[-1]) for i, one in enumerate(repeated)]
        damaged = [image for image, _ in damage(repeated, context.job.seed, boxes)]
        self.pictures = normals + [(image * 255).round().to(torch.uint8) for image in damaged]
        self.labels = np.arange(len(self.pictures)) >= self.normals

    def scores(
        self, view: MemoryView, encoder: Encoder | None, tick: Clock
    ) -> np.ndarray[Any, Any]:
        """Every picture's score, with the setting that suits this view."""
        context = self.context
        extractor = view.extractor(context.job.weights_dir, encoder).to(context.device)
        images = [self._at(picture, view.size) for picture in self.remembered]
        memory = remember(view, extractor, images, context.job.seed, TRIAL_KEEP, tick)
        samples = []
        size = context.preset.image_size
        for index, picture in enumerate(self.pictures):
            distances = memory.distances(self._at(picture, view.size))
            maps = upsample(distances[None, None], size)
            kind = "defect" if self.labels[index] else None
            source = index if kind is None else (index - self.normals) % self.normals
            inside = self._box(source, size)
            samples.append(Sample(Evidence({"memory": maps}), inside, kind, source))
            tick()
        still = context.tiling is None
        return choose_part("memory", samples, [], self.labels, still).scores

    def _box(self, index: int, size: int) -> Letterbox:
        """Where a normal, or the defect made from it, lies in a square of `size` pixels."""
        if not self.sizes:
            return Letterbox(0, 0, size, size)
        return Letterbox.of(*self.sizes[index % self.normals], size)

    def _at(self, picture: Tensor, size: int) -> Tensor:
        image = (picture.float() / 255).to(self.context.device)
        return image if image.shape[-1] == size else resized(image.unsqueeze(0), size)[0]


class _Count:
    """Counts pictures for the progress bar, and looks for a stop on each."""

    def __init__(self, context: Context, clock: StageClock, options: int) -> None:
        self.context, self.clock, self.done = context, clock, 0
        per_view = TRIAL_NORMALS + TRIAL_DEFECTS + min(TRIAL_REMEMBERED, len(context.state.train))
        shows = len(context.job.symmetries) + 1
        normals = min(REMEMBERED, len(context.state.train))
        if context.tiling:
            shows, normals = 1, REMEMBERED_TILES
        self.total = options * per_view + shows * normals

    def tick(self) -> None:
        self.context.control.check()
        self.done += 1
        self.clock.progress(self.done, max(self.done, self.total))


def _spread(ids: Sequence[str], most: int, seed: int) -> list[str]:
    """At most `most` ids, drawn by the seed, in their order."""
    if len(ids) <= most:
        return list(ids)
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(ids), generator=generator)[:most].sort().values
    return [ids[int(row)] for row in rows]
