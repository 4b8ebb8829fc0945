"""The memory at work: normal patches, and how far from them is usual at each position."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ml.features import FeatureExtractor
from ml.memory.view import MemoryView, joined, layer_maps
from ml.memory_bank import MemoryBank, distinct, greedy_coreset, random_subset

KEEP = 8_000  # patches remembered
DRAWN_PER_KEPT = 4  # patches drawn at random for the coreset to choose from
SCALE_ON = 32  # normals that fix the layers' scales


@dataclass
class Memory:
    """extractor gives features; scales (L,) weigh its layers; bank holds normal patches."""

    view: MemoryView
    extractor: FeatureExtractor
    scales: Tensor
    bank: MemoryBank

    def descriptors(self, images: Tensor) -> Tensor:
        """Descriptors (B, grid², D) of images (B, 3, V, V) in 0..1."""
        return joined(layer_maps(self.extractor, self.view, images), self.scales, self.view)

    @torch.inference_mode()
    def distances(self, image: Tensor, leave_out: int | None = None) -> Tensor:
        """Distance to the nearest normal patch (grid, grid), for an image (3, V, V).

        `leave_out`: the place of a remembered picture that is itself being looked at.
        """
        descriptors = self.descriptors(image.unsqueeze(0))[0]
        first, group = distinct(descriptors)
        found = self.bank.distances(descriptors[first], leave_out)[group]
        return found.view(self.view.grid, self.view.grid)

    def tensors(self) -> dict[str, Tensor]:
        """What a file has to keep."""
        return {
            "patches": self.bank.patches,
            "owners": self.bank.owners,
            "scales": self.scales,
        }

    @classmethod
    def of_tensors(
        cls,
        tensors: dict[str, Tensor],
        view: MemoryView,
        extractor: FeatureExtractor,
        device: torch.device,
    ) -> Memory:
        """Inverse of `tensors`."""
        moved = {name: tensor.to(device) for name, tensor in tensors.items()}
        bank = MemoryBank(moved["patches"], moved["owners"])
        return cls(view, extractor, moved["scales"], bank)


def remember(
    view: MemoryView,
    extractor: FeatureExtractor,
    images: Sequence[Tensor],
    seed: int,
    keep: int = KEEP,
    tick: Callable[[], Any] | None = None,
    owners: Sequence[int] | None = None,
) -> Memory:
    """A memory of normals, each (3, V, V) in 0..1, at most `keep` patches.

    owners: the picture that each image belongs to, where several are tiles or copies of one.

    Distinct patches are first drawn evenly from the pictures and then thinned to a coreset, so
    that rare but normal patches survive and frequent ones are not kept a thousand times.
    """
    generator = torch.Generator().manual_seed(seed)
    scales = _scales(view, extractor, images[:SCALE_ON])
    per_picture = max(1, DRAWN_PER_KEPT * keep // len(images))
    patches, origins = [], []
    for place, image in enumerate(images):
        owner = place if owners is None else owners[place]
        layers = layer_maps(extractor, view, image.unsqueeze(0))
        found = joined(layers, scales, view)[0]
        found = found[distinct(found)[0]]
        index = random_subset(len(found), per_picture, generator).to(found.device)
        patches.append(found[index])
        origins.append(torch.full((len(index),), owner, device=found.device))
        if tick:
            tick()
    drawn = torch.cat(patches)
    chosen = greedy_coreset(drawn, keep, generator).to(drawn.device)
    return Memory(view, extractor, scales, MemoryBank(drawn[chosen], torch.cat(origins)[chosen]))


def _scales(view: MemoryView, extractor: FeatureExtractor, images: Sequence[Tensor]) -> Tensor:
    """What brings each layer's descriptors to unit energy on the average."""
    energy: Tensor | None = None
    for image in images:
        layers = layer_maps(extractor, view, image.unsqueeze(0))
        one = torch.stack([layer.square().sum(1).mean() for layer in layers])
        energy = one if energy is None else energy + one
    if energy is None:
        raise ValueError("a memory needs at least one picture")
    return (energy / len(images)).clamp(min=1e-12).rsqrt()
