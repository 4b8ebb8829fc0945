"""The part of scoring that is tensor code, as one module: pixels in, map and score out.

Letterbox and alignment stay outside: they work on pictures of any size. Masks, norms, settings
and the memory are constants of a model version and become constants of the graph.
"""

from __future__ import annotations

import copy
from inspect import unwrap

import torch
from torch import Tensor, nn

from ml.csa import CoherentSemanticAttention, FixedAttention
from ml.memory.memory import Memory
from ml.memory.view import joined, layer_maps
from ml.presets import Preset
from ml.scoring.decision import Decision
from ml.scoring.evidence import PARTS, Engine
from ml.scoring.maps import differences, upsample
from ml.scoring.restore import restore, restore_whole

INPUTS = ("image", "content", "large")
OUTPUTS = ("score", "map")


class ScoringGraph(nn.Module):
    """`Engine.evidence` and `Decision.decide` for one picture, without a branch on data."""

    masks: Tensor
    zone: Tensor

    def __init__(self, engine: Engine, decision: Decision, preset: Preset) -> None:
        super().__init__()
        self.decision = decision
        self.memory = engine.memory
        self.wanted = PARTS if decision.kind == "fused" else (decision.kind,)
        self.model = fixed_masks(engine.model, engine.masks, preset) if engine.model else None
        self.extractor = engine.extractor
        self.register_buffer("masks", engine.masks)
        zone = engine.zone if engine.zone is not None else torch.ones(engine.size, engine.size)
        self.register_buffer("zone", zone)

    @property
    def looks_twice(self) -> bool:
        """Whether the memory wants the picture at a size of its own."""
        return "memory" in self.wanted

    def forward(
        self, image: Tensor, content: Tensor, large: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """image (3, S, S) and large (3, V, V) in 0..1; content (S, S), 1 where the picture lies.

        Gives the score () and the map (S, S).
        """
        maps = {name: self._map(name, image, large) for name in self.wanted}
        parts, fusion = self.decision.parts, self.decision.fusion
        if self.decision.kind == "fused" and fusion:
            found = fusion.combine(*(maps[name] / parts[name].unit for name in PARTS))
            return masked_aggregate(found, content, fusion.aggregation), found
        (found,) = maps.values()
        how = parts[self.decision.kind].setting.aggregation
        return masked_aggregate(found, content, how), found

    def _map(self, name: str, image: Tensor, large: Tensor | None) -> Tensor:
        levels = self._levels(image) if name == "inpainting" else self._distances(large)
        return self.decision.parts[name].map(levels * self.zone)

    def _levels(self, image: Tensor) -> Tensor:
        if self.model is None:
            raise ValueError("this model restores nothing")
        # Without their inference mode, under which nothing can be recorded.
        if getattr(self.model, "whole", False):
            restored = unwrap(restore_whole)(self.model, image)
        else:
            restored = unwrap(restore)(self.model, image, self.masks)
        levels: Tensor = unwrap(differences)(self.extractor, image, restored).levels
        return levels

    def _distances(self, large: Tensor | None) -> Tensor:
        if self.memory is None or large is None:
            raise ValueError("the memory needs its picture")
        found = memory_distances(self.memory, large)
        return upsample(found[None, None], self.masks.shape[-1])


def memory_distances(memory: Memory, image: Tensor) -> Tensor:
    """`Memory.distances` without its inference mode: (3, V, V) to (grid, grid)."""
    layers = unwrap(layer_maps)(memory.extractor, memory.view, image.unsqueeze(0))
    descriptors = joined(layers, memory.scales, memory.view)[0]
    return memory.bank.distances(descriptors).view(memory.view.grid, memory.view.grid)


def fixed_masks(model: nn.Module, masks: Tensor, preset: Preset) -> nn.Module:
    """A copy whose attention layers know the sweep's masks (n, K, 1, S, S)."""
    copied = copy.deepcopy(model)
    side = preset.image_size // preset.attention_stride
    for parent in list(copied.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, CoherentSemanticAttention):
                setattr(parent, name, FixedAttention(masks.flatten(0, 1), side))
    return copied.eval()


def masked_aggregate(found: Tensor, content: Tensor, how: str) -> Tensor:
    """`ml.scoring.setting.aggregate` of a map (S, S) where content is 1: a number ().

    The box differs from picture to picture, the graph must not: all values are sorted and those
    that count are weighed.
    """
    inside = content.flatten() > 0
    count = inside.sum()
    values = torch.where(inside, found.flatten(), torch.finfo(found.dtype).min)
    if how == "max":
        return values.amax(0)  # onnxscript knows none without a dimension
    if how == "mean":
        return torch.where(inside, values, 0.0).sum() / count
    share = float(how.removeprefix("top").removesuffix("%")) / 100
    kept = torch.round(share * count.double()).clamp(min=1)
    ordered = torch.topk(values, values.numel()).values
    counts = torch.arange(values.numel(), device=found.device) < kept
    return torch.where(counts, ordered, 0.0).sum() / kept.to(found.dtype)
