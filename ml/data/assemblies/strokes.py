"""A stroke font, as laser markers and silkscreens use: no font file, the same everywhere.

A glyph is polylines on a grid 4 wide and 6 high, y downwards; "06" is the point x=0, y=6.
"""

from __future__ import annotations

import math

Point = tuple[float, float]

_GLYPHS = {
    "0": "10 30 41 45 36 16 05 01 10|14 32",
    "1": "02 20 26|06 46",
    "2": "01 10 30 41 42 06 46",
    "3": "00 40 22 32 43 45 36 16 05",
    "4": "36 30 04 44",
    "5": "40 00 02 32 43 45 36 06",
    "6": "40 20 02 05 16 36 45 43 32 02",
    "7": "00 40 26",
    "8": "10 30 41 42 33 13 04 05 16 36 45 44 33|13 02 01 10",
    "9": "43 13 02 01 10 30 41 43 26",
    "A": "06 02 20 42 46|04 44",
    "B": "00 06 36 45 44 33 03|33 42 41 30 00",
    "C": "41 30 10 01 05 16 36 45",
    "D": "00 06 26 44 42 20 00",
    "E": "40 00 06 46|03 33",
    "F": "40 00 06|03 33",
    "G": "41 30 10 01 05 16 36 45 43 23",
    "H": "00 06|40 46|03 43",
    "I": "10 30|20 26|16 36",
    "J": "40 45 36 16 05",
    "K": "00 06|40 03 46",
    "L": "00 06 46",
    "M": "06 00 23 40 46",
    "N": "06 00 46 40",
    "O": "10 30 41 45 36 16 05 01 10",
    "P": "06 00 30 41 42 33 03",
    "Q": "10 30 41 45 36 16 05 01 10|24 46",
    "R": "06 00 30 41 42 33 03|23 46",
    "S": "41 30 10 01 02 13 33 44 45 36 16 05",
    "T": "00 40|20 26",
    "U": "00 05 16 36 45 40",
    "V": "00 26 40",
    "W": "00 16 23 36 40",
    "X": "00 46|40 06",
    "Y": "00 23 40|23 26",
    "Z": "00 40 06 46",
    "-": "13 33",
    "+": "13 33|22 24",
    ".": "25 26",
    "/": "06 40",
    " ": "",
}
_WIDTH, _HEIGHT, _ADVANCE = 4.0, 6.0, 5.6


def turn(angle: float) -> Point:
    """Cosine and sine of an angle in degrees.

    Rounded, since the last bit of the C library's functions differs between platforms.
    """
    radians = math.radians(angle)
    return round(math.cos(radians), 9), round(math.sin(radians), 9)


def text_lines(text: str, x: float, y: float, height: float, angle: float) -> list[list[Point]]:
    """Polylines of `text` centred at (x, y), capitals `height` high, turned by `angle` degrees."""
    scale = height / _HEIGHT
    cos, sin = turn(angle)
    left = -(_ADVANCE * (len(text) - 1) + _WIDTH) / 2
    lines = []
    for i, letter in enumerate(text):
        for stroke in filter(None, _GLYPHS[letter].split("|")):
            points = [
                ((left + i * _ADVANCE + int(p[0])) * scale, (int(p[1]) - _HEIGHT / 2) * scale)
                for p in stroke.split()
            ]
            lines.append([(x + cos * u - sin * v, y + sin * u + cos * v) for u, v in points])
    return lines
