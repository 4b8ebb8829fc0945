"""The pictures that go with a result: view, restored, heatmap and the raw map."""

import io
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone

from inspection import ml_adapter
from inspection.models import ModelVersion

if TYPE_CHECKING:
    from inspection.ml_adapter import ScoredPicture

WEBP = {"format": "WEBP", "quality": 90, "method": 2}
PNG = {"format": "PNG", "compress_level": 3}


def save_pictures(
    result_id: UUID, scored: "ScoredPicture", version: ModelVersion
) -> dict[str, str]:
    """Store the four pictures of a result; returns the ImageResult fields that name them.

    `map.png` is 16-bit grey: 0 is the low end and 65535 the high end of the model's scale.
    """
    from PIL import Image

    low, high = version.scale_low, version.scale_high
    pictures = {
        "view_key": ("view.webp", Image.fromarray(scored.view), WEBP),
        "restored_key": ("restored.webp", Image.fromarray(scored.restored), WEBP),
        "heatmap_key": ("heatmap.png", ml_adapter.heatmap(scored.map, low, high), PNG),
        "map_key": ("map.png", Image.fromarray(_sixteen_bit(scored.map, low, high)), PNG),
    }
    folder = f"results/{timezone.now():%Y/%m}/{result_id}"
    return {
        field: _save(f"{folder}/{name}", picture, options)
        for field, (name, picture, options) in pictures.items()
    }


PLACE = 0.08  # of a side: the box around a strongest place that nothing outlines


def strongest_place(map_: Any) -> dict[str, Any]:
    """The highest value of a map in which nothing reaches the line of a region: a verdict that
    is no pass must be able to say where to look first. `faint` says that it is no outline."""
    import numpy as np

    row, column = np.unravel_index(int(np.argmax(map_)), map_.shape)
    tall, wide = map_.shape
    x, y = (float(at) + 0.5 for at in (column, row))
    return {
        "x": min(max(0.0, x / wide - PLACE / 2), 1 - PLACE),
        "y": min(max(0.0, y / tall - PLACE / 2), 1 - PLACE),
        "width": PLACE,
        "height": PLACE,
        "area": PLACE * PLACE,
        "peak": float(map_[row, column]),
        "polygon": [],
        "p_value": None,
        "faint": True,
    }


def remove_pictures(fields: dict[str, str]) -> None:
    """Delete what `save_pictures` stored for a result that was not written after all."""
    for key in fields.values():
        default_storage.delete(key)


def _save(key: str, picture: Any, options: dict[str, Any]) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, **options)
    return str(default_storage.save(key, ContentFile(buffer.getvalue())))


def _sixteen_bit(map_: Any, low: float, high: float) -> Any:
    import numpy as np

    span = (high - low) or 1.0
    return (np.clip((map_ - low) / span, 0.0, 1.0) * 65535.0).round().astype(np.uint16)
