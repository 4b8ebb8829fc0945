"""What a training run wrote down step by step, thinned to what a screen or a program needs."""

from typing import Any

from inspection.models import RunMetric, TrainingRun

MAX_POINTS = 2000


def curves(run: TrainingRun, stage: str = "", after: int = -1) -> dict[str, Any]:
    """`{stage: {steps: […], values: {name: […]}}}`; with `stage` only that one, from the step
    after `after`."""
    rows = RunMetric.objects.filter(run=run).order_by("stage", "step")
    if stage:
        rows = rows.filter(stage=stage, step__gt=after)
    found: dict[str, dict[str, Any]] = {}
    for name, step, values in rows.values_list("stage", "step", "values").iterator():
        curve = found.setdefault(name, {"steps": [], "rows": []})
        curve["steps"].append(step)
        curve["rows"].append(values)
    return {name: _thinned(curve) for name, curve in found.items()}


def _thinned(curve: dict[str, Any]) -> dict[str, Any]:
    """Every n-th step, and always the last."""
    every = max(1, len(curve["steps"]) // MAX_POINTS)
    last = len(curve["steps"]) - 1
    chosen = [i for i in range(last + 1) if i % every == 0 or i == last]
    names = sorted({name for row in curve["rows"] for name in row})
    return {
        "steps": [curve["steps"][i] for i in chosen],
        "values": {name: [curve["rows"][i].get(name) for i in chosen] for name in names},
    }
