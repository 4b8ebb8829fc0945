"""Pictures as answers, for pages and programs alike: re-encodes of services/pictures.py, kept by
whoever asked for good, since an address never changes its picture."""

from collections.abc import Callable

from django.http import Http404, HttpRequest, HttpResponse
from django.utils.cache import get_conditional_response

from inspection.models import Image
from inspection.services import pictures, tiles
from inspection.services.pictures import Sent

FOR_EVER = "private, max-age=31536000, immutable"


def picture(make: Callable[[], Sent]) -> HttpResponse:
    """The picture that `make` finds, or 404."""
    try:
        sent = make()
    except pictures.NoPicture as error:
        raise Http404(str(error)) from error
    return HttpResponse(
        sent.content,
        content_type=sent.kind,
        headers={
            "Cache-Control": FOR_EVER,
            "X-Content-Type-Options": "nosniff",
            "Content-Disposition": "inline",
        },
    )


def tile(request: HttpRequest, image: Image, level: int, x: int, y: int) -> HttpResponse:
    """A tile of a large picture, or 404; 304 for who has it, without looking for it."""
    try:
        tiles.check(image, level, x, y)
    except pictures.NoPicture as error:
        raise Http404(str(error)) from error
    etag = tiles.etag(image, level, x, y)
    known = get_conditional_response(request, etag=etag)
    answer = known or picture(lambda: tiles.tile(image, level, x, y))
    answer["ETag"], answer["Cache-Control"] = etag, FOR_EVER
    return answer
