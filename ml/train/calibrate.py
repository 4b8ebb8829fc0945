"""Calibration stage: evidence on normals, the decision, and the calibration pictures' scores."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ml.data.letterbox import Letterbox
from ml.data.model_view import moved_back
from ml.features import FeatureExtractor
from ml.masks import sweep, zone_mask
from ml.memory.memory import Memory
from ml.memory.view import resized
from ml.scoring.choose import Choice, Sample, choose, damage
from ml.scoring.decision import Decided, Decision
from ml.scoring.evidence import Engine, Evidence
from ml.train.context import Context, StageClock

SYNTHETIC = 45  # defects to choose by: every kind at every strength, three times
REFERENCE = 48  # normals for the statistics where training pictures must serve
REMEMBERED_NORMALS = 40  # training pictures, each left out of the memory, for its statistics
RESTORED_NORMALS = 60  # training pictures that are restored for the statistics of the inpainting


@dataclass
class Calibration:
    """What the stage found out; scores: by name, of the calibration normals, ascending; peaks:
    the highest values of their maps as they are shown, ascending, for the regions' p-values."""

    decision: Decision
    choice: Choice
    scores: dict[str, list[float]]
    peaks: list[float]
    scale: dict[str, float]
    images_per_second: float


def build_engine(
    context: Context,
    model: nn.Module | None,
    extractor: FeatureExtractor,
    memory: Memory | None = None,
) -> Engine:
    """Model, features, memory and the sweep of this run, inside its repair zones."""
    preset = context.preset
    masks = sweep(preset.image_size, preset.cells, preset.subsets, context.job.seed)
    zone = None if context.tiling else repair_zone(context)  # each tile has a zone of its own
    if zone is not None:
        masks = masks * zone
        zone = zone.to(context.device)
    return Engine(model, extractor, masks.to(context.device), memory, zone)


def repair_zone(context: Context) -> Tensor | None:
    """The job's repair zones as a mask (S, S), where it has any.

    They are given in fractions of the picture; all pictures of a viewpoint have one shape, so
    the most frequent one says where the picture lies in the square.
    """
    zones, size = context.job.repair_zones, context.preset.image_size
    if not zones:
        return None
    shapes = context.pictures.sizes
    width, height = max(set(shapes), key=shapes.count)
    box = Letterbox.of(width, height, size)
    return zone_mask(zones, size, box.x, box.y, box.width, box.height)


def reference_ids(context: Context) -> list[str]:
    """The normals that choose: held out, or, where there are few, some of those trained on."""
    return context.state.held_out or context.state.train[:REFERENCE]


def picture_count(context: Context) -> int:
    """How many pictures the stage will restore; the time plan needs it."""
    looked_at = len(reference_ids(context)) + SYNTHETIC + len(context.state.calibration)
    return looked_at + len(restored_ids(context))


