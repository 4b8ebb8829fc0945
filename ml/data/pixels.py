"""From any decoded Pillow mode to 8-bit RGB, without clipping and without stretching contrast.

A picture's brightness is evidence: the scale depends on what the file declares, never on the
picture's own darkest and brightest pixels (with the one documented exception of 12-bit data).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Transparent pixels show mid-grey: neither black nor white would stay neutral for every part.
NEUTRAL = (128, 128, 128)
BAND = 4_000_000  # pixels that are converted at a time
ORIENTATION = 0x0112
AS_12_BITS = "Values of a 16-bit file that fit into 12 bits: scaled from 12 bits to 8."
AS_16_BITS = "Scaled from 16 bits to 8."

_PHOTOMETRIC, _MAX_SAMPLE_VALUE, _BITS_PER_SAMPLE = 262, 281, 258
_WHITE_IS_ZERO = 0
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def upright(picture: Image.Image, orientation: int) -> Image.Image:
    """Apply an EXIF orientation (0 or 1: nothing to do)."""
    turn = _TURNS.get(orientation)
    return picture if turn is None else picture.transpose(turn)


def to_rgb(picture: Image.Image) -> tuple[Image.Image, list[str]]:
    """A decoded picture as RGB, and sentences on what was changed.

    Raises ValueError with a sentence where there is no honest way to 8 bit.
    """
    if picture.mode == "RGB" and "transparency" not in picture.info:
        return picture.copy(), []
    if picture.mode.startswith("I"):
        return _from_integers(picture)
    if picture.mode == "F":
        return _from_floats(picture)
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        return _over_neutral(picture), ["Transparent parts are shown on mid-grey."]
    try:
        rgb = picture.convert("RGB")
    except ValueError as error:
        raise ValueError(f"The colour space {picture.mode} is not accepted.") from error
    notes = {"CMYK": ["Converted from CMYK, without its colour profile."]}
    return rgb, notes.get(picture.mode, [])


def _over_neutral(picture: Image.Image) -> Image.Image:
    if picture.mode in ("La", "RGBa"):  # premultiplied, and convertible to these alone
        picture = picture.convert({"La": "LA", "RGBa": "RGBA"}[picture.mode])
    result = Image.new("RGB", picture.size)
    rows = max(1, BAND // picture.width)
    for top in range(0, picture.height, rows):
        box = (0, top, picture.width, min(picture.height, top + rows))
        band = picture.crop(box).convert("RGBA")
        ground = Image.new("RGBA", band.size, (*NEUTRAL, 255))
        result.paste(Image.alpha_composite(ground, band).convert("RGB"), box)
    return result


def _from_integers(picture: Image.Image) -> tuple[Image.Image, list[str]]:
    """Modes I, I;16, I;16B, I;16L, I;16N: grey of more than 8 bits."""
    values = np.asarray(picture)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise ValueError(f"Grey values from {low} to {high} are beyond 16 bits.")
    full_scale, note = _full_scale(picture, high)
    table = (np.arange(65536, dtype=np.uint32).clip(max=full_scale) * 255 + full_scale // 2) // (
        full_scale
    )
    # Pillow inverts white-is-zero at 8 bits but not at 16
    if getattr(picture, "tag_v2", {}).get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        table = 255 - table
    levels = table.astype(np.uint8)
    return _in_bands(values, lambda band: levels[band]), [note]


def _full_scale(picture: Image.Image, high: int) -> tuple[int, str]:
    """The value that means white.

    TIFF may declare it. Many cameras write 12-bit values into 16-bit files and declare nothing;
    read as 16 bits these are all but black, so values that all fit into 12 bits are read as 12.
    """
    tags = getattr(picture, "tag_v2", {})
    declared = _first(tags.get(_MAX_SAMPLE_VALUE))
    if 255 < declared < 65535 and declared >= high:
        return declared, f"Scaled from 0…{declared}, as the file declares, to 8 bits."
    bits = _first(tags.get(_BITS_PER_SAMPLE))
    if bits == 12:
        return 4095, "Scaled from 12 bits to 8."
    if high < 4096:
        return 4095, AS_12_BITS
    return 65535, AS_16_BITS


def _first(value: object) -> int:
    if isinstance(value, tuple) and value:
        value = value[0]
    return value if isinstance(value, int) else 0


def _from_floats(picture: Image.Image) -> tuple[Image.Image, list[str]]:
    """Mode F: 0…1, 0…255 or 0…65535, whichever first holds every value."""
    values = np.asarray(picture)
    # A value that is no number makes both of these NaN, which is in no range.
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 65535):
        raise ValueError("Grey values are negative, not finite or beyond 16 bits.")
    full_scale = next(limit for limit in (1, 255, 65535) if high <= limit)
    factor = np.float32(255 / full_scale)

    def scaled(band: NDArray[np.generic]) -> NDArray[np.uint8]:
        return np.rint(np.multiply(band, factor)).clip(0, 255).astype(np.uint8)

    return _in_bands(values, scaled), [f"Scaled from 0…{full_scale} (floating point)."]


def _in_bands(
    values: NDArray[np.generic], scaled: Callable[[NDArray[np.generic]], NDArray[np.uint8]]
) -> Image.Image:
    """Grey values (H, W) as RGB, some rows at a time: on the way they take many times the room."""
    height, width = values.shape
    rows = max(1, BAND // width)
    result = np.empty((height, width), np.uint8)
    for top in range(0, height, rows):
        result[top : top + rows] = scaled(values[top : top + rows])
    return Image.fromarray(result).convert("RGB")
