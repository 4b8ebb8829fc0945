"""A memory of normal patches: distance to the nearest normal neighbour.

Roth et al., "Towards Total Recall in Industrial Anomaly Detection" (PatchCore), CVPR 2022.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ml.features import FeatureExtractor

CHUNK = 512  # rows of a distance matrix computed at once: few enough to stay in the cache


@torch.inference_mode()
def patch_features(extractor: FeatureExtractor, images: Tensor, side: int) -> Tensor:
    """Patch descriptors (B, side², D) of images (B, 3, S, S) in 0..1.

    Each stage is averaged over 3×3 neighbours, as in PatchCore, brought to one grid, scaled to
    unit energy (so that no stage drowns another) and concatenated.
    """
    maps = []
    for stage in extractor(images):
        pooled = F.avg_pool2d(stage.float(), 3, stride=1, padding=1, count_include_pad=False)
        pooled = F.adaptive_avg_pool2d(pooled, side)
        maps.append(pooled * pooled.square().mean().clamp(min=1e-12).rsqrt())
    return torch.cat(maps, dim=1).flatten(2).transpose(1, 2)


def random_subset(count: int, keep: int, generator: torch.Generator) -> Tensor:
    """Indices of at most `keep` of `count` rows, ascending."""
    return torch.randperm(count, generator=generator)[:keep].sort().values


def distinct(features: Tensor) -> tuple[Tensor, Tensor]:
    """Of rows (N, D): the indices of the first of each group of equal ones (M,), and for each row
    the place of its group among them (N,).

    Bare ground and straight edges of a drawing-like picture (a bare board, a mask) give the same
    descriptor thousands of times: what is drawn from all would be mostly that one, and the search
    for its nearest would be done as often.
    """
    # A double per row tells them apart: equal rows have equal sums, others meet by chance only.
    weights = torch.linspace(1, 2, features.shape[1], dtype=torch.float64).sin() + 1.5
    marks = (features.double() * weights.to(features.device)).sum(1)
    _, group = torch.unique(marks, return_inverse=True)
    first = torch.full((int(group.max()) + 1,), len(features), device=features.device)
    places = torch.arange(len(features), device=features.device)
    first, order = first.scatter_reduce_(0, group, places, "amin").sort()
    return first, torch.argsort(order)[group]


def greedy_coreset(features: Tensor, keep: int, generator: torch.Generator) -> Tensor:
    """Farthest-point selection of `keep` rows of (N, D), on a random projection to 64.

    Greedy k-centre of PatchCore: each new row is the one worst covered by those chosen.
    """
    count = features.shape[0]
    if keep >= count:
        return torch.arange(count)
    if features.shape[1] > 64:
        projection = torch.randn(features.shape[1], 64, generator=generator)
        features = features @ projection.to(features.device)
    chosen = [int(torch.randint(count, (1,), generator=generator))]
    energy = features.square().sum(1)
    nearest = torch.full((count,), torch.inf, device=features.device)
    for _ in range(keep - 1):
        newest = chosen[-1]
        distance = torch.addmv(energy + energy[newest], features, features[newest], alpha=-2)
        distance[newest] = 0  # exactly, or rounding would choose it again
        torch.minimum(nearest, distance, out=nearest)
        chosen.append(int(nearest.argmax()))
    return torch.tensor(sorted(chosen))


@dataclass
class MemoryBank:
    """Patches of normals (M, D) and the picture that each came from (M,)."""

    patches: Tensor
    owners: Tensor

    def __post_init__(self) -> None:
        # Kept: for the few patches of a tile it would take longer than the distances themselves.
        self.energy = self.patches.square().sum(1)

    @classmethod
    def build(cls, features: Tensor, keep: int, generator: torch.Generator) -> MemoryBank:
        """From descriptors (N, P, D) of N normals, at most `keep` patches drawn at random."""
        count, per_picture, width = features.shape
        index = random_subset(count * per_picture, keep, generator).to(features.device)
        return cls(features.reshape(-1, width)[index], index // per_picture)

    def distances(self, features: Tensor, leave_out: int | None = None, k: int = 1) -> Tensor:
        """Distance of each patch (P, D) to its k-th nearest patch, (P,).

        `leave_out` ignores the patches of one picture, for scoring it against the others. With
        k > 1 a defect that happens to have a twin in the memory is still far from most.
        """
        parts = []
        for chunk in torch.split(features, CHUNK):
            # Less than the squared distances by what each row adds to all of its own: one pass
            # over the matrix instead of four.
            squared = torch.addmm(self.energy, chunk, self.patches.T, alpha=-2)
            if leave_out is not None:
                squared[:, self.owners == leave_out] = torch.inf
            if k == 1:
                nearest = squared.amin(1)
            else:
                nearest = squared.topk(min(k, squared.shape[1]), dim=1, largest=False).values[:, -1]
            parts.append(nearest + chunk.square().sum(1))
        return torch.cat(parts).clamp(min=0).sqrt()


@dataclass
class PositionNorm:
    """Mean and deviation of a distance at each position, over normals."""

    mean: Tensor
    deviation: Tensor

    @classmethod
    def robust(cls, maps: Tensor) -> PositionNorm:
        """Median and scaled median deviation over maps (N, …): a few defects do not move them."""
        centre = maps.median(0).values
        spread = 1.4826 * (maps - centre).abs().median(0).values
        return cls(centre, spread + 0.25 * spread.mean() + 1e-9)

    def __call__(self, maps: Tensor) -> Tensor:
        """Deviations from normal."""
        return (maps - self.mean) / self.deviation
