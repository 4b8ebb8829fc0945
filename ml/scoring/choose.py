"""Choosing without labels how evidence becomes a score: synthetic defects on held-out normals."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

from ml.data.letterbox import Letterbox
from ml.data.synthetic import KINDS, visible_defect
from ml.metrics import auroc
from ml.scoring.decision import Decision, Fusion, Part
from ml.scoring.evidence import PARTS, Evidence
from ml.scoring.normalise import Norm, Statistics
from ml.scoring.setting import AGGREGATIONS, Setting, aggregate, candidates

# How much of a synthetic defect is blended in. Clear ones are found under any setting; what
# tells settings apart is which of the faint ones they still find.
STRENGTHS = (1.0, 0.6, 0.35)
# The memory's share; the first is the default. On ImageNet features the memory is the stronger
# witness; on a stand-in that was trained for a minute it is the weaker one.
WEIGHTS = (0.7, 0.3, 0.5, 0.85, 0.95)
STAND_IN_WEIGHTS = (0.3, 0.15, 0.5)
# Standard errors that a part's setting must win by: the best of a hundred is flattered.
SETTING_ERRORS = 2.0
KEPT_ROWS = 20
LEAST_UNIT = 0.5  # deviations; with few normals hardly one reaches above its own mean

Option = TypeVar("Option")


@dataclass
class Sample:
    """One picture's evidence, where its content lies, and what it is."""

    evidence: Evidence
    box: Letterbox
    kind: str | None  # None for a normal
    normal: int  # index of the normal that it is or was made from


@dataclass
class Choice:
    """The decision, and per question the candidates with what they reached, best first."""

    decision: Decision
    tables: dict[str, list[dict[str, object]]]


