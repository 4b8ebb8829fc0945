"""The ASGI handler: one thread for a request, none for a view that waits."""

import asyncio
import threading
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path

from webapp.one_thread import Http

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


urlpatterns = [path("page", page), path("api/v1/inspections", waits, name="api-inspection-list")]


async def ask(at: str) -> bytes:
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
        "http_version": "1.1", "scheme": "http", "root_path": "",
    }  # fmt: skip
    await Http()(scope, receive, send)
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


@override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=[])
async def test_a_view_that_waits_holds_no_thread() -> None:
    assert await ask("/api/v1/inspections") == b"waited"
    assert [threading.current_thread().name] == SEEN
