"""From a unit to its picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ml.data.assemblies.board import bare_board, print_silkscreen
from ml.data.assemblies.leads import paint_bridge, paint_solder
from ml.data.assemblies.light import photograph
from ml.data.assemblies.marks import paint_dust, paint_scratch, paint_stain
from ml.data.assemblies.parts import paint_part
from ml.data.assemblies.surface import Surface
from ml.data.assemblies.unit import Unit


def render(unit: Unit, size: int = 256) -> NDArray[np.uint8]:
    """The picture of a unit: (size, size, 3) RGB. `size` is a multiple of 128."""
    if size < 128 or size % 128:
        raise ValueError(f"size must be a multiple of 128, not {size}")
    return photograph(_assembled(unit, size), unit.light, unit.camera)


def _assembled(unit: Unit, size: int) -> Surface:
    board = bare_board(size)
    surface = board.surface.copy()
    for channel, factor in zip(surface.colour, unit.shade, strict=True):
        channel *= np.float32(factor)
    right, down = (round(s * surface.scale) for s in unit.ink_shift)
    print_silkscreen(surface, board.silkscreen, right, down, unit.ink)
    for part in unit.parts:
        paint_solder(surface, part)
    for part in unit.parts:
        paint_part(surface, part)
    for bridge in unit.bridges:
        paint_bridge(surface, bridge)
    for stain in unit.stains:
        paint_stain(surface, stain)
    for scratch in unit.scratches:
        paint_scratch(surface, scratch)
    for dust in unit.dust:
        paint_dust(surface, dust)
    return surface


def render_clean(unit: Unit, size: int = 256) -> NDArray[np.uint8]:
    """The same view without dust and sensor noise: what masks are made from."""
    return render(replace(unit, dust=(), camera=replace(unit.camera, noise=0.0)), size)
