"""What lies on or is cut into the finished board: scratches, stains, dust."""

from __future__ import annotations

import numpy as np

from ml.data.assemblies.surface import Colour, Surface
from ml.data.assemblies.unit import Dust, Scratch, Stain

_BARED: Colour = (0.80, 0.78, 0.66)
_RESIDUE: Colour = (0.52, 0.40, 0.20)


def paint_scratch(surface: Surface, scratch: Scratch) -> None:
    """A groove with a bright floor, thinning out towards both ends."""
    count = len(scratch.points) - 1
    for i, (start, end) in enumerate(zip(scratch.points, scratch.points[1:], strict=False)):
        taper = min(1.0, 0.45 + 0.55 * min(i, count - 1 - i))
        window, cover = surface.lines([[start, end]], scratch.width * taper)
        surface.tint(window, cover * np.float32(scratch.depth), _BARED)
        surface.height[window] -= cover * np.float32(0.5 * scratch.depth)


def paint_stain(surface: Surface, stain: Stain) -> None:
    """Dried flux or coffee: a brownish film, darker at its rim, that follows no edge below it."""
    reach = stain.radius * 1.6
    patch = surface.patch(stain.x, stain.y, 0, reach, reach)
    r2 = np.maximum(np.square(patch.u) + np.square(patch.v), np.float32(1e-3))
    c, s = patch.u / np.sqrt(r2), patch.v / np.sqrt(r2)
    # lobes by powers of the direction's cosine and sine: smooth, and free of trigonometry
    waves = (c, s, c * c - s * s, 2 * c * s, c * (4 * c * c - 3), s * (3 - 4 * s * s))
    outline = np.ones_like(r2)
    for lobe, wave in zip(stain.lobes, waves, strict=True):
        outline += np.float32(lobe) * wave
    inside = (outline * np.float32(stain.radius) - np.sqrt(r2)) * np.float32(1 / 1.6)
    film = np.clip(inside, 0, 1)
    rim = np.clip(1 - np.abs(inside - 1) * np.float32(0.7), 0, 1)
    cover = (film * np.float32(0.62) + rim * np.float32(0.38)) * np.float32(stain.strength)
    surface.tint(patch.window, cover, _RESIDUE)
    surface.metal[patch.window] *= 1 - cover
    surface.height[patch.window] += rim * np.float32(0.25)


def paint_dust(surface: Surface, dust: Dust) -> None:
    """A speck or a short fibre."""
    reach = dust.radius + dust.length / 2 + 0.5
    patch = surface.patch(dust.x, dust.y, dust.angle, reach, dust.radius + 0.5)
    over = np.maximum(np.abs(patch.u) - np.float32(dust.length / 2), 0)
    distance = np.sqrt(np.square(over) + np.square(patch.v)) - np.float32(dust.radius)
    tone = dust.tone
    cover = patch.cover(distance) * np.float32(dust.opacity)
    surface.tint(patch.window, cover, (tone, tone * 0.98, tone * 0.94))
