"""What the viewer must know of a picture that is larger than its preview."""

from typing import Any

from django.urls import reverse

from inspection.models import Image
from inspection.services import tiles
from inspection.services.pictures import PREVIEW_PIXELS


def tiles_of(image: Image) -> dict[str, Any] | None:
    """Where its tiles are and how they lie (services/tiles.py); None where the preview is all."""
    levels = tiles.sizes(image.width, image.height)
    if not levels:
        return None
    first = "0/0/0.jpg"
    return {
        "address": reverse("tile", args=[image.pk, 0, 0, 0]).removesuffix(first),
        "levels": len(levels),
        "size": tiles.SIDE,
        "overlap": tiles.OVERLAP,
        "preview": PREVIEW_PIXELS,
    }
