"""Choosing the setting without labels: synthetic defects on held-out normals."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ml.data.letterbox import Letterbox
from ml.data.synthetic import KINDS, visible_defect
from ml.metrics import auroc
from ml.scoring.normalise import Norm, Statistics
from ml.scoring.setting import Setting, candidates


@dataclass
class Sample:
    """One picture's maps (n, L, S, S), where its content lies, and what it is."""

    maps: Tensor
    box: Letterbox
    kind: str | None  # None for a normal
    normal: int  # index of the normal that it is or was made from


@dataclass
class Choice:
    """The chosen setting and what the candidates reached (best first)."""

    setting: Setting
    table: list[dict[str, object]]


def damage(images: Sequence[Tensor], seed: int) -> list[tuple[Tensor, str]]:
    """One synthetic defect on each image (3, S, S), the kinds in turn."""
    rng = random.Random(seed)
    damaged = []
    for index, image in enumerate(images):
        kind = KINDS[index % len(KINDS)]
        damaged.append((visible_defect(image, kind, rng)[0], kind))
    return damaged


def choose(samples: list[Sample], statistics: Statistics, held_in: bool) -> Choice:
    """The candidate that separates best; the default unless another is clearly better.

    A picture that is part of the statistics (`held_in`) is judged by statistics without it,
    and so is the defect made from it.
    """
    normals = {s.normal: s.maps for s in samples if s.kind is None}
    norms = {
        i: (statistics.without(m) if held_in else statistics).norm() for i, m in normals.items()
    }
    labels = np.array([s.kind is not None for s in samples])
    settings = candidates(samples[0].maps.shape[1])
    scores = np.array([_scores(s, norms[s.normal], settings) for s in samples])
    table = [(auroc(scores[:, column], labels), setting) for column, setting in enumerate(settings)]
    return _decide(table, int(labels.sum()), int((~labels).sum()))


def _scores(sample: Sample, norm: Norm, settings: list[Setting]) -> list[float]:
    """One picture's score under every setting; what settings share is computed once."""
    deviations: dict[str, Tensor] = {}
    contents: dict[tuple[object, ...], Tensor] = {}
    scores = []
    for setting in settings:
        kind = setting.normalisation
        if kind not in deviations:
            deviations[kind] = setting.deviations(sample.maps, norm)
        key = (kind, setting.levels, setting.blur, setting.sizes)
        if key not in contents:
            contents[key] = sample.box.crop(setting.combine(deviations[kind]))
        scores.append(setting.score(contents[key]))
    return scores


def _decide(table: list[tuple[float, Setting]], defects: int, normals: int) -> Choice:
    """The default wins ties within one standard error: a small sample must not decide alone."""
    default_value, default = table[0]
    best_value, best = max(table, key=lambda row: row[0])
    error = standard_error(default_value, defects, normals)
    chosen = best if best_value > default_value + error else default
    ordered = sorted(table, key=lambda row: -row[0])
    rows = [{"auroc": round(v, 4), **s.as_json()} for v, s in ordered[:20]]
    rows.append({"auroc": round(default_value, 4), "default": True, **default.as_json()})
    return Choice(chosen, rows)


def standard_error(value: float, defects: int, normals: int) -> float:
    """Standard error of an AUROC (Hanley & McNeil 1982)."""
    q1, q2 = value / (2 - value), 2 * value**2 / (1 + value)
    variance = value * (1 - value) + (defects - 1) * (q1 - value**2)
    variance += (normals - 1) * (q2 - value**2)
    return math.sqrt(max(variance, 1e-9) / (defects * normals))
