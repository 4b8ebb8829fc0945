"""At what size, by which layers, on how fine a grid the memory looks at a picture."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ml.features import (
    SQUEEZENET_FILE,
    EncoderFeatures,
    FeatureExtractor,
    SqueezeNetFeatures,
    installed,
)
from ml.unet import Encoder

# SqueezeNet on a grid of 48 takes half a second a tile and thread: a minute for a large picture.
MOST_TILE_GRID = 32


@dataclass(frozen=True)
class MemoryView:
    """size: edge of the square in pixels; layers: the backbone's; grid: positions along an edge.

    position: how much a descriptor's place counts, as the distance that the whole edge adds to
    descriptors of unit energy; 0 compares with normals anywhere in the picture.
    soft: whether a layer's descriptors are brought close to one length (see `joined`); not in
    memories from before there was a choice.
    """

    size: int
    layers: tuple[int, ...]
    grid: int
    position: float = 0.0
    soft: bool = False

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> MemoryView:
        """Inverse of `as_json`."""
        return cls(**{**data, "layers": tuple(data["layers"])})

    def as_json(self) -> dict[str, Any]:
        """Plain types for the manifest."""
        return {**asdict(self), "layers": list(self.layers)}

    def extractor(self, weights_dir: Path | None, encoder: Encoder | None) -> FeatureExtractor:
        """The backbone at this size with these layers; the stand-in where no weights are."""
        if path := installed(weights_dir, SQUEEZENET_FILE):
            return SqueezeNetFeatures(path, self.size, self.layers)
        if encoder is None:
            raise ValueError("without ImageNet weights the memory needs the pre-trained encoder")
        return EncoderFeatures(encoder, self.layers)


def views(stand_in: bool, image_size: int, tiled: bool = False) -> list[MemoryView]:
    """What a run chooses from, the default first.

    A short budget tries only the first few, so the finest, at the layer's own resolution, comes
    right after the default: averaged to half of that, hairlines are lost.
    Coarse and deep features see parts, fine and shallow ones see hairlines; which is needed
    depends on the product. The stand-in knows pictures of the preset's size, and twice that.
    Where pictures are looked at through tiles, a place in a tile means nothing, a finer grid
    would take too long over all of them, and tiles show more than the whole does anyway.
    """
    found = _whole_views(stand_in, image_size)
    return [v for v in found if not v.position and v.grid <= MOST_TILE_GRID] if tiled else found


def _whole_views(stand_in: bool, image_size: int) -> list[MemoryView]:
    if stand_in:
        fine, coarse = image_size // 4, image_size // 8
        return [
            MemoryView(image_size, (1, 2), coarse),
            MemoryView(image_size, (1, 2), coarse, 2.0),
            MemoryView(image_size, (0, 1), fine),
            MemoryView(2 * image_size, (1, 2), fine),
        ]
    return [
        MemoryView(224, (7, 10), 28, soft=True),
        MemoryView(512, (4,), 127, soft=True),
        MemoryView(384, (4,), 95, soft=True),
        MemoryView(384, (4, 7), 48, soft=True),
        MemoryView(224, (7, 10), 28, 1.4, soft=True),  # soft descriptors have half the energy
        MemoryView(256, (4, 7), 32, soft=True),
        MemoryView(512, (4, 7), 64, soft=True),
    ]


@torch.inference_mode()
def layer_maps(extractor: FeatureExtractor, view: MemoryView, images: Tensor) -> list[Tensor]:
    """Each layer of images (B, 3, V, V) in 0..1 on the view's grid, (B, C, grid, grid).

    Averaged over 3×3 neighbours, as in PatchCore.
    """
    if images.shape[-1] != view.size:
        images = resized(images, view.size)
    pooled = [
        F.avg_pool2d(layer.float(), 3, stride=1, padding=1, count_include_pad=False)
        for layer in extractor(images)
    ]
    return [_to_grid(layer, view.grid) for layer in pooled]


def joined(layers: list[Tensor], scales: Tensor, view: MemoryView) -> Tensor:
    """Descriptors (B, grid², D): layers times their scales (so that none drowns another).

    Softly normalised, a descriptor x of unit energy on the average becomes x / √(‖x‖² + 1): busy
    places reach a length near 1 and are told apart by direction, as by the cosine, instead of
    being far from everything for their contrast alone; flat ones keep theirs, so that noise does
    not grow.
    """
    scaled = [layer * scale for layer, scale in zip(layers, scales, strict=True)]
    if view.soft:
        scaled = [x * (x.square().sum(1, keepdim=True) + 1).rsqrt() for x in scaled]
    descriptors = torch.cat(scaled, dim=1).flatten(2).transpose(1, 2)
    return _with_positions(descriptors, view)


def resized(images: Tensor, size: int) -> Tensor:
    """Images (B, 3, V, V) at another size, without aliasing."""
    return F.interpolate(
        images, size=(size, size), mode="bilinear", align_corners=False, antialias=True
    ).clamp(0, 1)


def _to_grid(maps: Tensor, grid: int) -> Tensor:
    if maps.shape[-1] >= grid:
        return F.adaptive_avg_pool2d(maps, grid)
    return F.interpolate(maps, size=(grid, grid), mode="bilinear", align_corners=False)


def _with_positions(descriptors: Tensor, view: MemoryView) -> Tensor:
    """Append the place (y, x) to descriptors (…, grid², D) where the view wants it."""
    if not view.position:
        return descriptors
    axis = torch.linspace(0, view.position, view.grid, device=descriptors.device)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    place = torch.stack([y.flatten(), x.flatten()], dim=-1)
    return torch.cat([descriptors, place.expand(*descriptors.shape[:-1], 2)], dim=-1)
