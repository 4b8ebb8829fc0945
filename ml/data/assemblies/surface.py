"""The surface that is painted: per pixel its own colour, height above the board and metal share.

Parts paint these maps and know nothing of light; `light.py` turns the maps into a picture. So a
shadow, a highlight or a defect follows from the shape, as it does under a camera.

Lengths are in *units*: a picture is 256 units wide whatever its size in pixels; a margin lies
around it, so that a shifted or turned view still shows board at its edges.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ml.data.assemblies.strokes import Point, text_lines, turn

FloatMap = NDArray[np.float32]
Colour = tuple[float, float, float]
Window = tuple[slice, slice]

PICTURE = 256.0
MARGIN = 12.0
SUPERSAMPLING = 3


@dataclass
class Surface:
    """`colour` (3, N, N) in 0..1; `height` (N, N) in units; `metal` (N, N), 0 dull to 1 tin."""

    scale: float  # surface pixels per unit
    colour: FloatMap
    height: FloatMap
    metal: FloatMap

    @classmethod
    def bare(cls, size: int, colour: Colour) -> Surface:
        """An even board for pictures of `size` pixels."""
        scale = size * SUPERSAMPLING / PICTURE
        n = round((PICTURE + 2 * MARGIN) * scale)
        ground = np.empty((3, n, n), np.float32)
        ground[:] = np.asarray(colour, np.float32)[:, None, None]
        return cls(scale, ground, np.zeros((n, n), np.float32), np.zeros((n, n), np.float32))

    @property
    def pixels(self) -> int:
        return int(self.height.shape[0])

    def copy(self) -> Surface:
        return Surface(self.scale, self.colour.copy(), self.height.copy(), self.metal.copy())

    def patch(self, x: float, y: float, angle: float, half_u: float, half_v: float) -> Patch:
        """The pixels around (x, y) that a box of these half sides, turned by `angle`, may touch."""
        cos, sin = turn(angle)
        reach_x = abs(cos) * half_u + abs(sin) * half_v + 1
        reach_y = abs(sin) * half_u + abs(cos) * half_v + 1
        columns = self._range(x - reach_x, x + reach_x)
        rows = self._range(y - reach_y, y + reach_y)
        dx = ((np.arange(columns.start, columns.stop) + 0.5) / self.scale - MARGIN - x)[None, :]
        dy = ((np.arange(rows.start, rows.stop) + 0.5) / self.scale - MARGIN - y)[:, None]
        u = (cos * dx + sin * dy).astype(np.float32)
        v = (cos * dy - sin * dx).astype(np.float32)
        return Patch(self, (rows, columns), u, v)

    def lines(self, lines: Sequence[Sequence[Point]], width: float) -> tuple[Window, FloatMap]:
        """Coverage (0 or 1) of polylines `width` units wide, and the window it belongs to."""
        xs = [x for line in lines for x, _ in line]
        ys = [y for line in lines for _, y in line]
        columns = self._range(min(xs) - width - 1, max(xs) + width + 1)
        rows = self._range(min(ys) - width - 1, max(ys) + width + 1)
        stencil = Image.new("L", (columns.stop - columns.start, rows.stop - rows.start))
        pen = ImageDraw.Draw(stencil)
        for line in lines:
            points = [
                (
                    math.floor((x + MARGIN) * self.scale) - columns.start,
                    math.floor((y + MARGIN) * self.scale) - rows.start,
                )
                for x, y in line
            ]
            pen.line(points, fill=1, width=max(1, round(width * self.scale)), joint="curve")
        return (rows, columns), np.asarray(stencil, np.float32)

    def write(
        self,
        text: str,
        at: Point,
        height: float,
        angle: float,
        colour: Colour,
        *,
        weight: float = 0.16,
        opacity: float = 1.0,
    ) -> None:
        """Print `text` centred at a point; `weight` is the pen's width as a share of the height."""
        window, ink = self.lines(text_lines(text, *at, height, angle), height * weight)
        self.tint(window, ink * np.float32(opacity), colour)

    def tint(self, window: Window, cover: FloatMap, colour: Colour) -> None:
        """Colour without shape: ink, stains. `cover` (h, w) in 0..1."""
        for channel, value in zip(self.colour, colour, strict=True):
            area = channel[window]
            area += cover * (np.float32(value) - area)

    def _range(self, low: float, high: float) -> slice:
        first = math.floor((low + MARGIN) * self.scale)
        last = math.ceil((high + MARGIN) * self.scale)
        n = self.pixels
        return slice(min(max(first, 0), n - 1), min(max(last, 1), n))


@dataclass
class Patch:
    """A window of a surface with local coordinates `u`, `v` (h, w) in units from its centre."""

    surface: Surface
    window: Window
    u: FloatMap
    v: FloatMap

    def box(self, half_u: float, half_v: float, radius: float = 0.0) -> FloatMap:
        """Signed distance to a box with rounded corners, negative inside."""
        du = np.abs(self.u) - np.float32(half_u - radius)
        dv = np.abs(self.v) - np.float32(half_v - radius)
        outside = np.sqrt(np.square(np.maximum(du, 0)) + np.square(np.maximum(dv, 0)))
        return outside + np.minimum(np.maximum(du, dv), 0) - np.float32(radius)

    def disc(self, radius: float) -> FloatMap:
        """Signed distance to a circle, negative inside."""
        return np.sqrt(np.square(self.u) + np.square(self.v)) - np.float32(radius)

    def cover(self, distance: FloatMap) -> FloatMap:
        """Share of each pixel that lies inside, from the signed distance."""
        return np.clip(0.5 - distance * np.float32(self.surface.scale), 0, 1)

    def lay(
        self,
        cover: FloatMap,
        colour: Colour | FloatMap,
        *,
        height: float | FloatMap | None = None,
        metal: float | None = None,
    ) -> None:
        """Paint where `cover` says: a colour (or (3, h, w)), and a shape and metal if given."""
        for channel, value in zip(self.surface.colour, colour, strict=True):
            area = channel[self.window]
            area += cover * (np.asarray(value, np.float32) - area)
        if height is not None:
            area = self.surface.height[self.window]
            area += cover * (np.asarray(height, np.float32) - area)
        if metal is not None:
            area = self.surface.metal[self.window]
            area += cover * (np.float32(metal) - area)
