"""The bare board: mask with a hint of glass weave, copper under it, vias, pads, silkscreen.

It is the same for every unit of the product and is therefore painted once per process; what
varies from board to board (registration of the silkscreen, shade, solder) is painted per unit.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from ml.data.assemblies import design
from ml.data.assemblies.dice import Dice
from ml.data.assemblies.strokes import Point, text_lines, turn
from ml.data.assemblies.surface import MARGIN, Colour, FloatMap, Surface, Window

_MASK: Colour = (0.045, 0.315, 0.165)
_COPPER_UNDER_MASK: Colour = (0.085, 0.415, 0.215)
_LAMINATE: Colour = (0.33, 0.33, 0.17)
_TIN: Colour = (0.80, 0.81, 0.82)
_GOLD: Colour = (0.93, 0.74, 0.36)
_HOLE: Colour = (0.03, 0.035, 0.03)
_INK: Colour = (0.86, 0.88, 0.83)
_COPPER_HEIGHT = 0.35
_CLEARANCE = 3.2


@dataclass(frozen=True)
class Board:
    """The painted board and the silkscreen's coverage (N, N), kept apart from it."""

    surface: Surface
    silkscreen: FloatMap


@functools.lru_cache(maxsize=2)
def bare_board(size: int) -> Board:
    """The product's bare board for pictures of `size` pixels. Copy the surface before painting."""
    surface = Surface.bare(size, _MASK)
    _paint_copper(surface)
    _paint_texture(surface)
    for x, y in design.VIAS:
        _paint_via(surface, x, y)
    for _, (x, y) in design.TEST_POINTS:
        _paint_disc(surface, x, y, 5.0, _GOLD)
    _paint_disc(surface, *design.FIDUCIAL, 5.5, _GOLD, opening=10.5)
    for site in design.SITES:
        _paint_pads(surface, site)
    return Board(surface, _silkscreen(surface))


def print_silkscreen(
    surface: Surface, ink: FloatMap, right: int, down: int, opacity: float
) -> None:
    """Print the silkscreen, out of register by whole surface pixels."""
    n = surface.pixels
    target: Window = (_overlap(n, down), _overlap(n, right))
    source: Window = (_overlap(n, -down), _overlap(n, -right))
    surface.tint(target, ink[source] * np.float32(opacity), _INK)


def _overlap(n: int, shift: int) -> slice:
    return slice(max(0, shift), n + min(0, shift))


def routed(points: Sequence[Point]) -> list[Point]:
    """A trace as a layout tool draws it: between points first diagonal, then straight."""
    line = [points[0]]
    for x, y in points[1:]:
        x0, y0 = line[-1]
        run = min(abs(x - x0), abs(y - y0))
        corner = (x0 + math.copysign(run, x - x0), y0 + math.copysign(run, y - y0))
        line += [corner, (x, y)]
    return line


def _paint_copper(surface: Surface) -> None:
    n, scale = surface.pixels, surface.scale
    stencil = Image.new("L", (n, n))
    pen = ImageDraw.Draw(stencil)

    def place(point: Point) -> tuple[int, int]:
        return math.floor((point[0] + MARGIN) * scale), math.floor((point[1] + MARGIN) * scale)

    pen.polygon([place(p) for p in design.POUR], fill=255)
    traces = [([place(p) for p in routed(points)], w) for points, w in design.TRACES]
    for line, width in traces:
        pen.line(line, fill=0, width=round((width + 2 * _CLEARANCE) * scale), joint="curve")
    for site in design.SITES:
        for number in range(len(design.PADS[site.kind])):
            x, y = design.pad_centre(site.name, number + 1)
            pen.rectangle([place((x - 12, y - 12)), place((x + 12, y + 12))], fill=0)
    for line, width in traces:
        pen.line(line, fill=255, width=round(width * scale), joint="curve")
    # the mask flows over the copper's edges: soften them
    copper = np.asarray(stencil.reduce(2).resize((n, n), Image.Resampling.BILINEAR), np.float32)
    copper = copper * np.float32(1 / 255)
    whole = (slice(0, n), slice(0, n))
    surface.tint(whole, copper, _COPPER_UNDER_MASK)
    surface.height += copper * np.float32(_COPPER_HEIGHT)


