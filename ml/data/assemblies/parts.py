"""Bodies of the parts: chip, transistor, resistor, ceramic capacitor, can, crystal."""

from __future__ import annotations

import numpy as np

from ml.data.assemblies import design
from ml.data.assemblies.leads import paint_gull_wing
from ml.data.assemblies.strokes import Point, turn
from ml.data.assemblies.surface import Colour, FloatMap, Patch, Surface
from ml.data.assemblies.unit import Part

_EPOXY: Colour = (0.115, 0.118, 0.125)
_MARKING: Colour = (0.74, 0.75, 0.72)
_TIN: Colour = (0.86, 0.87, 0.88)
_ALUMINIUM: Colour = (0.80, 0.80, 0.81)
_CERAMIC: Colour = (0.66, 0.50, 0.34)
_RESISTIVE: Colour = (0.085, 0.085, 0.10)
_ALUMINA: Colour = (0.80, 0.80, 0.77)
_BASE: Colour = (0.07, 0.07, 0.08)


def paint_part(surface: Surface, part: Part) -> None:
    """Put one part on the board: leads first, then the body over them."""
    if part.present:
        _PAINTERS[part.site.kind](surface, part)


def placed(part: Part, x: float, y: float) -> Point:
    """A point given in the part's own frame, on the board."""
    cos, sin = turn(part.site.angle + part.dangle)
    return (
        part.site.x + part.dx + cos * x - sin * y,
        part.site.y + part.dy + sin * x + cos * y,
    )


def _patch(surface: Surface, part: Part, half_u: float, half_v: float) -> Patch:
    return surface.patch(*placed(part, 0, 0), part.site.angle + part.dangle, half_u, half_v)


def _tone(colour: Colour, factor: float) -> Colour:
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


def _write(
    surface: Surface, part: Part, text: str, at: Point, height: float, ink: float, tone: Colour
) -> None:
    angle = part.site.angle + part.dangle
    surface.write(text, placed(part, *at), height, angle, tone, opacity=ink)


def _block(
    patch: Patch, half: Point, colour: Colour, height: float, bevel: float, radius: float
) -> FloatMap:
    """A moulded body with bevelled edges. Returns the signed distance to its outline."""
    edge = patch.box(*half, radius)
    rise = np.clip(edge * np.float32(-1 / bevel), 0, 1)
    patch.lay(patch.cover(edge), colour, height=height * (0.35 + 0.65 * rise), metal=0.0)
    return edge


def _soic(surface: Surface, part: Part) -> None:
    for i, pad in enumerate(design.PADS["soic"]):
        paint_gull_wing(surface, part, part.leads[i], pad.x, pad.outward, 26.0, 47.0, 3.7)
    half_u, half_v = design.SOIC_HALF
    patch = _patch(surface, part, half_u + 1, half_v + 1)
    _block(patch, (half_u, half_v), _tone(_EPOXY, part.shade), 9.0, 3.2, 1.4)
    _dimple(surface, part, (-35.5, 17.0), 4.4, 8.3)
    _notch(surface, part)
    tone = _tone(_MARKING, 0.9)
    _write(surface, part, part.site.marking, (3, -8), 11.0, part.ink, tone)
    _write(surface, part, part.lot, (5, 9), 7.0, part.ink * 0.72, tone)


def _notch(surface: Surface, part: Part) -> None:
    patch = surface.patch(*placed(part, -design.SOIC_HALF[0], 0), 0, 7, 7)
    patch.lay(patch.cover(patch.disc(6.0)) * (patch.u > 0), _tone(_EPOXY, 0.8), height=7.6)


def _dimple(surface: Surface, part: Part, at: Point, radius: float, height: float) -> None:
    patch = surface.patch(*placed(part, *at), 0, radius + 1, radius + 1)
    bowl = height + 0.6 * np.square(1 + patch.disc(radius) * np.float32(1 / radius))
    patch.lay(patch.cover(patch.disc(radius)), _tone(_EPOXY, 0.9), height=bowl)


def _sot(surface: Surface, part: Part) -> None:
    for i, pad in enumerate(design.PADS["sot"]):
        paint_gull_wing(surface, part, part.leads[i], pad.x, pad.outward, 14.0, 31.5, 4.6)
    half_u, half_v = design.SOT_HALF
    patch = _patch(surface, part, half_u + 1, half_v + 1)
    _block(patch, (half_u, half_v), _tone(_EPOXY, part.shade), 8.0, 3.4, 1.2)
    _write(surface, part, part.site.marking, (0, 0), 11.5, part.ink, _MARKING)


