"""Pictures for print: the part, and the heatmap over the part without its colours."""

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.core.files.storage import default_storage

from inspection.models import ImageResult

if TYPE_CHECKING:
    from PIL import Image as Pillow

SIDE = 320
QUALITY = 82
COLOUR_LEFT = 0.15  # of the part under its heatmap, as on the pages
LINE = (184, 134, 11)


def of_result(result: ImageResult) -> dict[str, Callable[[], bytes]]:
    """`<id>-part` and `<id>-heat`, each made when it is asked for; none that is not kept."""
    if not (result.view_key and default_storage.exists(result.view_key)):
        return {}
    found: dict[str, Callable[[], bytes]] = {
        f"{result.pk}-part": lambda: part(result),
    }
    if result.heatmap_key and default_storage.exists(result.heatmap_key):
        found[f"{result.pk}-heat"] = lambda: heat(result)
    return found


def part(result: ImageResult) -> bytes:
    """The part as the model saw it, with what it found outlined; JPEG."""
    return _jpeg(_outlined(_small(_opened(result.view_key)), result.regions))


def heat(result: ImageResult) -> bytes:
    """The heatmap, on the model's own scale, over the greyed part; JPEG."""
    from PIL import Image, ImageEnhance

    view = _opened(result.view_key)
    grey = ImageEnhance.Color(view).enhance(COLOUR_LEFT).convert("RGBA")
    with default_storage.open(result.heatmap_key) as file:
        over = Image.open(file, formats=["PNG"]).convert("RGBA").resize(view.size)
    return _jpeg(_small(Image.alpha_composite(grey, over).convert("RGB")))


def _opened(key: str) -> "Pillow.Image":
    from PIL import Image

    with default_storage.open(key) as file:
        return Image.open(file, formats=["WEBP"]).convert("RGB")


def _small(picture: "Pillow.Image") -> "Pillow.Image":
    picture.thumbnail((SIDE, SIDE))
    return picture


def _outlined(picture: "Pillow.Image", regions: list[dict[str, Any]]) -> "Pillow.Image":
    from PIL import ImageDraw

    draw = ImageDraw.Draw(picture)
    width, height = picture.size
    for region in regions:
        left, top = region["x"] * width, region["y"] * height
        box = (left, top, left + region["width"] * width, top + region["height"] * height)
        draw.rectangle(box, outline=LINE, width=2)
    return picture


def _jpeg(picture: "Pillow.Image") -> bytes:
    target = io.BytesIO()
    picture.save(target, "JPEG", quality=QUALITY)
    return target.getvalue()
