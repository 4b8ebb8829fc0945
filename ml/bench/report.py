"""The table for people: Table I's columns and what a plant asks for beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ml.features import EncoderFeatures

COLUMNS = {
    "recall_at_tnr60": ("Recall", 3),
    "tnr": ("TNR", 3),
    "auc": ("AUC", 3),
    "recall_calibrated": ("Recall cal.", 3),
    "pixel_auroc": ("Pixel AUROC", 3),
    "aupro": ("AUPRO", 3),
    "train_seconds": ("Train s", 0),
    "images_per_second": ("Images/s", 2),
    "parameters": ("Parameters", 0),
}
NOTE = (
    "Recall and TNR: a defect scores above the ⌈0.60·n⌉-th smallest score of the n test normals "
    "(the paper's operating point as far as it can be read). Recall cal.: above the threshold "
    "calibrated on held-out training normals."
)


def table(summaries: Sequence[dict[str, Any]]) -> str:
    """One line for each data set, method and setting: mean ± deviation over seeds."""
    head = ["Data set", "Method", "Setting", "Seeds", *(title for title, _ in COLUMNS.values())]
    rows = [
        [
            one["dataset"],
            one["method"],
            setting(one),
            str(len(one["seeds"])),
            *(figure(one[key], digits) for key, (_, digits) in COLUMNS.items()),
        ]
        for one in summaries
    ]
    return f"{aligned([head, *rows])}\n{NOTE}"


def setting(one: dict[str, Any]) -> str:
    """Preset, how long was trained, and whose features judge."""
    budget = one["budget_minutes"]
    length = f"{budget:g} min" if budget is not None else f"{one['steps_asked']} steps"
    backbone = one.get("backbone")
    judge = f"{backbone} (stand-in)" if backbone == EncoderFeatures.name else backbone
    return ", ".join(part for part in (one["preset"], length, judge) if part)


def figure(value: dict[str, float | None], digits: int) -> str:
    """`mean ± deviation`, the mean alone for one seed, a dash for no figure."""
    mean, deviation = value["mean"], value["deviation"]
    if mean is None:
        return "–"
    shown = f"{mean:,.{digits}f}"
    return shown if deviation is None else f"{shown} ± {deviation:.{digits}f}"


def pairs(differences: Sequence[dict[str, Any]]) -> str:
    """The paired differences with their intervals."""
    head = ["Data set", "Pair", "Setting", "Seeds", "AUC", "Recall at TNR 0.60"]
    rows = [
        [
            one["dataset"],
            one["pair"],
            setting(one),
            str(len(one["seeds"])),
            *(interval(one[key]) for key in ("auc", "recall_at_tnr60")),
        ]
        for one in differences
    ]
    draws = differences[0]["draws"] if differences else 0
    note = f"Intervals: 95 %, {draws:,} draws of the pictures, the same for both methods."
    return f"{aligned([head, *rows])}\n{note}" if rows else ""


def interval(value: dict[str, float]) -> str:
    """`+0.012 [−0.003, +0.027]`."""
    mean, low, high = (f"{value[k]:+.3f}".replace("-", "−") for k in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns of equal width."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
