"""Light and camera: from a surface to the picture that an inspection camera would take."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ml.data.assemblies.dice import Dice
from ml.data.assemblies.strokes import turn
from ml.data.assemblies.surface import MARGIN, PICTURE, SUPERSAMPLING, FloatMap, Surface

# Shadows are soft, so they are cast on a grid this many times coarser.
_COARSE = 4
_BAND = 60
_STEEPEST = np.float32(2.5)


@dataclass(frozen=True)
class Light:
    """`azimuth` in degrees, where the lamp stands; `gain` of exposure; `cast` per colour channel;
    `slope` of brightness across the picture (x, y) and `falloff` towards its corners, as shares."""

    azimuth: float
    gain: float
    cast: tuple[float, float, float]
    slope: tuple[float, float]
    falloff: float


@dataclass(frozen=True)
class Camera:
    """Misalignment (`shift` in units, `angle` in degrees), `blur` (share of light that spills to
    each neighbour), `noise` in grey levels and the seed of that noise."""

    shift: tuple[float, float]
    angle: float
    blur: float
    noise: float
    noise_seed: tuple[int, ...]


def photograph(surface: Surface, light: Light, camera: Camera) -> NDArray[np.uint8]:
    """(size, size, 3) RGB, 8 bit."""
    exposed = _develop(_align(_shade(surface, light), surface.scale, camera), light, camera)
    return np.rint(np.clip(exposed, 0, 255)).astype(np.uint8).transpose(1, 2, 0).copy()


def _shade(surface: Surface, light: Light) -> NDArray[np.uint8]:
    """Colour × light plus reflections, (N, N, 3). One lamp, an even sky and a coaxial light."""
    cos, sin = turn(light.azimuth)
    lx, ly, lz = np.float32(cos * 0.64), np.float32(sin * 0.64), np.float32(0.768)
    lit = _lit(surface, cos, sin)
    out = np.empty((*surface.height.shape, 3), np.uint8)
    for top in range(0, surface.pixels, _BAND):  # in bands that fit into the processor's cache
        rows = slice(top, top + _BAND)
        sx, sy = _slopes(surface, rows)
        up = 1 / np.sqrt(1 + sx * sx + sy * sy)
        facing = (lz - sx * lx - sy * ly) * up
        # the lamp's direction after reflection: 1 where the camera sees the lamp in the surface
        mirror = np.clip(2 * up * facing - lz, 0, 1)
        glint = np.square(np.square(np.square(mirror)))
        diffuse = np.maximum(facing, 0) * lit[rows]
        dull = 0.40 + 0.74 * diffuse
        tin = 0.13 + 0.25 * np.square(np.square(up)) * (1 + lit[rows]) + 0.22 * diffuse
        metal = surface.metal[rows]
        brightness = dull + metal * (tin - dull)
        shine = glint * lit[rows] * (0.10 + 0.95 * metal)
        for i in range(3):
            value = (surface.colour[i, rows] * brightness + shine) * np.float32(232)
            out[rows, :, i] = np.minimum(value, 255)
    return out


def _slopes(surface: Surface, rows: slice) -> tuple[FloatMap, FloatMap]:
    """Rise per unit along x and y of some rows, central differences, edges repeated."""
    n, scale = surface.pixels, np.float32(surface.scale / 2)
    around = np.arange(rows.start - 1, min(rows.stop, n) + 1).clip(0, n - 1)
    height = np.pad(surface.height[around], ((0, 0), (1, 1)), "edge")
    sx = (height[1:-1, 2:] - height[1:-1, :-2]) * scale
    sy = (height[2:, 1:-1] - height[:-2, 1:-1]) * scale
    for slope in (sx, sy):
        np.clip(slope, -_STEEPEST, _STEEPEST, out=slope)
    return sx, sy


def _lit(surface: Surface, cos: float, sin: float) -> FloatMap:
    """Share of the lamp's light that arrives, (N, N): less in shadows and corners."""
    height = _coarse(surface.height)
    step = _COARSE / surface.scale
    blocked = np.zeros_like(height)
    for i in range(1, 9):
        seen = np.roll(height, (-round(sin * i), -round(cos * i)), (0, 1))
        np.maximum(blocked, seen - height - np.float32(i * step * 0.9), out=blocked)
    shade = np.clip(blocked * np.float32(0.35), 0, 0.62)
    corner = np.clip((_smooth(_smooth(height, 3), 3) - height) * np.float32(0.06), 0, 0.3)
    dark = _smooth(shade, 1) + corner * (1 - shade)
    small = Image.fromarray(np.rint(255 * (1 - dark)).astype(np.uint8))
    large = small.resize((surface.pixels, surface.pixels), Image.Resampling.BILINEAR)
    return np.asarray(large, np.float32) * np.float32(1 / 255)


