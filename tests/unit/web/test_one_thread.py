"""The ASGI handler: one thread for a request, none for a view that waits."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path

from webapp.one_thread import MOST_IDLE, Http, Threads

SEEN: list[str] = []


def seen_by(get_response: Any) -> Any:
    """A middleware that runs in threads only, as most do."""

    def middleware(request: HttpRequest) -> HttpResponse:
        SEEN.append(threading.current_thread().name)
        return get_response(request)

    return middleware


def page(request: HttpRequest) -> HttpResponse:
    SEEN.append(threading.current_thread().name)
    return HttpResponse("a page")


async def waits(request: HttpRequest) -> HttpResponse:
    SEEN.append(threading.current_thread().name)
    await asyncio.sleep(0)
    return HttpResponse("waited")


OPENED: list[bool] = []


def broken(request: HttpRequest) -> StreamingHttpResponse:
    def pieces() -> Iterator[bytes]:
        connection.ensure_connection()
        OPENED.append(connection.connection is not None)
        yield b"a piece"
        raise OSError("the store went away")

    return StreamingHttpResponse(pieces())


urlpatterns = [
    path("page", page),
    path("broken", broken),
    path("api/v1/inspections", waits, name="api-inspection-list"),
]


async def ask(at: str, http: Http | None = None) -> bytes:
    sent: list[dict[str, Any]] = []
    said = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if not said.is_set():
            said.set()
            return {"type": "http.request", "body": b"", "more_body": False}
        await asyncio.sleep(3600)
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "GET", "path": at, "query_string": b"", "headers": [],
        "http_version": "1.1", "scheme": "http", "root_path": "", "server": ("testserver", 80),
    }  # fmt: skip
    await (http or Http())(scope, receive, send)
    assert sent[0]["status"] == 200, sent
    return b"".join(message.get("body", b"") for message in sent[1:])


@pytest.fixture(autouse=True)
def forget() -> None:
    SEEN.clear()


@override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=[f"{__name__}.seen_by"] * 3)
async def test_a_page_and_its_middlewares_run_in_one_thread() -> None:
    assert await ask("/page") == b"a page"
    assert len(SEEN) == 4
    assert len(set(SEEN)) == 1
    assert SEEN[0] != threading.current_thread().name


@override_settings(
    ROOT_URLCONF=__name__,
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
)
async def test_a_page_changes_threads_less_often_than_of_its_own_accord(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changes: list[Any] = []

    class Counted(ThreadPoolExecutor):
        def submit(self, *args: Any, **kwargs: Any) -> Any:
            changes.append(args)
            return super().submit(*args, **kwargs)

    monkeypatch.setattr("webapp.one_thread.ThreadPoolExecutor", Counted)
    http = Http()
    await ask("/page", http)
    ours, http.one_thread = len(changes), http.plain
    changes.clear()
    await ask("/page", http)
    # Both begin, end and give the thread back; between, ours changes once.
    assert ours <= 4 < len(changes), (ours, len(changes))


@override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=[])
async def test_a_view_that_waits_holds_none_of_the_pages_threads() -> None:
    http = Http()
    await ask("/page", http)
    await free(http.threads)
    assert await ask("/api/v1/inspections", http) == b"waited"
    assert threading.current_thread().name == SEEN[-1]
    await free(http.threads_of_waiting)
    assert len(http.threads._idle) == 1


async def until(holds: Callable[[], bool]) -> None:
    """Wait for it, 20 s at most."""
    for _ in range(2000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came to that")


async def free(threads: Threads) -> None:
    await until(lambda: bool(threads._idle))


@override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=[])
async def test_the_next_request_takes_the_thread_that_is_there() -> None:
    http = Http()
    for _ in range(5):
        await ask("/page", http)
        await free(http.threads)
    assert SEEN == ["request-1_0"] * 5


async def in_a_thread(threads: Threads, work: Any, *given: Any) -> Any:
    async with threads.one():
        return await sync_to_async(work)(*given)


async def test_requests_at_the_same_time_share_no_thread() -> None:
    threads, here = Threads(), threading.Barrier(8)

    def meet() -> int:
        here.wait(30)  # breaks unless all eight are in threads of their own
        return threading.get_ident()

    found = await asyncio.gather(*(in_a_thread(threads, meet) for _ in range(8)))
    assert len(set(found)) == 8


async def test_a_thread_is_lent_again_only_when_it_is_free() -> None:
    threads, begun, go_on = Threads(), threading.Event(), threading.Event()

    def work_long() -> None:
        begun.set()
        go_on.wait(60)

    left = asyncio.create_task(in_a_thread(threads, work_long))
    await until(begun.is_set)
    left.cancel()  # the browser went away; its page is still being made
    await asyncio.wait([left])
    started = time.monotonic()
    await in_a_thread(threads, lambda: None)
    assert time.monotonic() - started < 30
    go_on.set()


async def test_after_a_burst_only_some_threads_stay() -> None:
    threads, many = Threads(), 2 * MOST_IDLE
    here, mine = threading.Barrier(many), []

    def meet() -> None:
        mine.append(threading.current_thread())
        here.wait(30)

    await asyncio.gather(*(in_a_thread(threads, meet) for _ in range(many)))
    await until(lambda: sum(one.is_alive() for one in mine) == len(threads._idle))
    assert MOST_IDLE <= len(threads._idle) < many - MOST_IDLE // 2


@pytest.mark.django_db(transaction=True)
@override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=[])
async def test_a_stream_that_breaks_off_leaves_no_connection_behind() -> None:
    http = Http()
    with pytest.raises(OSError, match="the store went away"):
        await ask("/broken", http)
    await free(http.threads)
    thread = http.threads._idle[0]
    assert OPENED == [True]
    assert thread.submit(lambda: connection.connection).result(5) is None
