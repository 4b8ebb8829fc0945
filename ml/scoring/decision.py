"""The decision: each part's map in deviations from normal, fused, aggregated to one score."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ml.data.letterbox import Letterbox
from ml.scoring.evidence import PARTS, Evidence
from ml.scoring.normalise import Norm
from ml.scoring.setting import Setting, aggregate


@dataclass(frozen=True)
class Part:
    """How one part's maps become one map, and the unit in which the fusion adds it.

    unit: the highest deviation that a usual normal reaches.
    """

    setting: Setting
    norm: Norm
    unit: float

    def map(self, maps: Tensor) -> Tensor:
        """(n, L, S, S) to (S, S), in deviations from normal."""
        return self.setting.map(maps, self.norm)


@dataclass(frozen=True)
class Fusion:
    """weight: the memory's share of the sum; aggregation: how the sum becomes one score."""

    weight: float
    aggregation: str

    def as_json(self) -> dict[str, Any]:
        """Plain types for the manifest."""
        return asdict(self)

    def combine(self, inpainting: Tensor, memory: Tensor) -> Tensor:
        """Maps in units of a usual normal's highest deviation, both (…, S, S), to one."""
        return (1 - self.weight) * inpainting + self.weight * memory


@dataclass(frozen=True)
class Decided:
    """map: (S, S), the one that decides; scores: by name, of what the model can give."""

    map: Tensor
    score: float
    scores: dict[str, float]


@dataclass(frozen=True)
class Decision:
    """kind: `inpainting`, `memory` or `fused`; parts by name; fusion where both are there."""

    kind: str
    parts: dict[str, Part]
    fusion: Fusion | None

    def decide(self, evidence: Evidence, box: Letterbox) -> Decided:
        """The map, its score and every part's own score; only `box` counts."""
        maps = {name: self.parts[name].map(evidence.maps[name]) for name in self.parts}
        scores = {
            name: self.parts[name].setting.score(box.crop(found)) for name, found in maps.items()
        }
        if self.fusion:
            relative = [maps[name] / self.parts[name].unit for name in PARTS]
            maps["fused"] = self.fusion.combine(*relative)
            scores["fused"] = aggregate(box.crop(maps["fused"]), self.fusion.aggregation)
        extra = {"eq7": evidence.eq7, "published": evidence.published}
        scores |= {name: value for name, value in extra.items() if value is not None}
        scores["decision"] = scores[self.kind]
        return Decided(maps[self.kind], scores["decision"], scores)

    def glance(self, distances: Tensor, box: Letterbox) -> Decided:
        """What the memory's map (1, 1, S, S) alone tells, on the scale of `decide`.

        Where both parts decide, the inpainting is taken to be as usual until it is looked at.
        """
        part = self.parts["memory"]
        found = part.map(distances)
        score = part.setting.score(box.crop(found))
        scores = {"memory": score}
        if self.kind == "fused" and self.fusion:
            relative = found / part.unit
            found = self.fusion.combine(torch.zeros_like(relative), relative)
            score = scores["fused"] = aggregate(box.crop(found), self.fusion.aggregation)
        return Decided(found, score, scores | {"decision": score})

    def as_json(self) -> dict[str, Any]:
        """Without the norms, which are tensors."""
        return {
            "kind": self.kind,
            "parts": {
                name: {"setting": part.setting.as_json(), "unit": part.unit}
                for name, part in self.parts.items()
            },
            "fusion": self.fusion.as_json() if self.fusion else None,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any], norms: dict[str, Norm]) -> Decision:
        """Inverse of `as_json`."""
        parts = {
            name: Part(Setting.from_json(part["setting"]), norms[name], part["unit"])
            for name, part in data["parts"].items()
        }
        fusion = data["fusion"]
        return cls(data["kind"], parts, Fusion(**fusion) if fusion else None)

    def norm_tensors(self) -> dict[str, Tensor]:
        """The norms for a safetensors file."""
        return {
            f"{name}.{key}": tensor
            for name, part in self.parts.items()
            for key, tensor in (("mean", part.norm.mean), ("deviation", part.norm.deviation))
        }


def norms_from(tensors: dict[str, Tensor]) -> dict[str, Norm]:
    """Inverse of `Decision.norm_tensors`."""
    names = {key.split(".")[0] for key in tensors}
    return {name: Norm(tensors[f"{name}.mean"], tensors[f"{name}.deviation"]) for name in names}
