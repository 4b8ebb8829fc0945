"""The embedded Redis: where its socket lies, what it keeps, who may reach it."""

import asyncio
import os
import shutil
import stat
from pathlib import Path

import pytest
from celery import Celery
from channels_redis.pubsub import RedisPubSubChannelLayer
from django.core.cache.backends.redis import RedisCache
from redis import Redis

from tests.processes import wait_for
from webapp.local import redis
from webapp.local.processes import Child
from webapp.redis_urls import broker_url, client_url, socket_of, socket_path, socket_url


def start(var: Path) -> Child:
    child = Child(redis.server(var), os.environ, var / "log")
    wait_for(lambda: redis.answers(redis.default_url(var)), 60, "Redis answers")
    return child


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    return tmp_path / ("a folder with a very long name " * 4).strip() / "jane é 100%"


@pytest.mark.parametrize("number", ["", "?virtual_host=3", "?db=3"])
def test_queue_pushes_and_cache_take_the_same_address(tmp_path: Path, number: str) -> None:
    var = tmp_path / "jane é 100%"
    server = start(var)
    url = redis.default_url(var) + number

    app = Celery(broker=broker_url(url))
    app.send_task("anything", queue="queue")
    cache = RedisCache(client_url(url), {})
    cache.set("key", "value")

    with Redis.from_url(client_url(url)) as client:
        assert client.llen("queue") == 1
    assert cache.get("key") == "value"
    assert asyncio.run(_pushed(client_url(url))) == {"type": "hello"}
    server.kill()


async def _pushed(url: str) -> object:
    layer = RedisPubSubChannelLayer(hosts=[url])
    channel = await layer.new_channel()
    await layer.group_add("group", channel)
    await layer.group_send("group", {"type": "hello"})
    return await asyncio.wait_for(layer.receive(channel), 30)


def test_queued_messages_survive_a_kill(tmp_path: Path) -> None:
    server = start(tmp_path)
    with Redis.from_url(client_url(redis.default_url(tmp_path))) as client:
        client.rpush("queue", "message")
        wait_for(lambda: client.info("persistence")["aof_pending_bio_fsync"] == 0, 30, "fsync")
    server.kill()

    server = start(tmp_path)

    with Redis.from_url(client_url(redis.default_url(tmp_path))) as client:
        assert client.lrange("queue", 0, -1) == [b"message"]
    server.kill()


def test_it_listens_on_no_port_and_only_we_can_enter(tmp_path: Path) -> None:
    server = start(tmp_path)
    with Redis.from_url(client_url(redis.default_url(tmp_path))) as client:
        assert client.config_get("port") == {"port": "0"}
    socket = socket_path(tmp_path)
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(socket.stat().st_mode) == 0o600
    server.kill()


def test_a_deep_folder_gets_its_socket_in_the_temporary_folder(deep: Path) -> None:
    socket = socket_path(deep)
    assert len(os.fsencode(socket)) <= 100
    assert socket != socket_path(deep / "other")

    server = start(deep)

    assert (deep / "redis" / "appendonly.aof").exists()
    server.kill()
    shutil.rmtree(socket.parent)


@pytest.mark.parametrize(
    ("url", "broker", "client"),
    [
        ("redis://:pw@host:1/2", "redis://:pw@host:1/2", "redis://:pw@host:1/2"),
        ("unix:///a/b.sock", "redis+socket:///a/b.sock", "unix:///a/b.sock"),
        ("unix:///a?db=1", "redis+socket:///a?virtual_host=1", "unix:///a?db=1"),
        ("redis+socket:///a?virtual_host=1", "redis+socket:///a?virtual_host=1", "unix:///a?db=1"),
    ],
)
def test_each_library_gets_its_spelling(url: str, broker: str, client: str) -> None:
    assert (broker_url(url), client_url(url)) == (broker, client)


def test_a_path_survives_the_way_into_an_address_and_back() -> None:
    path = Path("/a b/ü/100%25/r.sock")
    assert socket_of(socket_url(path)) == path
    assert socket_of("redis://host:1/0") is None


def test_a_password_is_not_shown() -> None:
    assert redis.without_password("redis://:secret@host:1/0") == "redis://host:1/0"
