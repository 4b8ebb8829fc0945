"""What every test may use: a Redis of its own, and real worker processes.

The Redis listens on the socket that the test settings name (a temporary folder), never on a
port; TEST_REDIS_URL puts another server in its place. Workers share the test database, the
folders and the Redis of the tests, with short leases.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # so that tests.factories imports whatever started pytest
    sys.path.insert(0, str(ROOT))

from django.utils import translation  # noqa: E402

from tests.processes import EmbeddedRedis, Worker, shared_database_url  # noqa: E402

os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # Playwright runs a loop of its own


@pytest.fixture(scope="session", autouse=True)
def redis_server() -> Iterator[EmbeddedRedis | None]:
    """The embedded server of this session; None when TEST_REDIS_URL names another."""
    if "TEST_REDIS_URL" in os.environ:
        yield None
        return
    from django.conf import settings

    server = EmbeddedRedis(Path(settings.REDIS_URL.removeprefix("redis+socket://")))
    server.start()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    """A test that reads pages in Chinese leaves the next one in English."""
    yield
    translation.activate("en")


@pytest.fixture
def empty_queues() -> None:
    """No message of an earlier test waits for a worker of this one."""
    from webapp.celery import app

    with app.connection_for_write() as connection:
        channel = connection.channel()
        for queue in ("fast", "score", "train", "io", "default"):
            channel._purge(queue)


@pytest.fixture
def worker(transactional_db: None, empty_queues: None) -> Iterator[Callable[..., Worker]]:
    """`worker("train", beat=True)` starts a Celery worker process for these queues."""
    started: list[Worker] = []

    def start(*queues: str, beat: bool = False, **environment: str) -> Worker:
        one = Worker(queues, beat=beat, database_url=shared_database_url(), environment=environment)
        started.append(one)
        return one

    yield start
    stopping = [threading.Thread(target=one.end) for one in started]
    for thread in stopping:
        thread.start()
    for thread in stopping:
        thread.join()
