"""Waiting for a verdict without holding a thread or a database connection."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.db import connection

from inspection.live.push import group_name
from inspection.models import Inspection

LOOK_EVERY_S = 0.25  # a push may be lost, and Redis may be away: the row decides
LONGEST_S = 30.0


async def verdict_within(inspection_id: UUID, seconds: float) -> bool:
    """Whether the inspection has a verdict within `seconds` (at most LONGEST_S)."""
    until = time.monotonic() + min(seconds, LONGEST_S)
    async with _listening(f"inspection:{inspection_id}") as heard:
        while not await sync_to_async(_has_verdict)(inspection_id):
            left = until - time.monotonic()
            if left <= 0:
                return False
            await heard(min(left, LOOK_EVERY_S))
    return True


def _has_verdict(inspection_id: UUID) -> bool:
    try:
        return Inspection.objects.filter(pk=inspection_id).exclude(verdict="").exists()
    finally:
        let_go()


def let_go() -> None:
    """Give the database connection back to the pool: the wait may be long."""
    if not connection.in_atomic_block:
        connection.close()


@contextlib.asynccontextmanager
async def _listening(topic: str) -> AsyncIterator[Any]:
    """Gives an awaitable that ends with the next push on `topic`, or after its seconds."""
    layer = get_channel_layer()
    group = group_name(topic)
    try:
        channel = await layer.new_channel()
        await layer.group_add(group, channel)
    except Exception:  # whichever way Redis is away: the row is asked all the same
        yield asyncio.sleep
        return

    async def heard(seconds: float) -> None:
        try:
            await asyncio.wait_for(layer.receive(channel), seconds)
        except TimeoutError:
            return
        except Exception:
            await asyncio.sleep(seconds)

    try:
        yield heard
    finally:
        with contextlib.suppress(Exception):
            await layer.group_discard(group, channel)
