"""What a run starts with: its pictures, opened one by one, its split and its common pose."""

from __future__ import annotations

from collections.abc import Callable

import torch
from safetensors.torch import load_file
from torch import Tensor

from ml.checkpoints import write_tensors
from ml.data.alignment import FIT_ON, Aligner, fit
from ml.data.dataset import PictureSet, load_pictures
from ml.data.letterbox import Letterbox
from ml.data.pixels import AS_12_BITS, AS_16_BITS
from ml.data.symmetries import keeps_positions
from ml.train import splits, tiles
from ml.train.context import Context, StageClock
from ml.train.job import Refused

FEW = (
    "There are {} usable pictures of good parts. A limit that is set by a third of so few "
    "promises little; from 60 on it holds what the product asks for."
)


def load(context: Context) -> None:
    """Open the pictures, note what cannot be used, draw or adjust the split."""
    job, state = context.job, context.state
    wanted = [s for s in job.images if s.id not in job.excluded]
    if not job.images:
        splits.check_enough(0)
    bar = _Bar(context, len(wanted))
    size = context.preset.image_size
    context.pictures = load_pictures(wanted, size, bar.part(bar.pictures))
    for id_, reason in context.pictures.unreadable.items():
        context.log("warning", f"Picture {id_} is left out: {reason}")
    _say_if_depths_differ(context)
    state.excluded = {**job.excluded, **state.excluded, **context.pictures.unreadable}
    usable = _usable(context)
    tiles.settle(context, usable)  # before the split, which depends on it
    settle_split(context)
    context.aligner = aligner = _aligner(context, bar)
    if aligner:
        context.pictures = load_pictures(wanted, size, bar.part(bar.pictures), aligner)
    bar.clock.keep()


def _say_if_depths_differ(context: Context) -> None:
    """Each picture's depth is guessed by itself: where the guesses differ, so does the light."""
    notes = context.pictures.notes
    if notes[AS_12_BITS] and notes[AS_16_BITS]:
        context.log(
            "warning",
            f"Of the pictures with 16 bits {notes[AS_12_BITS]} fit into 12 and are read as such, "
            f"{notes[AS_16_BITS]} do not, so that their brightness differs sixteenfold; save all "
            "of them with 8 bits, by one scale.",
        )


class _Bar:
    """One bar that only rises over what loading may be: opening the pictures, finding their
    common pose, opening them again in it. Counted in pictures; where the second and third part
    are not needed the bar ends early."""

    def __init__(self, context: Context, pictures: int) -> None:
        self.pictures = pictures
        self.clock = StageClock(context, "load", "pictures")
        self.tick = self.clock.ticker()
        self.done, self.total = 0, pictures
        if keeps_positions(context.job.symmetries):
            self.total += pictures
            self.total += 0 if context.state.alignment is not None else min(FIT_ON, pictures)
        self.tick(0, self.total)

    def part(self, pictures: int) -> Callable[[int, int], None]:
        """A ticker for a part that is worth so many pictures, whatever it counts itself."""
        before = self.done

        def tick(step: int, steps: int) -> None:
            self.done = before + round(pictures * step / max(1, steps))
            self.tick(min(self.done, self.total), self.total)

        return tick


def _aligner(context: Context, bar: _Bar) -> Aligner | None:
    """The product's common pose: fitted once on training normals, then kept."""
    state, path = context.state, context.out / "alignment.safetensors"
    if not keeps_positions(context.job.symmetries):
        return None
    if state.alignment is None:
        aligner, ratio = fit(
            _extended(context.pictures.subset(state.train[:FIT_ON])),
            bar.part(min(FIT_ON, bar.pictures)),
        )
        if aligner:
            write_tensors(path, aligner.as_tensors())
        state.alignment, state.aligned = round(ratio, 4), aligner is not None
        context.save_state()
        outcome = "are aligned" if aligner else "are not aligned: it would gain too little"
        context.log("info", f"Pictures {outcome} (normals differ {ratio:.2f} × as much after).")
    return Aligner.of(load_file(path)) if state.aligned else None


def _extended(pictures: PictureSet) -> Tensor:
    """Pictures (n, 3, S, S) in 0..1 as an aligner sees them."""
    size = pictures.pixels.shape[-1]
    found = [
        Letterbox.of(*its, size).extended(picture)
        for its, picture in zip(pictures.sizes, pictures.floats(), strict=True)
    ]
    return torch.stack(found)


def settle_split(context: Context) -> None:
    """Draw the split once; afterwards only take excluded pictures out of it."""
    state, large = context.state, context.tiling is not None
    usable = _usable(context)
    drawn = splits.Split(state.train, state.held_out, state.calibration)
    known = {*drawn.train, *drawn.held_out, *drawn.calibration}
    unknown = set(usable) - known
    split = splits.without(drawn, known - set(usable), large, context.job.few) if known else None
    if split is None or unknown:
        if known:
            context.log(
                "warning",
                "The set of pictures changed so much that it is split anew; training starts over.",
            )
            _start_over(context)
        split = splits.draw(usable, state.seed, large, context.job.few)
    elif split != drawn and "inpaint" in {*state.plan, *state.finished}:
        raise Refused(
            "job_changed",
            "The excluded pictures changed after training had begun; start a new run.",
        )
    state.train, state.held_out, state.calibration = (
        split.train, split.held_out, split.calibration,
    )  # fmt: skip
    context.save_state()


def _usable(context: Context) -> list[str]:
    """The ids of the pictures that can be used. Raises Refused where they are too few."""
    usable = [i for i in context.pictures.ids if i not in context.state.excluded]
    splits.check_enough(len(usable), context.job.few)
    if len(usable) < splits.MIN_USABLE:
        context.log("warning", FEW.format(len(usable)))
    return usable


def _start_over(context: Context) -> None:
    context.state.plan.clear()
    context.state.finished.clear()
    for stage in ("pretrain", "inpaint"):
        context.checkpoints.clear(stage)
