"""How a run chose its setting: what every candidate reached, and which one was taken."""

from dataclasses import dataclass
from typing import Any

from . import words

ABOUT = ("auroc", "default", "chosen")  # of a row; everything else in it is the setting
LEFT, RIGHT = 2.0, 98.0  # per cent of the width between which candidates are drawn
NARROWEST = 0.02  # AUROC; a narrower field would make noise look like a choice


@dataclass(frozen=True)
class Candidate:
    """One row. `place` is per cent of the width, `line` counts from the best."""

    line: int
    auroc: float
    place: float
    setting: str
    taken: bool
    default: bool

    @property
    def y(self) -> int:
        return 8 + 10 * self.line


@dataclass(frozen=True)
class Choice:
    """One table of a manifest, best first."""

    title: str
    candidates: list[Candidate]
    low: float
    high: float

    @property
    def height(self) -> int:
        return 16 + 10 * len(self.candidates)

    @property
    def taken(self) -> Candidate | None:
        return next((one for one in self.candidates if one.taken), None)


def choices(manifest: dict[str, Any]) -> list[Choice]:
    """The tables of a manifest; none where the run wrote none."""
    tables = manifest.get("choice")
    if not isinstance(tables, dict):
        rows = tables or manifest.get("aggregation_candidates") or []
        tables = {"setting": _marked(rows, manifest.get("aggregation"))}
    found = [_choice(name, rows) for name, rows in tables.items()]
    return [choice for choice in found if choice]


def _marked(rows: Any, taken: Any) -> list[dict[str, Any]]:
    """Rows that do not say themselves which one was taken, told by the setting that was."""
    known = [dict(row) for row in rows if isinstance(row, dict)]
    for row in known:
        setting = {key: value for key, value in row.items() if key not in ABOUT}
        row.setdefault("chosen", setting == taken)
    return known


def _choice(name: str, rows: Any) -> Choice | None:
    """None where there was nothing to choose between."""
    usable = [row for row in _rows(rows) if isinstance(row.get("auroc"), (int, float))]
    usable = list({_setting(row): row for row in reversed(usable)}.values())
    usable.sort(key=lambda row: -float(row["auroc"]))
    if not usable:
        return None
    values = [float(row["auroc"]) for row in usable]
    high, low = max(values), min(min(values), max(values) - NARROWEST)
    scale = (RIGHT - LEFT) / (high - low)
    candidates = [
        Candidate(
            line=line,
            auroc=value,
            place=round(LEFT + (value - low) * scale, 2),
            setting=_setting(row),
            taken=bool(row.get("chosen")),
            default=bool(row.get("default")),
        )
        for line, (row, value) in enumerate(zip(usable, values, strict=True))
    ]
    title = words.CHOICES.get(name, name.replace("_", " ").capitalize())
    return Choice(str(title), candidates, low, high)


def _rows(rows: Any) -> list[dict[str, Any]]:
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _setting(row: dict[str, Any]) -> str:
    """`levels 0, 1 · blur 0.012 · …`: every part of a setting with its name."""
    parts = [
        f"{key.replace('_', ' ')} {_value(value)}" for key, value in row.items() if key not in ABOUT
    ]
    return " · ".join(parts)


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
