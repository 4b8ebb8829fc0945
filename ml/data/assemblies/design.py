"""The product: one small sensor board, its footprints, sites and traces. Lengths in units."""

from __future__ import annotations

from dataclasses import dataclass

from ml.data.assemblies.strokes import Point, turn


@dataclass(frozen=True)
class Pad:
    """A solder pad relative to its part: centre, half sides (across, along), and the direction
    in degrees that points away from the part."""

    x: float
    y: float
    half_u: float
    half_v: float
    outward: float


@dataclass(frozen=True)
class Site:
    """Where the design puts a part. `marking`: what is always printed on it."""

    name: str
    kind: str
    x: float
    y: float
    angle: float
    label: Point
    marking: str = ""


# Half sides of the bodies; a can is square, with a round top.
SOIC_PITCH = 22.0
SOIC_HALF = (45.0, 27.0)
SOIC_PINS = 8
SOT_HALF = (26.0, 15.0)
CAN_HALF = 36.0
CRYSTAL_HALF = (40.0, 14.5)
CHIP_HALF = {"resistor": (19.5, 10.5), "capacitor": (17.5, 10.0)}

# Pads of leads lie along v, so "outward" is up (−90°) or down (90°).
_UP, _DOWN, _LEFT, _RIGHT = -90.0, 90.0, 180.0, 0.0


def _soic_pads() -> tuple[Pad, ...]:
    half = SOIC_PINS // 2
    xs = [(i - (half - 1) / 2) * SOIC_PITCH for i in range(half)]
    bottom = [Pad(x, 42.5, 4.8, 8.5, _DOWN) for x in xs]
    top = [Pad(x, -42.5, 4.8, 8.5, _UP) for x in reversed(xs)]
    return (*bottom, *top)


def _end_pads(x: float, half_u: float, half_v: float) -> tuple[Pad, ...]:
    return Pad(-x, 0, half_v, half_u, _LEFT), Pad(x, 0, half_v, half_u, _RIGHT)


PADS: dict[str, tuple[Pad, ...]] = {
    "soic": _soic_pads(),
    "sot": (
        Pad(-16, 27.0, 5.8, 8.0, _DOWN),
        Pad(16, 27.0, 5.8, 8.0, _DOWN),
        Pad(0, -27.0, 5.8, 8.0, _UP),
    ),
    "resistor": _end_pads(20.5, 8.0, 11.0),
    "capacitor": _end_pads(18.5, 8.0, 10.5),
    "can": (Pad(0, 41, 6.5, 8.5, _DOWN), Pad(0, -41, 6.5, 8.5, _UP)),
    "crystal": (Pad(-43, 0, 5.5, 7.0, _LEFT), Pad(43, 0, 5.5, 7.0, _RIGHT)),
}

SITES: tuple[Site, ...] = (
    Site("U3", "soic", 74, 88, 0, (17, 62), "KX7480"),
    Site("Q1", "sot", 208, 58, 0, (172, 30), "1AM"),
    Site("C5", "can", 208, 184, 0, (160, 142), "47"),
    Site("R12", "resistor", 44, 174, 0, (28, 154), "103"),
    Site("C3", "capacitor", 118, 174, 0, (104, 154)),
    Site("R15", "resistor", 147, 92, 90, (147, 54), "220"),
    Site("R16", "resistor", 208, 114, 0, (226, 138), "332"),
    Site("Y1", "crystal", 57, 228, 0, (34, 204), "16.000"),
    Site("C6", "capacitor", 139, 229, 0, (126, 209)),
)
SITE = {site.name: site for site in SITES}

VIAS: tuple[Point, ...] = (
    (14, 100), (126, 134), (84, 158), (14, 204), (154, 200), (80, 198), (246, 84), (168, 14),
    (134, 34), (248, 150), (176, 80), (118, 196), (16, 40), (60, 10), (176, 238),
)  # fmt: skip
TEST_POINTS: tuple[tuple[str, Point], ...] = (("TP1", (246, 220)),)
FIDUCIAL: Point = (236, 20)
BOARD_TEXT: tuple[tuple[str, Point, float], ...] = (
    ("KINTSUGI AX-7", (74, 22), 8.5),
    ("REV C", (216, 247), 6.0),
)


def pad_centre(name: str, number: int) -> Point:
    """Where pad `number` (from 1) of a site lies on the board."""
    site = SITE[name]
    pad = PADS[site.kind][number - 1]
    cos, sin = turn(site.angle)
    return site.x + cos * pad.x - sin * pad.y, site.y + sin * pad.x + cos * pad.y


def _pin(name: str, number: int) -> Point:
    return pad_centre(name, number)


# Each trace: points joined by a diagonal and then a straight run (see `board.routed`), and width.
TRACES: tuple[tuple[tuple[Point, ...], float], ...] = (
    ((_pin("U3", 1), (41, 146), (14, 160), _pin("R12", 1)), 3.0),
    ((_pin("U3", 2), (63, 146), _pin("R12", 2)), 2.6),
    ((_pin("U3", 3), (85, 140), (84, 158), (84, 176), _pin("C3", 1)), 2.6),
    ((_pin("U3", 4), (126, 134), (136, 144), _pin("C3", 2)), 2.6),
    ((_pin("U3", 5), (134, 34), (147, 44), _pin("R15", 1)), 2.6),
    ((_pin("U3", 6), (90, 34), (136, 8), (168, 14)), 2.6),
    ((_pin("U3", 7), (60, 34), (60, 10)), 2.6),
    ((_pin("U3", 8), (16, 44), (16, 40)), 2.6),
    (((16, 40), (14, 100), (14, 204), _pin("Y1", 1)), 2.6),
    ((_pin("R12", 2), (80, 198), _pin("Y1", 2)), 2.6),
    ((_pin("C3", 2), (154, 200), _pin("C6", 2)), 2.6),
    (((118, 196), _pin("C6", 1)), 2.6),
    ((_pin("R15", 2), (160, 126), _pin("R16", 1)), 2.6),
    ((_pin("R15", 1), (176, 80), _pin("Q1", 1)), 2.6),
    ((_pin("Q1", 2), (246, 84), (246, 100), _pin("R16", 2)), 3.2),
    ((_pin("Q1", 3), (190, 14), (168, 14)), 3.2),
    ((_pin("R16", 2), (248, 150), (248, 200), (246, 220)), 2.6),
    ((_pin("C5", 2), (208, 132), _pin("R16", 1)), 4.5),
    ((_pin("C5", 1), (176, 238), _pin("C6", 2)), 4.5),
)
# A copper area under the mask, kept clear of what it does not connect to.
POUR: tuple[Point, ...] = (
    (158, 128), (256, 128), (268, 134), (268, 268), (106, 268), (106, 248), (158, 196),
)  # fmt: skip
