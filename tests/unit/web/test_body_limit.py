"""Large bodies are refused by their head, before Django keeps a byte of them."""

import json
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import DatabaseError, OperationalError, connection
from django.test import Client

from inspection.models import User
from inspection.services import api_keys
from inspection.services.disk import GB, free_gb
from webapp.body_limit import BodyLimit, coming

pytestmark = pytest.mark.django_db(transaction=True)
BIG = 2_500_001
FILES = f"/uploads/{uuid.uuid4()}/files/"


async def ask(
    path: str, within: Callable[[], Awaitable[None]] | None = None, **headers: str
) -> tuple[bool, int, dict[str, Any]]:
    """Whether the request reached the application, else status and answer of the refusal.
    `within` runs while the body is on its way."""
    reached: list[bool] = []
    sent: list[MutableMapping[str, Any]] = []

    async def app(*_: Any) -> None:
        reached.append(True)
        if within:
            await within()

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def receive() -> MutableMapping[str, Any]:
        raise AssertionError("the body must not be read")

    pairs = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
    await BodyLimit(app)({"type": "http", "path": path, "headers": pairs}, receive, send)
    if reached:
        return True, 200, {}
    return False, sent[0]["status"], json.loads(sent[1]["body"])


def session_cookie() -> str:
    client = Client()
    client.force_login(User.objects.create_user("anna"))
    return f"sessionid={client.cookies['sessionid'].value}"


async def test_small_bodies_pass():
    assert (await ask("/products/new/", content_length="2500000"))[0]
    assert (await ask("/products/"))[0]


async def test_large_bodies_only_go_to_uploads():
    reached, status, _ = await ask("/products/new/", content_length=str(BIG))
    assert (reached, status) == (False, 413)


@pytest.mark.parametrize("cookie", ["", "sessionid=made-up", "sessionid"])
async def test_uploads_need_somebody_signed_in(cookie: str):
    reached, status, told = await ask(FILES, content_length=str(BIG), cookie=cookie)
    assert (reached, status, told["code"]) == (False, 403, "signed_out")


async def test_somebody_signed_in_may_upload():
    cookie = await sync_to_async(session_cookie)()
    assert (await ask(FILES, content_length=str(BIG), cookie=cookie))[0]
    reached, status, told = await ask(FILES, content_length=str(10**16), cookie=cookie)
    assert (reached, status, told["code"]) == (False, 507, "disk_full")


async def test_a_body_of_unknown_length_is_refused():
    reached, status, _ = await ask(FILES, transfer_encoding="chunked")
    assert (reached, status) == (False, 411)


KEY = "01a2187a-4932-7392-b9bb-adb1465b6dac"  # fixed: it is in the names of tests
PIECES = f"/uploads/{KEY}/resumable/{KEY}/"
API_PIECES = f"/api/v1/uploads/{KEY}"


async def test_pieces_may_be_large_for_somebody_signed_in():
    cookie = await sync_to_async(session_cookie)()
    for path in (PIECES, API_PIECES):
        assert (await ask(path, content_length=str(BIG), cookie=cookie))[0]
        assert (await ask(path, content_length=str(BIG)))[1] == 403


async def test_pieces_may_be_large_for_a_key_that_works():
    def key() -> str:
        made = api_keys.create_key(
            User.objects.create_user("mes"), name="mes", scopes=["images:write"]
        )
        return made[1]

    text = await sync_to_async(key)()
    said = {"content_length": str(BIG), "authorization": f"Bearer {text}"}
    assert (await ask(API_PIECES, **said))[0]
    reached, status, told = await ask(API_PIECES, **said | {"authorization": "Bearer kin_made_up"})
    assert (reached, status, told["code"]) == (False, 401, "bad_key")
    assert (await ask(PIECES, **said))[1] == 403  # pages take no keys
    assert (await ask("/api/v1/products", **said))[1] == 413


# --- the database ------------------------------------------------------------------------


def broken_connection() -> None:
    """As a restart of the database leaves it, with one question that met it."""
    connection.ensure_connection()
    connection.connection.close()
    with pytest.raises(DatabaseError):
        User.objects.exists()


async def test_a_database_that_was_restarted_refuses_no_upload_for_good():
    cookie = await sync_to_async(session_cookie)()
    await sync_to_async(broken_connection)()  # in the thread that asks about uploads
    for _ in range(2):
        assert (await ask(FILES, content_length=str(BIG), cookie=cookie))[0]
    assert await sync_to_async(lambda: connection.connection)() is None, "none is kept"


async def test_a_database_that_is_away_is_said(monkeypatch: pytest.MonkeyPatch):
    def away(*_: Any) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr("webapp.body_limit._signed_in", away)
    reached, status, told = await ask(FILES, content_length=str(BIG))
    assert (reached, status, told["code"]) == (False, 503, "database_unreachable")


# --- how much ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "most"),
    [
        ("/api/v1/images", 200_100_000),
        ("/api/v1/uploads", 200_100_000),
        (API_PIECES, 200_100_000),
        ("/api/v1/inspections", 200_000_000),
        (PIECES, 300_000_000),
    ],
)
async def test_each_address_takes_so_much_and_no_more(path: str, most: int, settings: Any):
    settings.MAX_ARCHIVE_MB = 300
    cookie = await sync_to_async(session_cookie)()
    assert (await ask(path, content_length=str(most), cookie=cookie))[0]
    reached, status, told = await ask(path, content_length=str(most + 1), cookie=cookie)
    assert (reached, status, told["code"]) == (False, 413, "too_large")


async def test_bodies_that_come_at_once_must_fit_together():
    cookie = await sync_to_async(session_cookie)()
    half = str(int(free_gb() * GB * 0.6))
    seen: list[tuple[int, str]] = []

    async def meanwhile() -> None:
        _, status, told = await ask(FILES, content_length=half, cookie=cookie)
        seen.append((status, told["code"]))

    assert (await ask(FILES, within=meanwhile, content_length=half, cookie=cookie))[0]
    assert seen == [(507, "disk_full")]
    assert coming.bytes == 0
    assert (await ask(FILES, content_length=half, cookie=cookie))[0], "it is free again"


async def test_what_came_is_counted_by_the_disk_alone():
    cookie = await sync_to_async(session_cookie)()
    left: list[int] = []
    size = 3_000_000

    async def app(_scope: Any, receive: Any, _send: Any) -> None:
        left.append(coming.bytes)
        while (await receive())["more_body"]:
            left.append(coming.bytes)
        left.append(coming.bytes)

    bodies = iter([b"x" * 1_000_000] * 3)

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": next(bodies), "more_body": len(left) < 3}

    headers = [(b"content-length", str(size).encode()), (b"cookie", cookie.encode())]
    await BodyLimit(app)({"path": FILES, "headers": headers}, receive, receive)
    assert left == [3_000_000, 2_000_000, 1_000_000, 0]


async def test_what_breaks_off_is_given_back():
    cookie = await sync_to_async(session_cookie)()

    async def breaks() -> None:
        assert coming.bytes == BIG
        raise ConnectionError("the sender left")

    with pytest.raises(ConnectionError):
        await ask(FILES, within=breaks, content_length=str(BIG), cookie=cookie)
    assert coming.bytes == 0
