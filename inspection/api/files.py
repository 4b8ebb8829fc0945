"""Pictures as answers: re-encodes of services/pictures.py, whatever the caller accepts."""

from collections.abc import Callable
from typing import Any

from django.http import Http404, HttpResponse
from drf_spectacular.types import OpenApiTypes
from rest_framework.negotiation import BaseContentNegotiation

from inspection.services import pictures
from inspection.services.pictures import Sent

FOR_EVER = "private, max-age=31536000, immutable"
IMAGE = {
    (200, "image/webp"): OpenApiTypes.BINARY,
    (200, "image/png"): OpenApiTypes.BINARY,
}


class AnyAccept(BaseContentNegotiation):
    """A file is what it is: nobody is refused for what they accept, and errors are JSON."""

    def select_parser(self, request: Any, parsers: Any) -> Any:
        return next(iter(parsers), None)

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


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
