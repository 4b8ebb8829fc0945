"""Every method and address of the API, from the resolver itself."""

import re
from collections.abc import Iterator
from typing import Any

from django.urls import URLPattern

from inspection.api.urls import v1

SERVED = {"api-docs", "api-schema"}  # about the API, not of it
# Nobody sees another's, whatever the role: asked by test_api_uploads, test_api_notifications.
OWN = {"api-upload", "api-notification-detail"}


def routes(patterns: Any = None, before: str = "") -> Iterator[tuple[str, str]]:
    """(method, address) with parameters as `{name}`."""
    for one in v1 if patterns is None else patterns:
        address = before + str(one.pattern)
        if not isinstance(one, URLPattern):
            yield from routes(one.url_patterns, address)
        elif one.name not in SERVED | OWN:
            path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", address)
            yield from ((method, path) for method in _methods(one))


def _methods(one: URLPattern) -> list[str]:
    actions = getattr(one.callback, "actions", None)
    if actions is not None:
        return [method.upper() for method in actions if method != "head"]
    view = one.callback.cls  # type: ignore[attr-defined]
    return [
        name.upper() for name in ("get", "post", "put", "patch", "delete") if hasattr(view, name)
    ]
