"""Defects: changes to a good unit, and the mask of what they change in the picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ml.data.assemblies.design import PADS, SOIC_PINS, pad_centre
from ml.data.assemblies.dice import Dice
from ml.data.assemblies.strokes import Point, turn
from ml.data.assemblies.unit import Bridge, Lead, Part, Scratch, Stain, Unit
from ml.metrics import label_regions

# Grey levels by which a pixel must change to belong to the defect, and the gap that is closed.
_VISIBLE, _GAP = 12, 2

Change = Callable[[Unit, Dice], Unit]


def _with_part(unit: Unit, index: int, part: Part) -> Unit:
    return replace(unit, parts=(*unit.parts[:index], part, *unit.parts[index + 1 :]))


def _pick(unit: Unit, dice: Dice, kinds: tuple[str, ...]) -> int:
    return dice.choice([i for i, part in enumerate(unit.parts) if part.site.kind in kinds])


def _sign(dice: Dice) -> float:
    return 1.0 if dice.chance(0.5) else -1.0


def missing_part(unit: Unit, dice: Dice) -> Unit:
    """A site with solder and no part."""
    index = _pick(unit, dice, ("resistor", "capacitor", "sot", "crystal", "can"))
    return _with_part(unit, index, replace(unit.parts[index], present=False))


def shifted_part(unit: Unit, dice: Dice) -> Unit:
    """A part five times beyond the placement tolerance and more."""
    index = _pick(unit, dice, ("resistor", "capacitor", "sot"))
    cos, sin = turn(dice.between(0, 360))
    distance = dice.between(6.0, 11.0)
    part = unit.parts[index]
    return _with_part(unit, index, replace(part, dx=cos * distance, dy=sin * distance))


def rotated_part(unit: Unit, dice: Dice) -> Unit:
    """A part that stands askew."""
    index = _pick(unit, dice, ("resistor", "capacitor", "sot", "crystal"))
    part = unit.parts[index]
    angle = dice.between(7, 12) if part.site.kind == "crystal" else dice.between(12, 28)
    return _with_part(unit, index, replace(part, dangle=_sign(dice) * angle))


def _with_lead(unit: Unit, dice: Dice, change: Callable[[str], Lead]) -> Unit:
    index = _pick(unit, dice, ("soic", "soic", "sot"))
    part = unit.parts[index]
    number = dice.count(0, len(PADS[part.site.kind]) - 1)
    leads = list(part.leads)
    leads[number] = change(part.site.kind)
    return _with_part(unit, index, replace(part, leads=tuple(leads)))


def bent_lead(unit: Unit, dice: Dice) -> Unit:
    """A lead whose foot stands beside its pad."""
    reach = {"soic": (6.5, 9.5), "sot": (7.5, 11.0)}
    return _with_lead(unit, dice, lambda kind: Lead(_sign(dice) * dice.between(*reach[kind])))


def cut_lead(unit: Unit, dice: Dice) -> Unit:
    """A lead that ends before its pad."""
    return _with_lead(unit, dice, lambda _: Lead(length=dice.between(0.12, 0.45)))


def solder_bridge(unit: Unit, dice: Dice) -> Unit:
    """Solder between two neighbouring leads of the chip."""
    row = dice.choice((0, SOIC_PINS // 2))
    first = row + dice.count(1, SOIC_PINS // 2 - 1)
    drop = dice.between(-3.5, 5.0) * (1.0 if row == 0 else -1.0)
    (x0, y0), (x1, y1) = pad_centre("U3", first), pad_centre("U3", first + 1)
    skew = dice.bell(1.2)
    bridge = Bridge((x0, y0 + drop), (x1, y1 + drop + skew), dice.between(2.6, 4.4))
    return replace(unit, bridges=(bridge,))


def scratch(unit: Unit, dice: Dice) -> Unit:
    """One gouge, nearly straight, across whatever lies there."""
    heading, bend = dice.between(0, 360), dice.bell(1.6)
    points: list[Point] = [(dice.between(60, 196), dice.between(60, 196))]
    for _ in range(dice.count(7, 15)):
        cos, sin = turn(heading)
        x, y = points[-1]
        points.append((x + 6 * cos, y + 6 * sin))
        heading += bend + dice.bell(2.0)
    mark = Scratch(tuple(points), dice.between(1.2, 2.1), dice.between(0.60, 0.95))
    return replace(unit, scratches=(mark,))


def stain(unit: Unit, dice: Dice) -> Unit:
    """One patch of dried residue."""
    mark = Stain(
        x=dice.between(30, 226),
        y=dice.between(30, 226),
        radius=dice.between(10, 21),
        lobes=tuple(dice.bell(0.11) for _ in range(6)),
        strength=dice.between(0.5, 0.85),
    )
    return replace(unit, stains=(mark,))


DEFECTS: dict[str, Change] = {
    change.__name__: change
    for change in (
        missing_part,
        shifted_part,
        rotated_part,
        bent_lead,
        cut_lead,
        solder_bridge,
        scratch,
        stain,
    )
}
KINDS: tuple[str, ...] = tuple(DEFECTS)


def difference_mask(good: NDArray[np.uint8], bad: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where two pictures of one unit, without noise, differ visibly: (H, W), holes filled.

    Old and new place of a part belong to it, and so does a shadow that has moved.
    """
    changed = np.abs(good.astype(np.int16) - bad).max(axis=2) > _VISIBLE
    return _eroded(_filled(_dilated(changed, _GAP)), _GAP)


def _dilated(mask: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    n, m = mask.shape
    padded = np.pad(mask, radius)
    steps = range(2 * radius + 1)
    rows: NDArray[np.bool_] = np.logical_or.reduce([padded[i : i + n] for i in steps])
    result: NDArray[np.bool_] = np.logical_or.reduce([rows[:, i : i + m] for i in steps])
    return result


def _eroded(mask: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    return ~_dilated(~mask, radius)


def _filled(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Close the holes: background that does not reach the picture's edge."""
    labels, _ = label_regions(~mask)
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    return ~np.isin(labels, edge[edge > 0])
