"""Rows beside each other: mean and deviation over seeds, paired differences over pictures."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.bench.rows import Row, Table, setting_of
from ml.metrics import auroc, recall_at_tnr

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Statistic = Callable[[FloatArray, BoolArray], float]

COLUMNS = (
    "recall_at_tnr60", "tnr", "auc", "recall_calibrated", "pixel_auroc", "aupro",
    "train_seconds", "images_per_second", "parameters",
)  # fmt: skip
PAIRS = (("fused", "memory"), ("fused", "paper"), ("paper", "paper-nossl"))
DRAWS = 2000
LEVEL = 0.95
OTHERS = (
    "{first} and {second} of {dataset} were scored on other pictures and are not compared; measure "
    "one of them again, into another --json."
)
SHARED = (
    "paper of {dataset} was trained as {trained}, which gives a part of its budget to the memory, "
    "and is not compared with paper-nossl; measure both into another --json."
)


@dataclass(frozen=True)
class Difference:
    """A difference of two methods in one figure, with the interval that resampling gives."""

    mean: float
    low: float
    high: float


def summaries(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One entry for each data set, method and setting: mean and deviation over its seeds."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        of = (row["dataset"], _content(row, rows), row["method"], *setting_of(row))
        groups.setdefault(of, []).append(row)
    return [_summary(group) for group in groups.values()]


def _content(row: Row, rows: Sequence[Row]) -> str | None:
    """Which pictures a row was measured on. Rows from before this was noted belong to the only
    ones of their data set's name, where there are no others."""
    of_name = {r["content"] for r in rows if r["dataset"] == row["dataset"] and r.get("content")}
    return row.get("content") or (of_name.pop() if len(of_name) == 1 else None)


def _summary(rows: list[Row]) -> dict[str, Any]:
    first = rows[0]
    return {
        "dataset": first["dataset"],
        "method": first["method"],
        "preset": first["preset"],
        "budget_minutes": first["budget_minutes"],
        "steps_asked": first["steps_asked"],
        "backbone": first.get("backbone"),
        "seeds": sorted(row["seed"] for row in rows),
        **{column: mean_and_deviation([row.get(column) for row in rows]) for column in COLUMNS},
    }


def mean_and_deviation(values: Sequence[float | None]) -> dict[str, float | None]:
    """Mean and sample deviation (None for fewer than two values) of the values that are there."""
    there = [v for v in values if v is not None and math.isfinite(v)]
    return {
        "mean": statistics.fmean(there) if there else None,
        "deviation": statistics.stdev(there) if len(there) > 1 else None,
    }


def paired_bootstrap(
    first: FloatArray,
    second: FloatArray,
    defects: BoolArray,
    statistic: Statistic = auroc,
    *,
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> Difference:
    """Difference statistic(first) − statistic(second), averaged over seeds, with its interval.

    first, second: (seeds, N) scores of the same N pictures, `defects` (N,). Each draw resamples
    the pictures, normals and defects apart, and takes the same ones for both methods and all
    seeds: what is common to both cancels. Raises ValueError where the shapes do not pair up.
    """
    if first.shape != second.shape or first.ndim != 2 or first.shape[1:] != defects.shape:
        raise ValueError(f"{first.shape}, {second.shape} and {defects.shape} do not pair up")
    rng = np.random.default_rng(seed)
    groups = np.flatnonzero(defects), np.flatnonzero(~defects)
    drawn = np.empty(draws)
    for i in range(draws):
        index = np.concatenate([rng.choice(group, group.size) for group in groups])
        drawn[i] = _difference(first[:, index], second[:, index], defects[index], statistic)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Difference(_difference(first, second, defects, statistic), float(low), float(high))


def _difference(a: FloatArray, b: FloatArray, defects: BoolArray, statistic: Statistic) -> float:
    return float(
        np.mean([statistic(x, defects) - statistic(y, defects) for x, y in zip(a, b, strict=True)])
    )


def recall_at_tnr60(scores: FloatArray, defects: BoolArray) -> float:
    """Recall at the protocol's operating point, as a statistic to resample."""
    return recall_at_tnr(scores, defects).recall


def paired_differences(
    table: Table, rows: Sequence[Row], warn: Callable[[str], object] | None = None
) -> list[dict[str, Any]]:
    """Every pair of `PAIRS` that the rows hold, for each data set and setting.

    A pair that was scored on other pictures is left out, which is told to `warn`.
    """
    found = []
    kinds = [(r["dataset"], _content(r, rows), setting_of(r)) for r in rows]
    for kind in dict.fromkeys(kinds):
        here = [r for r, of in zip(rows, kinds, strict=True) if of == kind]
        for pair in PAIRS:
            by_seed = [{r["seed"]: r for r in here if r["method"] == method} for method in pair]
            seeds = sorted(set(by_seed[0]) & set(by_seed[1]))
            trained = {one.get("trained_as", "paper") for one in by_seed[0].values()}
            if seeds and pair[1] == "paper-nossl" and trained != {"paper"}:
                if warn:
                    warn(SHARED.format(dataset=kind[0], trained=" or ".join(sorted(trained))))
                continue
            if seeds:
                rows_of = [[one[seed] for seed in seeds] for one in by_seed]
                compared = _compare(table, pair, rows_of, seeds)
                if compared:
                    found.append(compared)
                elif warn:
                    warn(OTHERS.format(first=pair[0], second=pair[1], dataset=kind[0]))
    return found


def _compare(
    table: Table, pair: tuple[str, str], rows: list[list[Row]], seeds: list[int]
) -> dict[str, Any] | None:
    """One pair, or None where the two were not scored on the same pictures."""
    first, second = ([table.scores(row) for row in side] for side in rows)
    names = first[0].names
    if any(one.names != names for one in (*first, *second)):
        return None
    a, b = (np.stack([one.scores for one in side]) for side in (first, second))
    defects = first[0].defects
    one = rows[0][0]
    return {
        "dataset": one["dataset"],
        "preset": one["preset"],
        "budget_minutes": one["budget_minutes"],
        "steps_asked": one["steps_asked"],
        "backbone": one.get("backbone"),
        "pair": f"{pair[0]} − {pair[1]}",
        "seeds": seeds,
        "draws": DRAWS,
        "auc": asdict(paired_bootstrap(a, b, defects, draws=DRAWS)),
        "recall_at_tnr60": asdict(paired_bootstrap(a, b, defects, recall_at_tnr60, draws=DRAWS)),
    }