def damage(
    images: Sequence[Tensor], seed: int, boxes: Sequence[Letterbox] | None = None
) -> list[tuple[Tensor, str]]:
    """One synthetic defect on each image (3, S, S), kinds and strengths in turn.

    boxes: where the picture lies in each; a defect in what pads it would be none.
    """
    rng = random.Random(seed)
    damaged = []
    for index, image in enumerate(images):
        kind = KINDS[index % len(KINDS)]
        strength = STRENGTHS[(index // len(KINDS)) % len(STRENGTHS)]
        changed = image.clone()
        part = boxes[index].crop(changed) if boxes else changed
        full = visible_defect(part, kind, rng)[0]
        part.copy_(part + strength * (full - part))
        damaged.append((changed, kind))
    return damaged


def choose(
    samples: list[Sample],
    more_normals: dict[str, list[Tensor]],
    kind: str,
    stand_in: bool,
    still: bool = True,
) -> Choice:
    """Each part's setting, then how the parts are fused; see `choose_part` for `still`.

    Normals among the samples are part of the statistics, so each of them, and the defect made
    from it, is judged by statistics without it. `more_normals`: further maps by part that only
    serve the statistics.
    """
    labels = np.array([s.kind is not None for s in samples])
    found = {
        name: choose_part(name, samples, more_normals.get(name, []), labels, still)
        for name in PARTS
        if name in samples[0].evidence.maps
    }
    tables = {name: choice.table for name, choice in found.items()}
    fusion = None
    if len(found) == len(PARTS):
        weights = STAND_IN_WEIGHTS if stand_in else WEIGHTS
        fusion, tables["fusion"] = _fusion([found[name].maps for name in PARTS], labels, weights)
    parts = {name: choice.part for name, choice in found.items()}
    return Choice(Decision(kind, parts, fusion), tables)


@dataclass
class PartChoice:
    """A part's setting; the samples' maps in its unit and scores (N,); the table of candidates."""

    part: Part
    maps: list[Tensor]
    scores: np.ndarray[Any, Any]
    table: list[dict[str, object]]


def choose_part(
    name: str,
    samples: list[Sample],
    more: list[Tensor],
    labels: np.ndarray[Any, Any],
    still: bool = True,
) -> PartChoice:
    """The setting of one part, by the samples; `more` normals only serve the statistics.

    `still`: a position in the maps means a place on the part; in tiles from anywhere it does not.
    """
    own = {s.normal: s.evidence.maps[name] for s in samples if s.kind is None}
    statistics = Statistics.of([*own.values(), *more])
    norms = {i: statistics.without(maps).norm() for i, maps in own.items()}
    options = candidates(samples[0].evidence.maps[name].shape[1], still)
    rows = [_scores(s.evidence.maps[name], s.box, norms[s.normal], options) for s in samples]
    scores = np.array(rows)
    setting, table = best(options, scores, labels, Setting.as_json, SETTING_ERRORS)
    maps = [s.box.crop(setting.map(s.evidence.maps[name], norms[s.normal])) for s in samples]
    peaks = [float(m.max()) for m, s in zip(maps, samples, strict=True) if s.kind is None]
    unit = max(float(np.mean(peaks)), LEAST_UNIT)
    part = Part(setting, statistics.norm(), unit)
    return PartChoice(part, [m / unit for m in maps], scores[:, options.index(setting)], table)


def _scores(maps: Tensor, box: Letterbox, norm: Norm, options: list[Setting]) -> list[float]:
    """One picture's score under every setting; what settings share is computed once."""
    deviations: dict[str, Tensor] = {}
    contents: dict[tuple[object, ...], Tensor] = {}
    scores = []
    for setting in options:
        kind = setting.normalisation
        if kind not in deviations:
            deviations[kind] = setting.deviations(maps, norm)
        key = (kind, setting.levels, setting.blur, setting.sizes)
        if key not in contents:
            contents[key] = box.crop(setting.combine(deviations[kind]))
        scores.append(setting.score(contents[key]))
    return scores


def _fusion(
    maps: list[list[Tensor]], labels: np.ndarray[Any, Any], weights: Sequence[float]
) -> tuple[Fusion, list[dict[str, object]]]:
    """By the samples' maps of both parts, each in its unit."""
    options = [Fusion(weight, how) for weight in weights for how in fusion_aggregations()]
    rows = []
    for relative in zip(*maps, strict=True):
        combined = {weight: Fusion(weight, "max").combine(*relative) for weight in weights}
        rows.append([aggregate(combined[o.weight], o.aggregation) for o in options])
    return best(options, np.array(rows), labels, Fusion.as_json)


def fusion_aggregations() -> tuple[str, ...]:
    """How a fused map may become a score, the default first."""
    default = "top0.2%"
    return (default, *(how for how in AGGREGATIONS if how not in (default, "mean")))


def best(
    options: Sequence[Option],
    scores: np.ndarray[Any, Any],
    labels: np.ndarray[Any, Any],
    as_json: Callable[[Option], dict[str, Any]],
    errors: float = 1.0,
) -> tuple[Option, list[dict[str, object]]]:
    """The option that separates best, and the table; scores: (samples, options).

    The first option is the default and stays unless another is better by `errors` standard
    errors of their difference on the same pictures: a small sample must not decide alone.
    """
    values = [auroc(scores[:, column], labels) for column in range(len(options))]
    chosen = int(np.argmax(values))
    needed = errors * paired_error(scores[:, chosen], scores[:, 0], labels)
    if values[chosen] - values[0] <= needed:
        chosen = 0
    order = sorted(range(len(options)), key=lambda i: -values[i])[:KEPT_ROWS]
    rows: list[dict[str, object]] = []
    for index in dict.fromkeys([*order, 0, chosen]):
        row: dict[str, object] = {"auroc": round(values[index], 4), **as_json(options[index])}
        rows.append(row | {"default": index == 0, "chosen": index == chosen})
    return options[chosen], rows


def paired_error(
    first: np.ndarray[Any, Any], second: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]
) -> float:
    """Standard error of the difference of two AUROCs on the same pictures (DeLong et al. 1988)."""
    normals, defects = zip(*(_placements(s, labels) for s in (first, second)), strict=True)
    variance = 0.0
    for one, other in (normals, defects):
        if len(one) > 1:
            variance += float(np.var(one - other, ddof=1)) / len(one)
    return math.sqrt(variance)


def _placements(
    scores: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """For each normal the share of defects above it, for each defect of normals below it."""
    normals, defects = scores[~labels], scores[labels]
    above = (defects[:, None] > normals[None]) + 0.5 * (defects[:, None] == normals[None])
    return above.mean(0), above.mean(1)
