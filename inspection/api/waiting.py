"""What a submission waits for without holding the thread that answers everybody: pictures that a
store has to send first, and the verdict.
"""

import asyncio
import re
from collections.abc import Callable
from functools import wraps
from typing import Any
from weakref import WeakKeyDictionary

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponseBase

from inspection.live.waiting import LONGEST_S, let_go, verdict_within

from .fetching import close, fetched

MOST_AT_ONCE = 12  # fewer than the pool of the database has: pages ask too
WAIT = re.compile(r"(?:^|[,;\s])wait=(\d{1,4})(?:$|[,;\s])", re.IGNORECASE)


def wanted_seconds(prefer: str) -> float:
    """Of a `Prefer` header; 0 where it asks for no wait."""
    found = WAIT.search(prefer)
    return float(found[1]) if found else 0.0


def waits(view: Callable[..., Any]) -> Any:
    """The view, then, where `Prefer: wait` asks for it, its answer once the verdict is there."""

    @wraps(view)  # also what the schema and the middlewares look for on a view
    async def waiting(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        async with _turn():
            response: Any = await sync_to_async(_and_let_go)(view, request, *args, **kwargs)
        if addresses := getattr(response, "fetches", None):
            response = await _with_pictures(response, addresses)
        seconds = wanted_seconds(request.headers.get("Prefer", ""))
        key = getattr(response, "waits_for", None)
        if seconds and key and await verdict_within(key, seconds):
            async with _turn():
                response = await sync_to_async(_and_let_go)(response.ask_again)
        if seconds and request.method == "POST" and response.status_code < 300:
            # Also where the verdict was there at once.
            response["Preference-Applied"] = f"wait={min(seconds, LONGEST_S):.0f}"
        answer: HttpResponseBase = response
        return answer

    return waiting


async def _with_pictures(response: Any, addresses: list[str]) -> Any:
    """Go on with the pictures of `addresses`. A slow store holds one of our threads for it, not
    the one that answers all others."""
    found = await fetched(response.fetches_for, addresses)
    try:
        async with _turn():
            return await sync_to_async(_and_let_go)(response.go_on, found)
    finally:
        close(found)


def _turn() -> asyncio.Semaphore:
    """So many at once reach for the database: 200 clients must not take 200 connections."""
    loop = asyncio.get_running_loop()
    return _turns.setdefault(loop, asyncio.Semaphore(MOST_AT_ONCE))


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


def _and_let_go(work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """In a thread of the pool, which must keep no connection to the database."""
    try:
        return work(*args, **kwargs)
    finally:
        let_go()
