"""One assembled unit: everything that differs from one good board to the next, as plain data.

A defect is a change to this data (`defects.py`); the renderer does not know good from bad.
"""

from __future__ import annotations

from dataclasses import dataclass

from ml.data.assemblies.design import PADS, SITES, SOIC_PINS, Site
from ml.data.assemblies.dice import Dice
from ml.data.assemblies.light import Camera, Light
from ml.data.assemblies.strokes import Point

_LOT_LETTERS = "ABCDEFGHKLMNPRSTUVWXYZ"
_DIGITS = "0123456789"
# What the placement machine is allowed, in units and degrees (standard deviations).
_PLACEMENT, _TURN = 0.45, 0.5


@dataclass(frozen=True)
class Lead:
    """`bend`: how far the foot stands aside, in units; `length`: the share that is left."""

    bend: float = 0.0
    length: float = 1.0


@dataclass(frozen=True)
class Part:
    """A part as placed: offset from its site in units and degrees, and its looks."""

    site: Site
    dx: float
    dy: float
    dangle: float
    shade: float  # factor on the body's colour
    ink: float  # opacity of the marking
    lot: str
    leads: tuple[Lead, ...]
    solder: tuple[float, ...]  # amount on each pad, 1 = as planned
    present: bool = True


@dataclass(frozen=True)
class Bridge:
    """Solder between two points that should be apart."""

    start: Point
    end: Point
    width: float


@dataclass(frozen=True)
class Scratch:
    """A gouge along points; `depth` 0..1 is how much of the mask is gone."""

    points: tuple[Point, ...]
    width: float
    depth: float


@dataclass(frozen=True)
class Stain:
    """Dried residue around (x, y): mean radius, and how each of its lobes deviates from it."""

    x: float
    y: float
    radius: float
    lobes: tuple[float, ...]
    strength: float


@dataclass(frozen=True)
class Dust:
    """A speck, or a fibre where `length` > 0. Harmless: it lies on good boards too."""

    x: float
    y: float
    radius: float
    length: float
    angle: float
    tone: float
    opacity: float


@dataclass(frozen=True)
class Unit:
    """A board with its parts, what lies on it, and how it was photographed."""

    parts: tuple[Part, ...]
    dust: tuple[Dust, ...]
    shade: tuple[float, float, float]  # factors on the board's colour
    ink_shift: Point  # silkscreen out of register, in units
    ink: float
    light: Light
    camera: Camera
    bridges: tuple[Bridge, ...] = ()
    scratches: tuple[Scratch, ...] = ()
    stains: tuple[Stain, ...] = ()


def good_unit(*seed: int) -> Unit:
    """A good unit. The same seed gives the same unit."""
    dice = Dice(*seed)
    tone = dice.bell(0.045)
    return Unit(
        parts=tuple(_part(site, dice) for site in SITES),
        dust=tuple(_dust(dice) for _ in range(dice.count(0, 4))),
        shade=(1 + tone + dice.bell(0.04), 1 + tone, 1 + tone + dice.bell(0.04)),
        ink_shift=(dice.bell(0.4), dice.bell(0.4)),
        ink=dice.between(0.72, 0.95),
        light=_light(dice),
        camera=Camera(
            shift=(dice.between(-3, 3), dice.between(-3, 3)),
            angle=dice.between(-1.5, 1.5),
            blur=dice.between(0.05, 0.14),
            noise=dice.between(1.5, 3.0),
            noise_seed=(*seed, 1),
        ),
    )


def _part(site: Site, dice: Dice) -> Part:
    return Part(
        site=site,
        dx=dice.bell(_PLACEMENT),
        dy=dice.bell(_PLACEMENT),
        dangle=dice.bell(_TURN),
        shade=1 + dice.bell(0.09),
        ink=dice.between(0.62, 0.92),
        lot=dice.letters(_DIGITS, 4)
        + " "
        + dice.letters(_LOT_LETTERS, 2)
        + dice.letters(_DIGITS, 1),
        leads=tuple(Lead(bend=dice.bell(0.25)) for _ in range(SOIC_PINS)),
        solder=tuple(1 + dice.bell(0.16) for _ in PADS[site.kind]),
    )


def _light(dice: Dice) -> Light:
    gain = 1 + dice.bell(0.08)
    return Light(
        azimuth=-128 + dice.bell(8),
        gain=gain,
        cast=(1 + dice.bell(0.03), 1.0, 1 + dice.bell(0.03)),
        slope=(dice.bell(0.06), dice.bell(0.06)),
        falloff=dice.between(0.08, 0.20),
    )


def _dust(dice: Dice) -> Dust:
    fibre = dice.chance(0.2)
    return Dust(
        x=dice.between(4, 252),
        y=dice.between(4, 252),
        radius=dice.between(0.25, 0.4) if fibre else dice.between(0.45, 1.0),
        length=dice.between(3, 8) if fibre else 0.0,
        angle=dice.between(0, 180),
        tone=dice.choice((0.85, 0.75, 0.12)),
        opacity=dice.between(0.4, 0.8),
    )
