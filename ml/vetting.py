"""Vetting: bad, blurred, doubled or wrong-part pictures among the good ones.

Every normal is scored against all the others; what stands out is shown to a person before
anything is trained on it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ml.data.dataset import PictureSet
from ml.features import FeatureExtractor
from ml.memory_bank import MemoryBank, PositionNorm, patch_features

GRID = 14  # positions along an edge at most; as many as the features have at stride 8
MEMORY_PATCHES = 20_000
FLAGGED_SHARE = 0.10
CLEAR_OUTLIER = 6.0  # robust deviations of the score above the median

HARD_FLAGS = frozenset({"blurred", "too_dark", "too_bright", "near_duplicate", "wrong_size"})
SENTENCES = {
    "unlike_the_others": "looks unlike the other good pictures",
    "blurred": "is much less sharp than the others",
    "too_dark": "is much darker than the others",
    "too_bright": "is much brighter than the others",
    "near_duplicate": "is almost the same picture as another one",
    "wrong_size": "has another shape than the others",
}


@dataclass
class VetItem:
    """One picture's findings, as they stand in `vet.json`."""

    image: str
    score: float
    rank: int
    flags: list[str]
    flagged: bool
    suggest_exclude: bool
    nearest: list[str]
    reason: str


@dataclass
class Unlikeness:
    """Leave-one-out score of each picture (N,) and its two nearest others (N, 2)."""

    scores: Tensor
    nearest: Tensor


def robust_z(values: Tensor) -> Tensor:
    """Deviations from the median in units of the scaled median deviation."""
    centre = values.median()
    spread = 1.4826 * (values - centre).abs().median()
    return (values - centre) / spread.clamp(min=1e-6 + 1e-3 * float(centre.abs()))


Progress = Callable[[int, int], None]


def describe(
    pictures: PictureSet,
    extractor: FeatureExtractor,
    progress: Progress | None = None,
    device: str | torch.device = "cpu",
) -> Tensor:
    """Patch descriptors of every picture, (N, P, D)."""
    grid = min(GRID, pictures.pixels.shape[-1] // 8)
    count, features = len(pictures), []
    for start in range(0, count, 16):
        batch = pictures.floats(slice(start, start + 16)).to(device)
        features.append(patch_features(extractor, batch, grid))
        if progress:
            progress(min(start + 16, count), 2 * count)
    return torch.cat(features)


def unlikeness(features: Tensor, seed: int, progress: Progress | None = None) -> Unlikeness:
    """Score every picture by a memory of the others, position by position; features (N, P, D)."""
    count = len(features)
    generator = torch.Generator().manual_seed(seed)
    bank = MemoryBank.build(features, MEMORY_PATCHES, generator)
    maps = []
    for index in range(count):
        maps.append(bank.distances(features[index], leave_out=index, k=3))
        if progress:
            progress(count + index + 1, 2 * count)
    distance = torch.stack(maps)
    unusual = PositionNorm.robust(distance)(distance)
    # The mean of the worst 3 % of positions: a defect is small, one noisy patch is not a defect.
    worst = unusual.topk(max(1, round(0.03 * unusual.shape[1])), dim=1).values.mean(1)
    return Unlikeness(worst.cpu(), _nearest_pictures(features.mean(1)).cpu())


def _nearest_pictures(pooled: Tensor) -> Tensor:
    distance = torch.cdist(pooled, pooled)
    distance.fill_diagonal_(torch.inf)
    return distance.topk(min(2, len(pooled) - 1), dim=1, largest=False).indices


def sharpness(grey: Tensor) -> Tensor:
    """Log variance of the Laplacian of (N, 1, S, S), (N,)."""
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]]).view(1, 1, 3, 3)
    return F.conv2d(grey, kernel).flatten(1).var(1).clamp(min=1e-12).log()


def near_duplicates(grey: Tensor) -> Tensor:
    """For each picture the earlier one that it almost equals, or −1; grey: (N, 1, S, S).

    Parts under a fixed camera are all alike, so no absolute distance can tell a copy from a
    sibling: a copy is far closer to its twin than pictures here usually are to their nearest.
    """
    small = F.adaptive_avg_pool2d(grey, 32).flatten(1)
    distance = torch.cdist(small, small, compute_mode="donot_use_mm_for_euclid_dist") / 32
    distance.fill_diagonal_(torch.inf)
    limit = 0.2 * distance.min(1).values.median()
    earlier = distance.tril(-1) + torch.full_like(distance, torch.inf).triu()
    closest, index = earlier.min(1)
    return torch.where(closest <= limit.clamp(min=1e-4), index, -1)


def picture_flags(pictures: PictureSet) -> list[list[str]]:
    """Flags that need no memory: blur, exposure, doubles and odd sizes."""
    grey = pictures.floats().mean(1, keepdim=True)
    blur = robust_z(sharpness(grey)) < -6
    level = grey.flatten(1).mean(1)
    off, difference = robust_z(level), level - level.median()
    checks = {
        "blurred": blur,
        "too_dark": (off < -6) & (difference < -0.08),
        "too_bright": (off > 6) & (difference > 0.08),
        "near_duplicate": near_duplicates(grey) >= 0,
        "wrong_size": _odd_sizes(pictures.sizes),
    }
    return [
        [name for name, hits in checks.items() if bool(hits[index])]
        for index in range(len(pictures))
    ]


def _odd_sizes(sizes: list[tuple[int, int]]) -> Tensor:
    """True where the aspect ratio is more than 2 % off the usual one."""
    ratio = torch.tensor([width / height for width, height in sizes])
    usual = ratio.median()
    return (ratio / usual - 1).abs() > 0.02


def vet(
    pictures: PictureSet,
    extractor: FeatureExtractor,
    seed: int,
    progress: Progress | None = None,
    device: str | torch.device = "cpu",
) -> list[VetItem]:
    """Findings for every picture, the most suspicious first."""
    unlike = unlikeness(describe(pictures, extractor, progress, device), seed, progress)
    flags = picture_flags(pictures)
    order = unlike.scores.argsort(descending=True).tolist()
    top = max(1, round(FLAGGED_SHARE * len(pictures)))
    clear = robust_z(unlike.scores) > CLEAR_OUTLIER
    items = []
    for place, index in enumerate(order):
        found = (["unlike_the_others"] if place < top else []) + flags[index]
        items.append(
            VetItem(
                image=pictures.ids[index],
                score=round(float(unlike.scores[index]), 6),
                rank=place + 1,
                flags=found,
                flagged=bool(found),
                suggest_exclude=bool(clear[index]) or bool(HARD_FLAGS & set(found)),
                nearest=[pictures.ids[j] for j in unlike.nearest[index].tolist()],
                reason=sentence(found),
            )
        )
    return items


def sentence(flags: list[str]) -> str:
    """What a person reads beside the picture."""
    if not flags:
        return "Nothing unusual."
    parts = [SENTENCES[flag] for flag in flags]
    joined = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return f"This picture {joined}."


def as_json(items: list[VetItem]) -> dict[str, Any]:
    """The content of `vet.json`."""
    return {"items": [asdict(item) for item in items]}