def _paint_texture(surface: Surface) -> None:
    """Glass weave that shines through the mask, and slow mottling, both within a few percent."""
    n = surface.pixels
    at = (np.arange(n, dtype=np.float32) + np.float32(0.5)) / np.float32(surface.scale)
    thread = 1 - np.abs((at / np.float32(3.4)) % 2 - 1) * 2
    thread = thread * (1.5 - np.square(thread) * 0.5)
    over = np.where((np.floor(at / 3.4)[:, None] + np.floor(at / 3.4)[None, :]) % 2 == 0, 1, -1)
    weave = over * (np.abs(thread)[:, None] - np.abs(thread)[None, :])
    dice = Dice(7, 7)
    coarse = Image.fromarray((128 + 40 * dice.noise(18, 18)).astype(np.uint8))
    mottle = np.asarray(coarse.resize((n, n), Image.Resampling.BICUBIC), np.float32) / 128 - 1
    factor = 1 + np.float32(0.05) * weave.astype(np.float32) + np.float32(0.10) * mottle
    surface.colour *= factor


def _paint_via(surface: Surface, x: float, y: float) -> None:
    patch = surface.patch(x, y, 0, 5, 5)
    ring = patch.cover(patch.disc(3.6))
    patch.lay(ring, _COPPER_UNDER_MASK, height=_COPPER_HEIGHT)
    rim = patch.cover(np.abs(patch.disc(2.2)) - np.float32(0.55))
    patch.lay(rim, _GOLD, metal=0.5, height=0.5)
    patch.lay(patch.cover(patch.disc(1.7)), _HOLE, height=-2.0, metal=0.0)


def _paint_disc(
    surface: Surface, x: float, y: float, radius: float, colour: Colour, opening: float = 0.0
) -> None:
    opening = opening or radius + 1.0
    patch = surface.patch(x, y, 0, opening + 1, opening + 1)
    patch.lay(patch.cover(patch.disc(opening)), _LAMINATE, height=-0.3)
    patch.lay(patch.cover(patch.disc(radius)), colour, height=0.3, metal=0.55)


def _paint_pads(surface: Surface, site: design.Site) -> None:
    for number, pad in enumerate(design.PADS[site.kind]):
        x, y = design.pad_centre(site.name, number + 1)
        patch = surface.patch(x, y, site.angle + pad.outward - 90, pad.half_u + 2, pad.half_v + 2)
        opening = patch.box(pad.half_u + 0.9, pad.half_v + 0.9, 1.4)
        patch.lay(patch.cover(opening), _LAMINATE, height=-0.2)
        patch.lay(patch.cover(patch.box(pad.half_u, pad.half_v, 0.8)), _TIN, height=0.3, metal=0.9)


def _silkscreen(surface: Surface) -> FloatMap:
    ink = np.zeros_like(surface.height)

    def draw(lines: list[list[Point]], width: float) -> None:
        window, cover = surface.lines(lines, width)
        np.maximum(ink[window], cover, out=ink[window])

    for site in design.SITES:
        draw(text_lines(site.name, *site.label, 6.6, 0), 1.1)
        draw(_outline(site), 0.9)
    for text, at, height in design.BOARD_TEXT:
        draw(text_lines(text, *at, height, 0), height * 0.17)
    for text, (x, y) in design.TEST_POINTS:
        draw(text_lines(text, x, y + 11, 5.0, 0), 0.9)
    return ink


def _outline(site: design.Site) -> list[list[Point]]:
    """The part's outline as printed around it, turned with the site."""
    u, v = {
        "soic": (48.5, 30.0),
        "sot": (29.0, 17.5),
        "can": (38.5, 38.5),
        "crystal": (52.5, 18.0),
        "resistor": (31.5, 14.0),
        "capacitor": (29.5, 13.5),
    }[site.kind]
    if site.kind == "soic":  # between the rows of leads; a triangle at pin 1
        lines = [[(-u, -v), (-u, v)], [(u, -v), (u, v)]]
        lines.append([(-44, 40), (-48, 45), (-40, 45), (-44, 40)])
    elif site.kind == "sot":
        lines = [[(-u, v), (-u, -v), (-9, -v)], [(u, v), (u, -v), (9, -v)]]
    elif site.kind == "can":
        lines = [[(-10, -u), (-u, -u), (-u, u - 9), (-u + 9, u), (-10, u)]]
        lines.append([(10, -u), (u, -u), (u, u - 9), (u - 9, u), (10, u)])
    else:
        lines = [[(-u, -v), (u, -v), (u, v), (-u, v), (-u, -v)]]
    cos, sin = turn(site.angle)
    return [[(site.x + cos * a - sin * b, site.y + sin * a + cos * b) for a, b in p] for p in lines]
