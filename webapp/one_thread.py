"""Django's ASGI handler with one change of threads per request.

Under ASGI Django runs every middleware that it brings in a thread of its own accord: sixteen hops
for each page, and each may wait for the interpreter's lock while another page is rendered. Here
the whole chain, and the view, run in the request's one thread. Views that are asynchronous so
that waiting holds no thread are asked through the plain handler instead.
"""

from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.http import HttpResponseBase
from django.urls import reverse


class OneThread(ASGIHandler):
    """Reads and answers asynchronously; everything between is synchronous."""

    def load_middleware(self, is_async: bool = False) -> None:
        super().load_middleware(is_async=False)

    async def get_response_async(self, request: ASGIRequest) -> HttpResponseBase:  # type: ignore[override]
        return await sync_to_async(self.get_response, thread_sensitive=True)(request)


# Names of views that wait for something else: they must not hold a thread, nor a database
# connection.
WAITING = ("api-inspection-list",)


class Http:
    """Pages and most of the API through one thread each, waiting views through Django's own."""

    def __init__(self) -> None:
        self.one_thread, self.plain = OneThread(), ASGIHandler()
        self.waiting = {reverse(name) for name in WAITING}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        waits = scope["path"].rstrip("/") in self.waiting
        await (self.plain if waits else self.one_thread)(scope, receive, send)
