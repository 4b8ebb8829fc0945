"""Waiting for a verdict without holding a thread or a database connection."""

import asyncio
import logging
import time
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, TypeVar
from uuid import UUID
from weakref import WeakKeyDictionary

from channels.layers import get_channel_layer
from django.db import DatabaseError, InterfaceError, connection

from inspection.models import Inspection

from .push import group_name

log = logging.getLogger(__name__)
T = TypeVar("T")

LONGEST_S = 30.0
ASK_EVERY_S = 0.25  # the rows of all who wait in this process, in one query
LAYER_TIMEOUT_S = 1.0


async def verdict_within(inspection_id: UUID, seconds: float) -> bool:
    """Whether the inspection has a verdict, whichever, within `seconds` (at most LONGEST_S).

    The push of the verdict wakes whoever waits; its row is asked at intervals too, in case Redis
    is away. False says only that there was none in time: never take it for Passed.
    """
    asker = _Asker.here()
    found = asker.wait_for(inspection_id)
    heard = asyncio.ensure_future(_hear(inspection_id))
    until = time.monotonic() + min(seconds, LONGEST_S)
    try:
        while not found.done() and (left := until - time.monotonic()) > 0:
            waits: set[asyncio.Future[Any]] = {found} if heard.done() else {found, heard}
            await asyncio.wait(waits, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if heard.done() and not heard.cancelled() and heard.result():
                return True
        return found.done()
    finally:
        asker.leave(inspection_id, found)
        heard.cancel()
        with suppress(asyncio.CancelledError):
            await heard


def let_go() -> None:
    """Give the database connection back: the wait may be long."""
    if not connection.in_atomic_block:
        connection.close()


async def _hear(inspection_id: UUID) -> bool:
    """True when a push of the verdict came; False where the channel layer cannot be had. One
    `receive` for the whole wait: the layer drops the channel of one that is cancelled."""
    layer, group = get_channel_layer(), group_name(f"inspection:{inspection_id}")
    channel = ""
    try:
        channel = await _soon(layer.new_channel())
        await _soon(layer.group_add(group, channel))
        await layer.receive(channel)
        return True
    except asyncio.CancelledError:
        raise
    except Exception as error:  # whichever way a Redis is down
        log.warning("no push will tell of inspection %s: %s", inspection_id, error)
        return False
    finally:
        if channel:
            with suppress(Exception):
                await _soon(layer.group_discard(group, channel))


async def _soon(step: Awaitable[T]) -> T:
    return await asyncio.wait_for(step, LAYER_TIMEOUT_S)


class _Asker:
    """Asks for the verdicts of all who wait on one event loop, while anybody waits."""

    def __init__(self) -> None:
        self._waiting: dict[UUID, set[asyncio.Future[bool]]] = {}
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def here(cls) -> "_Asker":
        """Of the running loop."""
        return _askers.setdefault(asyncio.get_running_loop(), cls())

    def wait_for(self, key: UUID) -> "asyncio.Future[bool]":
        """Done as soon as the row has a verdict."""
        one: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, set()).add(one)
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._ask_on())
        return one

    def leave(self, key: UUID, one: "asyncio.Future[bool]") -> None:
        """Nobody waits for `one` any more."""
        with suppress(KeyError):
            self._waiting[key].discard(one)
            if not self._waiting[key]:
                del self._waiting[key]

    async def _ask_on(self) -> None:
        while self._waiting:
            for key in await asyncio.to_thread(_with_verdict, list(self._waiting)):
                for one in self._waiting.get(key, ()):
                    if not one.done():
                        one.set_result(True)
            await asyncio.sleep(ASK_EVERY_S)


_askers: WeakKeyDictionary[asyncio.AbstractEventLoop, _Asker] = WeakKeyDictionary()


def _with_verdict(keys: list[UUID]) -> list[UUID]:
    try:
        rows = Inspection.objects.filter(pk__in=keys).exclude(verdict="")
        return list(rows.values_list("pk", flat=True))
    except (DatabaseError, InterfaceError) as error:
        log.warning("verdicts could not be asked for: %s", error)
        return []
    finally:
        connection.close()  # this thread's own