def _caps(surface: Surface, part: Part, half: Point, depth: float, height: float) -> None:
    """The tinned ends of a chip part."""
    for side in (-1, 1):
        angle = part.site.angle + part.dangle
        x, y = placed(part, side * (half[0] - depth / 2), 0)
        patch = surface.patch(x, y, angle, depth / 2 + 1, half[1] + 1)
        edge = patch.box(depth / 2, half[1], 1.0)
        rise = np.sqrt(np.clip(edge * np.float32(-1 / 3.0), 0, 1))
        patch.lay(patch.cover(edge), _TIN, height=height * (0.4 + 0.6 * rise), metal=0.95)


def _resistor(surface: Surface, part: Part) -> None:
    half_u, half_v = half = design.CHIP_HALF["resistor"]
    patch = _patch(surface, part, half_u + 1, half_v + 1)
    _block(patch, half, _ALUMINA, 4.4, 1.2, 0.8)
    _caps(surface, part, half, 6.6, 4.7)
    top = _patch(surface, part, half_u, half_v)
    cover = top.cover(top.box(half_u - 6.2, half_v - 1.2, 0.8))
    top.lay(cover, _tone(_RESISTIVE, part.shade), height=5.0, metal=0.0)
    _write(surface, part, part.site.marking, (0, 0), 9.0, part.ink, _MARKING)


def _capacitor(surface: Surface, part: Part) -> None:
    half_u, half_v = half = design.CHIP_HALF["capacitor"]
    patch = _patch(surface, part, half_u + 1, half_v + 1)
    _block(patch, half, _tone(_CERAMIC, part.shade), 8.0, 2.4, 1.8)
    _caps(surface, part, half, 6.6, 8.3)


def _can(surface: Surface, part: Part) -> None:
    """An aluminium electrolytic capacitor from above: base with two cut corners, can, stripe."""
    half = design.CAN_HALF
    base = _patch(surface, part, half + 1, half + 1)
    corner = (np.abs(base.u) + base.v - np.float32(2 * half - 9)) * np.float32(0.7071)
    cover = base.cover(np.maximum(base.box(half, half, 1.5), corner))
    base.lay(cover, _tone(_BASE, part.shade), height=2.5)
    radius = half - 3.0
    edge = base.disc(radius)
    rise = np.clip(edge * np.float32(-1 / 3.5), 0, 1)
    shape = 12.0 + 4.0 * rise * (2 - rise)
    # turned metal: two brighter sectors opposite each other
    ratio = base.u * base.v / np.maximum(np.square(base.u) + np.square(base.v), 1)
    sheen = np.float32(part.shade) * (1 + np.float32(0.16) * ratio)
    colour = np.stack([sheen * np.float32(c) for c in _ALUMINIUM])
    base.lay(base.cover(edge), colour, height=shape, metal=0.85)
    stripe = base.cover(np.maximum(base.disc(radius - 3.2), base.v + np.float32(13.5)))
    base.lay(stripe, (0.10, 0.10, 0.12), metal=0.0)
    ink: Colour = (0.13, 0.13, 0.15)
    _write(surface, part, part.site.marking, (0, -1.5), 12.0, part.ink, ink)
    _write(surface, part, "25V", (0, 11.5), 8.0, part.ink, ink)
    _write(surface, part, part.lot[:3], (0, 22), 5.6, part.ink * 0.8, ink)


def _crystal(surface: Surface, part: Part) -> None:
    half_u, half_v = design.CRYSTAL_HALF
    for side in (-1, 1):
        x, y = placed(part, side * (half_u + 2.0), 0)
        foot = surface.patch(x, y, part.site.angle + part.dangle, 6, 4)
        foot.lay(foot.cover(foot.box(4.5, 2.6, 0.6)), _TIN, height=1.6, metal=0.95)
    patch = _patch(surface, part, half_u + 1, half_v + 1)
    flange = patch.box(half_u, half_v, half_v)
    tone = _tone(_ALUMINIUM, part.shade)
    patch.lay(patch.cover(flange), tone, height=1.8, metal=0.9)
    wall = patch.box(half_u - 3.0, half_v - 3.0, half_v - 3.0)
    rise = np.clip(wall * np.float32(-1 / 2.8), 0, 1)
    patch.lay(patch.cover(wall), tone, height=3 + 6.0 * rise * (2 - rise), metal=0.9)
    ink: Colour = (0.20, 0.20, 0.22)
    _write(surface, part, part.site.marking, (0, -3.4), 7.0, part.ink, ink)
    _write(surface, part, part.lot[5:], (0, 5.4), 4.6, part.ink * 0.75, ink)


_PAINTERS = {
    "soic": _soic,
    "sot": _sot,
    "resistor": _resistor,
    "capacitor": _capacitor,
    "can": _can,
    "crystal": _crystal,
}