def _coarse(values: FloatMap) -> FloatMap:
    """Means of squares. Added up in a stated order: numpy's own sums differ between processors."""
    for _ in range(2):
        total = values[0::_COARSE].copy()
        for i in range(1, _COARSE):
            total += values[i::_COARSE]
        values = np.ascontiguousarray(total.T) * np.float32(1 / _COARSE)
    return values


def _smooth(values: FloatMap, radius: int) -> FloatMap:
    """Mean over a (2·radius + 1)² box, edges repeated."""
    for axis in (0, 1):
        padded = np.pad(values, [(radius, radius) if a == axis else (0, 0) for a in (0, 1)], "edge")
        n = values.shape[axis]
        total = np.zeros_like(values)
        for i in range(2 * radius + 1):
            total += padded[i : i + n] if axis == 0 else padded[:, i : i + n]
        values = total * np.float32(1 / (2 * radius + 1))
    return values


def _align(shaded: NDArray[np.uint8], scale: float, camera: Camera) -> NDArray[np.uint8]:
    """The camera's view of the surface: turned, shifted, cut to the picture, reduced."""
    cos, sin = turn(camera.angle)
    side = round(PICTURE * scale)
    middle = side / 2
    cx = (MARGIN + camera.shift[0]) * scale + middle
    cy = (MARGIN + camera.shift[1]) * scale + middle
    matrix = (
        cos, -sin, cx - cos * middle + sin * middle,
        sin, cos, cy - sin * middle - cos * middle,
    )  # fmt: skip
    turned = Image.fromarray(shaded).transform(
        (side, side), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
    )
    return np.asarray(turned.reduce(SUPERSAMPLING))


def _develop(picture: NDArray[np.uint8], light: Light, camera: Camera) -> FloatMap:
    """Lens blur, uneven light, colour cast and sensor noise: (3, size, size), 0..255."""
    n = picture.shape[0]
    values = picture.transpose(2, 0, 1).astype(np.float32)
    values = _blurred(values, np.float32(camera.blur))
    t = (np.arange(n, dtype=np.float32) + np.float32(0.5)) / np.float32(n) * 2 - 1
    x, y = t[None, :], t[:, None]
    field = (1 + np.float32(light.slope[0]) * x + np.float32(light.slope[1]) * y) * (
        1 - np.float32(light.falloff / 2) * (x * x + y * y)
    )
    for channel, cast in zip(values, light.cast, strict=True):
        channel *= field * np.float32(cast * light.gain)
    if camera.noise:
        grain = Dice(*camera.noise_seed).noise(3, n, n)
        # photon noise: more levels where it is brighter
        values += grain * np.float32(camera.noise) * (0.55 + values * np.float32(1 / 255))
    return values


def _blurred(values: FloatMap, spill: np.float32) -> FloatMap:
    padded = np.pad(values, ((0, 0), (1, 1), (0, 0)), "edge")
    values = values * (1 - 2 * spill) + (padded[:, :-2] + padded[:, 2:]) * spill
    padded = np.pad(values, ((0, 0), (0, 0), (1, 1)), "edge")
    return values * (1 - 2 * spill) + (padded[..., :-2] + padded[..., 2:]) * spill
