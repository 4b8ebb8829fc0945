"""Early stop: the restoration error on held-out normals says when to end a stage."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ml import distributed
from ml.data.dataset import PictureSet
from ml.inpainting.loss import masked_mean
from ml.masks import sweep
from ml.presets import Preset
from ml.train import tiles
from ml.train.context import Context

MEASURES = 24  # over the planned steps
LEAST_STEPS = 20  # between two measures
PATIENCE = 6  # measures without improvement: a quarter of the plan
PICTURES = 24
PREFIX = "watch."


@runtime_checkable
class Restoring(Protocol):
    """A trainer whose averaged model restores pictures."""

    preset: Preset
    device: torch.device

    def averaged_model(self) -> nn.Module:
        """The restorer with the averaged weights."""

    def result(self) -> dict[str, Tensor]:
        """What the stage leaves behind."""


class Watch:
    """Measures the averaged weights now and then, keeps the best, says when to stop.

    Held-out normals alone are looked at: neither trained on nor calibrated with. The masks are
    fixed, one a picture, so two measures differ by the weights alone. Without held-out normals
    (fewer than 100 pictures) nothing is measured and the stage runs to its end.
    """

    def __init__(self, context: Context, trainer: object) -> None:
        self.best: tuple[float, int, dict[str, Tensor]] | None = None
        self.misses = 0
        self.trainer = trainer if isinstance(trainer, Restoring) else None
        ids = context.state.held_out[:PICTURES]
        if not ids or not distributed.leads():
            self.trainer = None
        if self.trainer:
            self.pictures = tiles.shown(context, ids)
            self.masks = _one_mask_each(self.trainer.preset, len(ids), context.job.seed)

    @property
    def stopped(self) -> bool:
        """Whether patience is at its end."""
        return self.misses >= PATIENCE

    def measure(self, step: int, total: int | None) -> dict[str, float]:
        """The held-out error where a measure is due after `step` steps, as a figure to tell."""
        if self.trainer is None or total is None:
            return {}
        if step < total and step % max(LEAST_STEPS, total // MEASURES):
            return {}
        restorer = self.trainer.averaged_model()
        error = restoration_error(restorer, self.pictures, self.masks, self.trainer.device)
        if self.best is None or error < self.best[0]:
            kept = {k: v.detach().clone() for k, v in self.trainer.result().items()}
            self.best, self.misses = (error, step, kept), 0
        else:
            self.misses += 1
        return {"held_out_error": error}

    def tensors(self) -> dict[str, Tensor]:
        """For the checkpoint: a resumed stage stops where the uninterrupted one would."""
        if self.best is None:
            return {}
        error, step, kept = self.best
        numbers = torch.tensor([error, step, self.misses], dtype=torch.float64)
        return {f"{PREFIX}numbers": numbers, **{f"{PREFIX}best.{k}": v for k, v in kept.items()}}

    def restore(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Take what `tensors` gave out of a checkpoint's; returns the rest."""
        mine = {k: v for k, v in tensors.items() if k.startswith(PREFIX)}
        if self.trainer and mine:
            error, step, misses = mine.pop(f"{PREFIX}numbers").tolist()
            kept = {
                k.removeprefix(f"{PREFIX}best."): v.to(self.trainer.device) for k, v in mine.items()
            }
            self.best, self.misses = (error, int(step), kept), int(misses)
        return {k: v for k, v in tensors.items() if not k.startswith(PREFIX)}


def _one_mask_each(preset: Preset, count: int, seed: int) -> Tensor:
    """(count, 1, S, S): the subsets of the sweep in turn, all cell sizes alike."""
    masks = (
        sweep(preset.image_size, preset.cells, preset.subsets, seed).transpose(0, 1).flatten(0, 1)
    )
    return masks[torch.arange(count) % len(masks)]


@torch.inference_mode()
def restoration_error(
    restorer: nn.Module, pictures: PictureSet, masks: Tensor, device: torch.device, batch: int = 8
) -> float:
    """Mean absolute difference of the restored pixels to the pictures, over the masks alone."""
    errors = []
    for first in range(0, len(pictures), batch):
        rows = slice(first, first + batch)
        images, hidden = pictures.floats(rows).to(device), masks[rows].to(device)
        restored = restorer(images, hidden).refined
        errors += [
            masked_mean((r - i).abs()[None], m[None])
            for r, i, m in zip(restored, images, hidden, strict=True)
        ]
    return float(torch.stack(errors).double().mean())
