"""Django's ASGI handler with one change of threads per request, and threads that are kept.

Under ASGI Django runs every middleware that it brings in a thread of its own accord: two hops and
more for each, and each may wait for the interpreter's lock while another page is rendered. Here
the whole chain, and the view, run in the request's one thread. Views that wait for something else
are asked through the plain handler instead, and in threads of their own.

Nor is a thread begun for each request, and another one that waits for its end: the event loop
stands still until a new thread has had the lock once.
"""

import itertools
import logging
from collections import deque
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.db import connections
from django.http import HttpResponseBase
from django.urls import reverse


class OneThread(ASGIHandler):
    """Reads and answers asynchronously; everything between is synchronous."""

    def load_middleware(self, is_async: bool = False) -> None:
        super().load_middleware(is_async=False)

    async def get_response_async(self, request: ASGIRequest) -> HttpResponseBase:  # type: ignore[override]
        return await sync_to_async(self.get_response, thread_sensitive=True)(request)


# Names of views that wait for something else: they must hold no thread of the pages', and no
# database connection.
WAITING = ("api-inspection-list",)


log = logging.getLogger(__name__)
MOST_IDLE = 32  # about twice as many as may have a connection to the database at once


class Threads:
    """Executors of one thread each, lent to one request at a time."""

    def __init__(self) -> None:
        self._idle: deque[ThreadPoolExecutor] = deque()
        self._numbers = itertools.count(1)

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """All that is thread sensitive within runs in one thread, which is nobody else's."""
        executor = self._idle.pop() if self._idle else self._new()
        try:
            async with ThreadSensitiveContext(executor=executor):
                yield
        finally:
            # By its own thread: a request that was broken off may have left it work to finish.
            executor.submit(self._take_back, executor)

    def _new(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(1, f"request-{next(self._numbers)}")

    def _take_back(self, executor: ThreadPoolExecutor) -> None:
        """Keep it, unless there are enough: a few more where many come back at once."""
        try:
            connections.close_all()  # Django does not where a stream broke off
        except Exception:
            log.exception("a request's connection could not be given back")
        if len(self._idle) < MOST_IDLE:
            self._idle.append(executor)
        else:
            executor.shutdown(wait=False)


class Http:
    """Pages and most of the API through one thread each, waiting views through Django's own."""

    def __init__(self) -> None:
        self.one_thread, self.plain = OneThread(), ASGIHandler()
        # Who waits keeps a thread for as long: it must not be one that a page could have.
        self.threads, self.threads_of_waiting = Threads(), Threads()
        self.waiting = {reverse(name) for name in WAITING}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        waits = scope["path"].rstrip("/") in self.waiting
        async with (self.threads_of_waiting if waits else self.threads).one():
            await (self.plain if waits else self.one_thread)(scope, receive, send)
