"""A setting: which levels, which normalisation, how smooth, and how a map becomes one score."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ml.blur import gaussian_blur
from ml.scoring.normalise import Norm

AGGREGATIONS = ("max", "top0.2%", "top1%", "mean")


@dataclass(frozen=True)
class Setting:
    """How maps (n, L, S, S) become one map and one score.

    levels: indices into L; normalisation: `position` or `overall`; blur: sigma as a share of
    the picture's edge; sizes: how the sweep's cell sizes are combined, `mean` or `max`.
    """

    levels: tuple[int, ...]
    normalisation: str
    blur: float
    sizes: str
    aggregation: str

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Setting:
        """Inverse of `as_json`."""
        return cls(**{**data, "levels": tuple(data["levels"])})

    def as_json(self) -> dict[str, Any]:
        """Plain types for the manifest."""
        return {**asdict(self), "levels": list(self.levels)}

    def map(self, maps: Tensor, norm: Norm) -> Tensor:
        """The map (S, S), in deviations from normal."""
        return self.combine(self.deviations(maps, norm))

    def deviations(self, maps: Tensor, norm: Norm) -> Tensor:
        """Maps (n, L, S, S) in deviations from normal."""
        return (norm.positions if self.normalisation == "position" else norm.overall)(maps)

    def combine(self, deviations: Tensor) -> Tensor:
        """Levels, then cell sizes, then smoothing: (n, L, S, S) to (S, S)."""
        chosen = deviations[:, list(self.levels)].mean(1)
        combined = chosen.amax(0) if self.sizes == "max" else chosen.mean(0)
        return gaussian_blur(combined, self.blur * deviations.shape[-1])

    def score(self, content: Tensor) -> float:
        """The score of a map that was cut to the picture's content."""
        return aggregate(content, self.aggregation)


def aggregate(content: Tensor, how: str) -> float:
    """Maximum, mean, or mean of the top share of a map (H, W)."""
    flat = content.flatten()
    if how == "max":
        return float(flat.max())
    if how == "mean":
        return float(flat.mean())
    share = float(how.removeprefix("top").removesuffix("%")) / 100
    return float(torch.topk(flat, max(1, round(share * flat.numel()))).values.mean())


def default_setting(levels: int) -> Setting:
    """Chosen by reasoning: all levels, each position against itself, the few worst positions."""
    return Setting(tuple(range(levels)), "position", 0.012, "mean", "top0.2%")


def candidates(levels: int, still: bool = True) -> list[Setting]:
    """What a run chooses from; the first is the default.

    Only where maps are `still` is each position compared with its own mean.
    """
    every = tuple(range(levels))
    default = default_setting(levels)
    if not still:
        default = replace(default, normalisation="overall")
    choices = (every, (0,), every[1:], (0, 1)) if levels > 1 else (every,)
    found = [
        Setting(chosen, normalisation, blur, sizes, how)
        for chosen in choices
        for normalisation in (("position", "overall") if still else ("overall",))
        for blur in (0.006, 0.012, 0.025)
        for sizes in (("mean", "max") if levels > 1 else ("mean",))
        for how in AGGREGATIONS
    ]
    return [default, *(s for s in dict.fromkeys(found) if s != default)]
