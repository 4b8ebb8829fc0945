"""Pictures for browsers: permission first, re-encodes only, kept by the browser for good.

An original is never sent: it may be anything that a camera or an attacker wrote.
"""

import io
from typing import TypeVar
from uuid import UUID

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db.models import Exists, Model, OuterRef, Q, QuerySet
from django.http import Http404, HttpResponse
from django.views.decorators.http import require_safe
from PIL import Image as Pillow

from inspection import ml_adapter
from inspection.models import (
    DatasetImage,
    Image,
    ImageResult,
    InspectionImage,
    RunSample,
    SnapshotImage,
    User,
)
from inspection.services import images
from inspection.web.access import SignedIn, may_see

M = TypeVar("M", bound=Model)
FOR_EVER = "private, max-age=31536000, immutable"
PREVIEW_PIXELS = 2048
LAYERS = {
    "view": ("view_key", "image/webp"),
    "restored": ("restored_key", "image/webp"),
    "heatmap": ("heatmap_key", "image/png"),
}


def _visible_image(user: User, key: UUID) -> Image:
    """A picture that is in a dataset, snapshot or inspection of a product that `user` sees."""
    places: list[tuple[type[Model], str]] = [
        (DatasetImage, "dataset__viewpoint__product"),
        (InspectionImage, "inspection__viewpoint__product"),
        (SnapshotImage, "snapshot__dataset__viewpoint__product"),
    ]
    anywhere = Q()
    for model, product in places:
        here: QuerySet[Model] = model._default_manager.filter(image=OuterRef("pk"))
        anywhere |= Q(Exists(here.filter(may_see(user, product))))
    return _or_404(Image.objects.filter(anywhere, pk=key))


def _or_404(rows: QuerySet[M]) -> M:
    found = rows.first()
    if found is None:
        raise Http404("no such picture")
    return found


def _send(key: str, kind: str) -> HttpResponse:
    if not key or not default_storage.exists(key):
        raise Http404("this picture is not in the storage")
    with default_storage.open(key) as file:
        return _answer(file.read(), kind)


def _answer(content: bytes, kind: str) -> HttpResponse:
    return HttpResponse(
        content,
        content_type=kind,
        headers={
            "Cache-Control": FOR_EVER,
            "X-Content-Type-Options": "nosniff",
            "Content-Disposition": "inline",
        },
    )


@require_safe
def thumbnail(request: SignedIn, key: UUID) -> HttpResponse:
    """At most 256 px, WebP."""
    return _send(_visible_image(request.user, key).thumbnail_key, "image/webp")


@require_safe
def preview(request: SignedIn, key: UUID) -> HttpResponse:
    """At most 2048 px, WebP; encoded when it is first asked for."""
    image = _visible_image(request.user, key)
    place = images.content_key("previews", image.sha256, "webp")
    if not default_storage.exists(place):
        default_storage.save(place, ContentFile(_encode(image)))
    return _send(place, "image/webp")


def _encode(image: Image) -> bytes:
    try:
        with images.open_original(image) as file:
            picture = ml_adapter.open_picture(file)
    except FileNotFoundError as error:
        raise Http404("this picture is not in the storage") from error
    picture.thumbnail((PREVIEW_PIXELS, PREVIEW_PIXELS), Pillow.Resampling.LANCZOS)
    target = io.BytesIO()
    picture.save(target, "WEBP", quality=88, method=2)
    return target.getvalue()


@require_safe
def layer(request: SignedIn, key: UUID, name: str) -> HttpResponse:
    """What the model saw, what it restored, and where they differ."""
    if name not in LAYERS:
        raise Http404("no such layer")
    field, kind = LAYERS[name]
    seen = may_see(request.user, "inspection__viewpoint__product")
    result = _or_404(ImageResult.objects.filter(seen, pk=key))
    return _send(getattr(result, field), kind)


@require_safe
def sample(request: SignedIn, key: UUID) -> HttpResponse:
    """A strip of restorations of a training run."""
    seen = may_see(request.user, "run__viewpoint__product")
    return _send(_or_404(RunSample.objects.filter(seen, pk=key)).storage_key, "image/webp")