def restored_ids(context: Context) -> list[str]:
    """Training normals that only serve the statistics of the inpainting, evenly spread.

    The held-out ones are few: of 26 a position's deviation is hardly known. The restorer has seen
    these, but a short training does not learn a picture by heart, and what it gets right
    everywhere alike is taken out by the calibration, which uses none of them.
    """
    if context.method.restores is None:
        return []
    known = set(reference_ids(context))
    rest = [id_ for id_ in context.state.train if id_ not in known]
    return rest[:: -(-len(rest) // RESTORED_NORMALS)] if rest else []


def calibrate(context: Context, engine: Engine, remembered: list[str]) -> Calibration:
    """Look at held-out normals and synthetic defects, choose, then score the calibration set.

    remembered: the pictures behind the engine's memory, in its order. Calibration pictures take
    part in no choice: the promise on false calls holds for what is exchangeable with them.
    """
    clock = StageClock(context, "calibrate", "pictures")
    look = Looker(context, engine, clock, remembered)
    samples = _samples(context, look)
    more = _remembered_normals(look, engine, remembered) | _restored_normals(look)
    choice = choose(samples, more, context.method.decision, engine.extractor.stand_in)
    started = time.monotonic()
    ids = context.state.calibration
    decided = [look.decided(choice.decision, id_) for id_ in ids]
    speed = len(decided) / (time.monotonic() - started)
    clock.keep()
    return Calibration(
        decision=choice.decision,
        choice=choice,
        scores={name: sorted(d[1].scores[name] for d in decided) for name in decided[0][1].scores},
        peaks=sorted(look.shown_peak(id_, d.map) for id_, (_, d) in zip(ids, decided, strict=True)),
        scale=colour_scale([peak for peak, _ in decided], defect_peaks(choice.decision, samples)),
        images_per_second=speed,
    )


class Looker:
    """Gives the evidence on pictures of the run, by id, and counts them.

    remembered: the pictures behind the engine's memory, in its order; each is looked at without
    its own patches, which would find themselves.
    """

    def __init__(
        self,
        context: Context,
        engine: Engine,
        clock: StageClock,
        remembered: Sequence[str] = (),
    ) -> None:
        self.context, self.engine, self.clock = context, engine, clock
        self.owners = {id_: place for place, id_ in enumerate(remembered)}
        self.total, self.done = picture_count(context), 0
        self.view = engine.memory.view if engine.memory else None
        self.load = context.large_loader(self.view.size) if self.view else None

    def box(self, id_: str, size: int | None = None) -> Letterbox:
        """Where the picture lies in the square, by default that of the restorer."""
        return box_of(self.context, id_, size or self.context.preset.image_size)

    def image(self, id_: str) -> Tensor:
        """The picture as the restorer sees it, (3, S, S) in 0..1."""
        return self.context.pictures.subset([id_]).floats()[0]

    def large(self, id_: str) -> Tensor | None:
        """The picture as the memory sees it, (3, V, V) in 0..1."""
        return self.load(id_).float() / 255 if self.load else None

    def evidence(self, image: Tensor, large: Tensor | None, id_: str = "") -> Evidence:
        """Look, and count. `id_`: the picture that it is or was made from."""
        return self._look(self.engine, image, large, self.owners.get(id_))

    def restoration(self, image: Tensor) -> Tensor:
        """The inpainting's maps (n, L, S, S) alone, counted too."""
        return self._look(self.engine.with_memory(None), image, None).maps["inpainting"]

    def _look(
        self, engine: Engine, image: Tensor, large: Tensor | None, leave_out: int | None = None
    ) -> Evidence:
        self.context.control.check()
        found = engine.evidence(image, large, leave_out)
        self.done += 1
        self.clock.progress(self.done, max(self.done, self.total))
        return found

    def decided(self, decision: Decision, id_: str) -> tuple[float, Decided]:
        """The map's highest value inside the picture, and all that is decided about it."""
        box = self.box(id_)
        found = decision.decide(self.evidence(self.image(id_), self.large(id_)), box)
        return float(box.crop(found.map).max()), found

    def shown_peak(self, id_: str, heat: Tensor) -> float:
        """The highest value of a map (S, S) as it is shown, turned back to the picture."""
        (transform,) = self.context.pictures.subset([id_]).transforms or [None]
        return float(self.box(id_).crop(moved_back(heat, transform)).max())

    def damaged(self, ids: list[str], seed: int) -> list[tuple[Tensor, Tensor | None, str]]:
        """Synthetic defects on these pictures, at both sizes, and their kinds.

        They are made at the larger size; the smaller picture gets what they changed.
        """
        small = [self.image(i) for i in ids]
        if not self.view:
            inside = [self.box(i) for i in ids]
            return [(image, None, kind) for image, kind in damage(small, seed, inside)]
        large = [one for i in ids if (one := self.large(i)) is not None]
        return damage_both(small, large, seed, [self.box(i, self.view.size) for i in ids])


def box_of(context: Context, id_: str, size: int) -> Letterbox:
    """Where a picture of the run lies in a square of `size` pixels."""
    width, height = context.pictures.subset([id_]).sizes[0]
    return Letterbox.of(width, height, size)


def damage_both(
    small: Sequence[Tensor],
    large: Sequence[Tensor],
    seed: int,
    boxes: Sequence[Letterbox] | None = None,
) -> list[tuple[Tensor, Tensor | None, str]]:
    """Synthetic defects on pictures at two sizes, and their kinds: made at the larger size inside
    `boxes`, the smaller picture gets what they changed."""
    found: list[tuple[Tensor, Tensor | None, str]] = []
    damaged = damage(large, seed, boxes)
    for image, source, (changed, kind) in zip(small, large, damaged, strict=True):
        change = _smaller(changed, image.shape[-1]) - _smaller(source, image.shape[-1])
        found.append(((image + change).clamp(0, 1), changed, kind))
    return found


def _smaller(image: Tensor, size: int) -> Tensor:
    return image if image.shape[-1] == size else resized(image.unsqueeze(0), size)[0]


def _samples(context: Context, look: Looker) -> list[Sample]:
    ids = reference_ids(context)
    samples = [
        Sample(look.evidence(look.image(id_), look.large(id_), id_), look.box(id_), None, index)
        for index, id_ in enumerate(ids)
    ]
    chosen = [index % len(ids) for index in range(SYNTHETIC)]
    damaged = look.damaged([ids[index] for index in chosen], context.job.seed)
    for index, (image, large, kind) in zip(chosen, damaged, strict=True):
        found = look.evidence(image, large, ids[index])
        samples.append(Sample(found, look.box(ids[index]), kind, index))
    return samples


@torch.inference_mode()
def _remembered_normals(
    look: Looker, engine: Engine, remembered: list[str]
) -> dict[str, list[Tensor]]:
    """The memory's maps of some remembered normals, each without its own patches.

    Held-out normals are few; how far is usual at each position wants more of them. Where none is
    held out, those that choose are remembered ones and must not count twice.
    """
    if engine.memory is None:
        return {}
    maps, known = [], set(reference_ids(look.context))
    for place in range(0, len(remembered), max(1, len(remembered) // REMEMBERED_NORMALS)):
        large = None if remembered[place] in known else look.large(remembered[place])
        if large is not None:
            maps.append(engine.distances(large, leave_out=place))
    return {"memory": maps} if maps else {}


def _restored_normals(look: Looker) -> dict[str, list[Tensor]]:
    """The inpainting's maps of further normals, see `restored_ids`."""
    ids = restored_ids(look.context)
    maps = [look.restoration(look.image(id_)) for id_ in ids]
    return {"inpainting": maps} if maps else {}


def defect_peaks(decision: Decision, samples: list[Sample]) -> list[float]:
    """The highest values of the synthetic defects' maps."""
    return [
        float(s.box.crop(decision.decide(s.evidence, s.box).map).max()) for s in samples if s.kind
    ]


def colour_scale(normal_peaks: list[float], of_defects: list[float]) -> dict[str, float]:
    """Colours begin where hardly a normal reaches and end where clear defects lie.

    low: 95th percentile of the normals' highest map values; high: the synthetic defects' 75th
    percentile, at least so far above low that a defect near the line is not yet white.
    """
    low = float(np.quantile(normal_peaks, 0.95))
    spread = max(low - float(np.median(normal_peaks)), 1e-6)
    return {"low": low, "high": max(float(np.quantile(of_defects, 0.75)), low + 3 * spread)}
