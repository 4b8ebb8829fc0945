"""Django's ASGI handler with one change of threads per request, and threads that are kept.

Under ASGI Django runs every middleware that it brings in a thread of its own accord: sixteen hops
for each page, and each may wait for the interpreter's lock while another page is rendered. Here
the whole chain, and the view, run in the request's one thread. Views that are asynchronous so
that waiting holds no thread are asked through the plain handler instead.

Nor is a thread begun for each request, and another one that waits for its end: the event loop
stands still until a new thread has had the lock once.
"""

from collections import deque
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

from asgiref.sync import ThreadSensitiveContext, sync_to_async
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


MOST_IDLE = 32


class Threads:
    """Executors of one thread each, lent to one request at a time."""

    def __init__(self) -> None:
        self._idle: deque[ThreadPoolExecutor] = deque()

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """All that is thread sensitive within runs in one thread, which is nobody else's."""
        executor = self._idle.pop() if self._idle else ThreadPoolExecutor(1, "request")
        try:
            async with ThreadSensitiveContext(executor=executor):
                yield
        finally:
            # By its own thread: a request that was broken off may have left it work to finish.
            executor.submit(self._take_back, executor)

    def _take_back(self, executor: ThreadPoolExecutor) -> None:
        if len(self._idle) < MOST_IDLE:
            self._idle.append(executor)
        else:
            executor.shutdown(wait=False)


class Http:
    """Pages and most of the API through one thread each, waiting views through Django's own."""

    def __init__(self) -> None:
        self.one_thread, self.plain, self.threads = OneThread(), ASGIHandler(), Threads()
        self.waiting = {reverse(name) for name in WAITING}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        waits = scope["path"].rstrip("/") in self.waiting
        async with self.threads.one():
            await (self.plain if waits else self.one_thread)(scope, receive, send)
