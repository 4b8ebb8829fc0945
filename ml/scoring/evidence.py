"""What is known about one picture before anything is decided: restorations and distances."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ml.features import FeatureExtractor
from ml.memory.memory import Memory
from ml.memory.view import resized
from ml.scoring.maps import differences, upsample
from ml.scoring.restore import restore, restore_whole

PARTS = ("inpainting", "memory")


@dataclass(frozen=True)
class Evidence:
    """maps: per part the difference maps (n, L, S, S) from which its setting makes one map.

    `inpainting` has one map per cell size and level, `memory` a single one. eq7: Eq. 7 to the
    letter; published: the score of a method that has its own; restored: (3, S, S). None where
    the method has no such thing.
    """

    maps: dict[str, Tensor]
    eq7: float | None = None
    published: float | None = None
    restored: Tensor | None = None


@dataclass(frozen=True)
class Engine:
    """The parts that turn pixels into evidence; shared by calibration and scoring.

    masks: the sweep (n, K, 1, S, S); zone: (S, S), 1 where the part is judged, or None.
    """

    model: nn.Module | None
    extractor: FeatureExtractor
    masks: Tensor
    memory: Memory | None = None
    zone: Tensor | None = None

    def with_memory(self, memory: Memory | None) -> Engine:
        """The same with another memory."""
        return replace(self, memory=memory)

    def inside(self, zone: Tensor | None) -> Engine:
        """The same, judging only where zone (S, S) is 1; everywhere where there is none."""
        if zone is None:
            return self
        here = zone.to(self.masks.device)
        return replace(self, masks=self.masks * here, zone=here)

    @property
    def size(self) -> int:
        """Edge of the maps in pixels."""
        return int(self.masks.shape[-1])

    @torch.inference_mode()
    def evidence(
        self, image: Tensor, large: Tensor | None = None, leave_out: int | None = None
    ) -> Evidence:
        """For an image (3, S, S) in 0..1 and, for the memory, the same at (3, V, V).

        `leave_out`: see `Memory.distances`.
        """
        image = image.to(self.masks.device)
        found = Evidence({})
        if self.model is not None:
            found = self._restoration(self.model, image)
        if self.memory is not None:
            source = image if large is None else large
            found.maps["memory"] = self.distances(source, leave_out)
        return found

    @torch.inference_mode()
    def distances(self, image: Tensor, leave_out: int | None = None) -> Tensor:
        """The memory's map (1, 1, S, S) of an image (3, V, V), see `Memory.distances`."""
        if self.memory is None:
            raise ValueError("this method has no memory")
        image = image.to(self.masks.device)
        if image.shape[-1] != self.memory.view.size:
            image = resized(image.unsqueeze(0), self.memory.view.size)[0]
        found = self.memory.distances(image, leave_out)
        return self._judged(upsample(found[None, None], self.size))

    def _restoration(self, model: nn.Module, image: Tensor) -> Evidence:
        published = None
        if getattr(model, "whole", False):
            restored = restore_whole(model, image)
            published = float(model.anomaly_map(image.unsqueeze(0)).mean())  # type: ignore[operator]
        else:
            restored = restore(model, image, self.masks)
        compared = differences(self.extractor, image, restored)
        # The median over cell sizes: what most of them agree on.
        middle = restored.median(0).values
        maps = {"inpainting": self._judged(compared.levels)}
        return Evidence(maps, compared.paper_score, published, middle)

    def _judged(self, maps: Tensor) -> Tensor:
        return maps if self.zone is None else maps * self.zone
