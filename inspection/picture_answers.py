"""Pictures as answers, for pages and programs alike: re-encodes of services/pictures.py, kept by
whoever asked for good, since an address never changes its picture."""

from collections.abc import Callable

from django.http import Http404, HttpResponse

from inspection.services import pictures
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
