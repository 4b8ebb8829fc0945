"""The good parts that look most like a part: what a model learned from, shown as its reason.

The model itself keeps patches and not pictures, so it cannot name them. This is a plain
comparison of thumbnails beside the model, and pages say so.
"""

import io
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from inspection import ml_adapter
from inspection.models import DatasetSnapshot, Image, SnapshotImage

if TYPE_CHECKING:
    import numpy as np

MOST_COMPARED = 400  # of a snapshot, evenly spread; their thumbnails are read within a second
MOST_LEFT_OUT = 0.6  # of a picture: with more marked than that, nothing is left to compare


@dataclass(frozen=True)
class GoodPart:
    """A picture of the snapshot, and how much it differs: a fraction of full brightness."""

    image: Image
    file_name: str
    difference: float


@dataclass(frozen=True)
class MostAlike:
    """The most similar of `compared` good parts; the snapshot has `there_are`. `around`: the
    marked places did not count, so that a defect does not decide what its part looks like."""

    parts: list[GoodPart]
    compared: int
    there_are: int
    around: bool


@dataclass(frozen=True)
class _Known:
    items: list[UUID]
    prints: "np.ndarray[Any, Any]"
    there_are: int


def most_alike(
    image: Image, snapshot: DatasetSnapshot, regions: Iterable[Mapping[str, Any]], most: int = 3
) -> MostAlike | None:
    """The good parts of a snapshot that look most like a picture outside of its regions.

    None where the snapshot has none, or where thumbnails are missing from the storage.
    """
    known = _known(snapshot.pk)
    shown = _print_of(image)
    if not known.items or shown is None:
        return None
    left_out = _marked(regions)
    around = bool(left_out.any())
    apart = ml_adapter.differences(shown, known.prints, left_out)
    order = [int(n) for n in apart.argsort(kind="stable")]
    nearest = {known.items[n]: float(apart[n]) for n in order[: most + 1]}
    items = SnapshotImage.objects.select_related("image").in_bulk(list(nearest))
    parts = [
        GoodPart(items[key].image, items[key].file_name, difference)
        for key, difference in nearest.items()
        if key in items and items[key].image_id != image.pk
    ]
    return MostAlike(parts[:most], len(known.items), known.there_are, around)


def _marked(regions: Iterable[Mapping[str, Any]]) -> "np.ndarray[Any, Any]":
    """Where the regions' boxes lie on a fingerprint, and one place around them; nowhere where
    they cover most of the picture."""
    import numpy as np

    side = ml_adapter.FINGERPRINT
    marked = np.zeros((side, side), bool)
    for region in regions:
        left, top = int(region["x"] * side) - 1, int(region["y"] * side) - 1
        right = int(np.ceil((region["x"] + region["width"]) * side)) + 1
        bottom = int(np.ceil((region["y"] + region["height"]) * side)) + 1
        marked[max(0, top) : bottom, max(0, left) : right] = True
    return marked if marked.mean() <= MOST_LEFT_OUT else np.zeros_like(marked)


# --- fingerprints of a snapshot, made once since a snapshot never changes -----------------


@lru_cache(maxsize=4)
def _known(snapshot: UUID) -> _Known:
    import numpy as np

    place = f"nearest/{snapshot}.npz"
    if default_storage.exists(place):
        with default_storage.open(place) as file:
            stored = _unpacked(file.read())
        if stored:
            return stored
    keys, there_are = _compared(snapshot)
    items = SnapshotImage.objects.select_related("image").in_bulk(keys)
    prints = [(key, _print_of(items[key].image)) for key in keys]
    found = [(key, one) for key, one in prints if one is not None]
    if not found:
        return _Known([], np.zeros((0, 1, 1, 3), np.uint8), there_are)
    known = _Known([key for key, _ in found], np.stack([one for _, one in found]), there_are)
    default_storage.save(place, ContentFile(_packed(known)))
    return known


def _compared(snapshot: UUID) -> tuple[list[UUID], int]:
    """Some of what was learned from or calibrated on, evenly spread; and how many there are."""
    used = SnapshotImage.objects.filter(snapshot=snapshot).exclude(split=SnapshotImage.Split.NONE)
    keys = list(used.order_by("id").values_list("pk", flat=True))
    step = max(1.0, len(keys) / MOST_COMPARED)
    return [keys[int(n * step)] for n in range(min(len(keys), MOST_COMPARED))], len(keys)


def _print_of(image: Image) -> "np.ndarray[Any, Any] | None":
    try:
        with default_storage.open(image.thumbnail_key) as file:
            return ml_adapter.fingerprint(file)
    except OSError:  # lost from the storage, or cut off
        return None


def _packed(known: _Known) -> bytes:
    import numpy as np

    target = io.BytesIO()
    names = np.array([key.hex for key in known.items], "S32")
    np.savez(target, items=names, prints=known.prints, there_are=np.array(known.there_are))
    return target.getvalue()


def _unpacked(content: bytes) -> _Known | None:
    """None for a file that was cut off: it is made anew."""
    import numpy as np

    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            items = [UUID(name.decode()) for name in stored["items"].tolist()]
            return _Known(items, stored["prints"], int(stored["there_are"]))
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
