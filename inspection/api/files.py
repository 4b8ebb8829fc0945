"""How addresses that answer with a picture are described, and whatever the caller accepts."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from rest_framework.negotiation import BaseContentNegotiation

IMAGE = {
    (200, "image/webp"): OpenApiTypes.BINARY,
    (200, "image/png"): OpenApiTypes.BINARY,
}
TILE = {(200, "image/jpeg"): OpenApiTypes.BINARY}


class AnyAccept(BaseContentNegotiation):
    """A file is what it is: nobody is refused for what they accept, and errors are JSON."""

    def select_parser(self, request: Any, parsers: Any) -> Any:
        return next(iter(parsers), None)

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type
