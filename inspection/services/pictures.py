"""Pictures for whoever may see them: permission first, re-encodes only.

An original is never sent: it may be anything that a camera or an attacker wrote.
"""

import io
from dataclasses import dataclass
from uuid import UUID

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection
from django.db.models import Exists, Model, OuterRef, Q, QuerySet
from PIL import Image as Pillow

from inspection import ml_adapter
from inspection.errors import UserError
from inspection.models import (
    DatasetImage,
    Image,
    ImageOwner,
    ImageResult,
    InspectionImage,
    SnapshotImage,
    User,
)

from . import images
from .visible import may_see

PREVIEW_PIXELS = 2048
LAYERS = {
    "view": ("view_key", "image/webp"),
    "restored": ("restored_key", "image/webp"),
    "heatmap": ("heatmap_key", "image/png"),
}
PLACES: tuple[tuple[type[Model], str], ...] = (
    (DatasetImage, "dataset__viewpoint__product"),
    (InspectionImage, "inspection__viewpoint__product"),
    (SnapshotImage, "snapshot__dataset__viewpoint__product"),
)


class NoPicture(LookupError):
    """It is not in the storage, or never was."""


@dataclass(frozen=True)
class Sent:
    """What a browser or program is sent."""

    content: bytes
    kind: str


def visible_images(user: User) -> QuerySet[Image]:
    """Pictures in a dataset, snapshot or inspection of a product that `user` sees, and those
    whose bytes `user` sent."""
    anywhere = Q(Exists(ImageOwner.objects.filter(image=OuterRef("pk"), owner=user)))
    for model, product in PLACES:
        here: QuerySet[Model] = model._default_manager.filter(image=OuterRef("pk"))
        anywhere |= Q(Exists(here.filter(may_see(user, product))))
    return Image.objects.filter(anywhere)


def find(user: User, key: UUID) -> Image:
    """A picture that a request names. Raises UserError where `user` sees none such."""
    found = visible_images(user).filter(pk=key).first()
    if found is None:
        raise UserError("no_such_image", "There is no picture {key} here.", key=key, field="image")
    return found


def visible_results(user: User) -> QuerySet[ImageResult]:
    """Results of inspections that `user` sees."""
    return ImageResult.objects.filter(may_see(user, "inspection__viewpoint__product"))


def own(user: User, image: Image) -> None:
    """Write down that `user` sent the bytes of this picture, so that they may use it though it
    is nowhere yet, or only where they see nothing."""
    ImageOwner.objects.get_or_create(image=image, owner=user)


def preview(image: Image) -> Sent:
    """At most 2048 px, WebP; made when it is first asked for. Raises NoPicture."""
    place = images.content_key("previews", image.sha256, "webp")
    if not default_storage.exists(place):
        if not connection.in_atomic_block:
            connection.close()  # who waits here has no need of one
        with images.DECODING:  # a large picture takes hundreds of megabytes
            if not default_storage.exists(place):
                default_storage.save(place, ContentFile(_encode(image)))
    return stored(place, "image/webp")


def thumbnail(image: Image) -> Sent:
    """At most 256 px, WebP."""
    return stored(image.thumbnail_key, "image/webp")


def layer(result: ImageResult, name: str) -> Sent:
    """What the model saw (`view`), what it restored, and where they differ. Raises NoPicture."""
    if name not in LAYERS:
        raise NoPicture("no such layer")
    field, kind = LAYERS[name]
    return stored(getattr(result, field), kind)


def stored(key: str, kind: str) -> Sent:
    """What lies in the storage under `key`. Raises NoPicture."""
    if not key or not default_storage.exists(key):
        raise NoPicture("this picture is not in the storage")
    with default_storage.open(key) as file:
        return Sent(file.read(), kind)


def opened(image: Image) -> Pillow.Image:
    """The original, decoded as everything shows it: RGB, upright, 8 bit. Raises NoPicture."""
    try:
        with images.open_original(image) as file:
            return ml_adapter.open_picture(file)
    except FileNotFoundError as error:
        raise NoPicture("this picture is not in the storage") from error
    except ml_adapter.PictureError as error:  # the pixel cap was lowered, or the file is damaged
        raise NoPicture(str(error)) from error


def _encode(image: Image) -> bytes:
    picture = opened(image)
    picture.thumbnail((PREVIEW_PIXELS, PREVIEW_PIXELS), Pillow.Resampling.LANCZOS)
    target = io.BytesIO()
    picture.save(target, "WEBP", quality=88, method=2)
    return target.getvalue()
