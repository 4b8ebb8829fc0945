"""Pictures for browsers: permission first, re-encodes only (services/pictures.py), kept by the
browser for good."""

from typing import TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet
from django.http import Http404, HttpResponse
from django.views.decorators.http import require_safe

from inspection import picture_answers
from inspection.models import RunSample
from inspection.picture_answers import picture
from inspection.services import pictures
from inspection.web.access import SignedIn, explains, may_see

M = TypeVar("M", bound=Model)


def _find(rows: QuerySet[M], key: UUID) -> M:
    found = rows.filter(pk=key).first()
    if found is None:
        raise Http404("no such picture")
    return found


@require_safe
def thumbnail(request: SignedIn, key: UUID) -> HttpResponse:
    """At most 256 px, WebP."""
    image = _find(pictures.visible_images(request.user), key)
    return picture(lambda: pictures.thumbnail(image))


@require_safe
def preview(request: SignedIn, key: UUID) -> HttpResponse:
    """At most 2048 px, WebP; encoded when it is first asked for."""
    image = _find(pictures.visible_images(request.user), key)
    return picture(lambda: pictures.preview(image))


@require_safe
@explains
def tile(request: SignedIn, key: UUID, level: int, x: int, y: int) -> HttpResponse:
    """512 px of a picture that is larger than its preview; level 0 is the original's own size."""
    image = _find(pictures.visible_images(request.user), key)
    return picture_answers.tile(request, image, level, x, y)


@require_safe
def layer(request: SignedIn, key: UUID, name: str) -> HttpResponse:
    """What the model saw, what it restored, and where they differ."""
    if name not in pictures.LAYERS:
        raise Http404("no such layer")
    result = _find(pictures.visible_results(request.user), key)
    return picture(lambda: pictures.layer(result, name))


@require_safe
def sample(request: SignedIn, key: UUID) -> HttpResponse:
    """A strip of restorations of a training run."""
    seen = may_see(request.user, "run__viewpoint__product")
    found = _find(RunSample.objects.filter(seen), key)
    return picture(lambda: pictures.stored(found.storage_key, "image/webp"))
