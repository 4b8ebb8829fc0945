"""A push reaches who watches the topic, after the commit, and never fails the work."""

import asyncio
import json
import time
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.db import connection, transaction

from inspection.live.push import (
    MESSAGE_TYPE,
    SEND_TIMEOUT_S,
    group_name,
    push,
    push_to,
    user_topic,
)
from tests.processes import EmbeddedRedis

pytestmark = pytest.mark.django_db(transaction=True)


async def watch(topic: str) -> tuple[Any, str]:
    layer = get_channel_layer()
    channel = await layer.new_channel()
    await layer.group_add(group_name(topic), channel)
    return layer, channel


async def test_who_watches_the_topic_is_told() -> None:
    layer, channel = await watch("run:7")
    await sync_to_async(push)("run:7", "progress", fraction=0.5)
    message = await asyncio.wait_for(layer.receive(channel), 30)
    assert message["type"] == MESSAGE_TYPE
    assert json.loads(message["text"]) == {"topic": "run:7", "type": "progress", "fraction": 0.5}


async def test_nothing_is_told_of_what_was_rolled_back() -> None:
    layer, channel = await watch("run:8")

    def roll_back() -> None:
        with transaction.atomic():
            push("run:8", "state", state="done")
            transaction.set_rollback(True)
        push("run:8", "state", state="failed")
        connection.close()  # this thread's own

    await sync_to_async(roll_back)()
    message = await asyncio.wait_for(layer.receive(channel), 30)
    assert json.loads(message["text"])["state"] == "failed"


def test_a_redis_that_is_down_does_not_fail_the_work(redis_server: EmbeddedRedis | None) -> None:
    if redis_server is None:
        pytest.skip("the Redis of TEST_REDIS_URL is not ours to stop")
    redis_server.stop()
    try:
        started = time.monotonic()
        push("run:9", "state", state="done")
        assert time.monotonic() - started < SEND_TIMEOUT_S + 15
    finally:
        redis_server.start()


async def test_only_the_person_hears_what_is_theirs() -> None:
    one, other = uuid4(), uuid4()
    (layer, mine), (_, theirs) = await watch(user_topic(one)), await watch(user_topic(other))
    await sync_to_async(push_to)(one, "notification", title="Ready")
    message = await asyncio.wait_for(layer.receive(mine), 30)
    assert json.loads(message["text"]) == {"topic": "me", "type": "notification", "title": "Ready"}
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(layer.receive(theirs), 0.2)
