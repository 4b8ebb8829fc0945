"""Metal joints: gull-wing leads, the solder on the pads, bridges of solder."""

from __future__ import annotations

import numpy as np

from ml.data.assemblies.design import PADS, pad_centre
from ml.data.assemblies.strokes import turn
from ml.data.assemblies.surface import Colour, Surface
from ml.data.assemblies.unit import Bridge, Lead, Part

_LEAD: Colour = (0.83, 0.83, 0.84)
_SOLDER: Colour = (0.80, 0.81, 0.83)
_CUT: Colour = (0.72, 0.46, 0.30)


def paint_gull_wing(
    surface: Surface,
    part: Part,
    lead: Lead,
    x: float,
    outward: float,
    start: float,
    end: float,
    half_width: float,
) -> None:
    """One lead in the part's frame: out of the body at `start`, down, and flat to `end`.

    Seen from above the shoulder and the foot are bright and the slope between them is dark.
    """
    side = 1.0 if outward > 0 else -1.0
    tip = start + (end - start) * lead.length
    angle = part.site.angle + part.dangle
    cos, sin = turn(angle)
    middle = side * (start + end) / 2
    cx = part.site.x + part.dx + cos * x - sin * middle
    cy = part.site.y + part.dy + sin * x + cos * middle
    patch = surface.patch(cx, cy, angle, half_width + abs(lead.bend) + 1, (end - start) / 2 + 1)
    out = patch.v * np.float32(side) + np.float32((start + end) / 2)
    share = np.clip((out - np.float32(start)) / np.float32(end - start), 0, 1)
    across = patch.u - np.float32(lead.bend) * share * share
    edge = np.maximum(np.abs(across) - np.float32(half_width), out - np.float32(tip))
    edge = np.maximum(edge, np.float32(start) - out)
    # shoulder, slope, foot
    fall = np.clip((share - np.float32(0.18)) / np.float32(0.34), 0, 1)
    profile = 6.4 - 4.9 * fall * fall * (3 - 2 * fall)
    round_off = 0.8 * np.square(across / np.float32(half_width))
    patch.lay(patch.cover(edge), _LEAD, height=profile - round_off, metal=0.95)
    if lead.length < 1:
        face = patch.cover(np.maximum(edge, np.float32(tip - 1.0) - out))
        patch.lay(face, _CUT, metal=0.5)


def paint_solder(surface: Surface, part: Part) -> None:
    """Solder on the pads of a site: a fillet up to the part, or a dome where it is missing."""
    site = part.site
    for number, pad in enumerate(PADS[site.kind]):
        x, y = pad_centre(site.name, number + 1)
        amount = np.float32(part.solder[number])
        half_u, half_v = pad.half_u - 0.3, pad.half_v - 0.3
        patch = surface.patch(x, y, site.angle + pad.outward - 90, half_u + 1, half_v + 1)
        across = np.square(patch.u / np.float32(half_u))
        along = np.clip(patch.v / np.float32(half_v), -1, 1)
        if part.present:
            run = (1 - along) * np.float32(0.5)
            height = 0.4 + amount * (5.0 * run * run) * (1 - 0.6 * np.minimum(across, 1))
        else:
            height = 0.4 + amount * 1.9 * (1 - along * along) * (1 - np.minimum(across, 1))
        wet = patch.cover(patch.box(half_u, half_v * min(1.0, 0.86 + 0.12 * float(amount)), 1.6))
        patch.lay(wet, _SOLDER, height=height, metal=1.0)


def paint_bridge(surface: Surface, bridge: Bridge) -> None:
    """A blob of solder drawn out between two points, thinner in its middle."""
    (x0, y0), (x1, y1) = bridge.start, bridge.end
    dx, dy = x1 - x0, y1 - y0
    length = float(np.sqrt(np.float64(dx * dx + dy * dy)))
    reach = length / 2 + bridge.width
    patch = surface.patch((x0 + x1) / 2, (y0 + y1) / 2, 0, reach, reach)
    along = (patch.u * np.float32(dx) + patch.v * np.float32(dy)) / np.float32(length)
    across = (patch.v * np.float32(dx) - patch.u * np.float32(dy)) / np.float32(length)
    over = np.maximum(np.abs(along) - np.float32(length / 2), 0)
    waist = 1 - 0.3 * (1 - np.clip(np.square(along / np.float32(length / 2)), 0, 1))
    radius = np.float32(bridge.width) * waist
    distance = np.sqrt(np.square(across) + np.square(over))
    dome = np.sqrt(np.clip(1 - np.square(distance / radius), 0, 1))
    here = surface.height[patch.window]
    height = np.maximum(here, 0.6 + dome * radius * np.float32(0.9))
    patch.lay(patch.cover(distance - radius), _SOLDER, height=height, metal=1.0)
