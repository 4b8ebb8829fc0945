"""The methods that can be trained: the paper's, its ablation, its rivals, and what goes beyond."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ml.data.dataset import PictureSet
from ml.features import FeatureExtractor
from ml.presets import Preset
from ml.unet import Encoder


@dataclass(frozen=True)
class Method:
    """What a method needs of a run.

    restores: which network learns to restore normals (None: no restoration); pretrains: its
    encoder starts from Barlow Twins; memory: normal features are remembered; decision: the map
    that decides, `inpainting`, `memory` or `fused`.
    """

    name: str
    title: str
    restores: str | None
    pretrains: bool = False
    memory: bool = False
    decision: str = "inpainting"


METHODS = {
    method.name: method
    for method in (
        Method("fused", "Inpainting and memory, fused", "paper", True, True, "fused"),
        Method("paper", "Inpainting with self-supervised learning", "paper", True),
        Method("paper-nossl", "Inpainting without self-supervised learning", "paper"),
        Method("memory", "Memory of normal features", None, memory=True, decision="memory"),
        Method("csa", "Coherent semantic attention (Liu et al. 2019)", "csa"),
        Method("shift-net", "Shift-Net (Yan et al. 2018)", "shift-net"),
        Method("skip-ganomaly", "Skip-GANomaly (Akçay et al. 2019)", "skip-ganomaly"),
    )
}
DEFAULT = "fused"


class RestorationTrainer(Protocol):
    """A training stage whose result restores masked pictures."""

    name: str
    seed: int
    preset: Preset
    device: torch.device
    pictures_per_step: int
    optimised: Any

    def train_step(self, step: int, steps: int | None) -> dict[str, float]:
        """Do step number `step`; `steps` is None while the first are timed."""

    def result(self) -> dict[str, Tensor]:
        """What restoring needs: the averaged weights."""

    def averaged_model(self) -> nn.Module:
        """The restorer with the averaged weights."""


def restoration_trainer(
    method: Method,
    pictures: PictureSet,
    preset: Preset,
    seed: int,
    device: torch.device,
    encoder: Encoder | None,
    target: FeatureExtractor,
    scoring: FeatureExtractor,
    shift: int,
    symmetries: Sequence[str] = (),
) -> RestorationTrainer:
    """The method's trainer. Raises ValueError where the method restores nothing."""
    trainer = _trainer(method)
    start = encoder if method.pretrains else None
    pictures = replace(pictures, symmetries=tuple(symmetries))
    return trainer(pictures, preset, seed, device, start, target, scoring, shift=shift)


def _trainer(method: Method) -> Callable[..., RestorationTrainer]:
    # Imported when asked for: a verdict needs none of the rivals.
    if method.restores == "paper":
        from ml.inpainting.trainer import InpaintTrainer

        return InpaintTrainer
    if method.restores == "csa":
        from ml.rivals.csa.trainer import CsaTrainer

        return CsaTrainer
    if method.restores == "shift-net":
        from ml.rivals.shift_net.trainer import ShiftNetTrainer

        return ShiftNetTrainer
    if method.restores == "skip-ganomaly":
        from ml.rivals.skip_ganomaly.trainer import SkipGanomalyTrainer

        return SkipGanomalyTrainer
    raise ValueError(f"{method.name} restores nothing")


def load_restorer(
    name: str, preset: Preset, tensors: dict[str, Tensor], device: torch.device
) -> nn.Module:
    """The restorer of a model folder, in evaluation mode.

    It maps image (B, 3, S, S) in 0..1 and mask (B, 1, S, S) to an object with `refined`
    (B, 3, S, S). Raises KeyError for an unknown method, ValueError where it restores nothing.
    """
    restores = METHODS[name].restores
    load: Callable[[Preset, dict[str, Tensor], torch.device], nn.Module]
    if restores == "csa":
        from ml.rivals.csa.model import load_model as load
    elif restores == "shift-net":
        from ml.rivals.shift_net.model import load_model as load
    elif restores == "skip-ganomaly":
        from ml.rivals.skip_ganomaly.model import load_model as load
    elif restores == "paper":
        from ml.inpainting.trainer import load_model as load
    else:
        raise ValueError(f"{name} restores nothing")
    return load(preset, tensors, device)
