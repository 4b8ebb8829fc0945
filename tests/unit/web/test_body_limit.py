"""Large bodies are refused by their head, before Django keeps a byte of them."""

import json
import uuid
from collections.abc import MutableMapping
from typing import Any

import pytest
from django.test import Client

from inspection.models import User
from inspection.services import api_keys
from webapp.body_limit import BodyLimit

pytestmark = pytest.mark.django_db(transaction=True)
BIG = 2_500_001
FILES = f"/uploads/{uuid.uuid4()}/files/"


async def ask(path: str, **headers: str) -> tuple[bool, int, dict[str, Any]]:
    """Whether the request reached the application, else status and answer of the refusal."""
    reached: list[bool] = []
    sent: list[MutableMapping[str, Any]] = []

    async def app(*_: Any) -> None:
        reached.append(True)

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
    from asgiref.sync import sync_to_async

    cookie = await sync_to_async(session_cookie)()
    assert (await ask(FILES, content_length=str(BIG), cookie=cookie))[0]
    reached, status, told = await ask(FILES, content_length=str(10**16), cookie=cookie)
    assert (reached, status, told["code"]) == (False, 507, "disk_full")


async def test_a_body_of_unknown_length_is_refused():
    reached, status, _ = await ask(FILES, transfer_encoding="chunked")
    assert (reached, status) == (False, 411)


PIECES = f"/uploads/{uuid.uuid4()}/resumable/{uuid.uuid4()}/"
API_PIECES = f"/api/v1/uploads/{uuid.uuid4()}"


async def test_pieces_may_be_large_for_somebody_signed_in():
    from asgiref.sync import sync_to_async

    cookie = await sync_to_async(session_cookie)()
    for path in (PIECES, API_PIECES):
        assert (await ask(path, content_length=str(BIG), cookie=cookie))[0]
        assert (await ask(path, content_length=str(BIG)))[1] == 403


async def test_pieces_may_be_large_for_a_key_that_works():
    from asgiref.sync import sync_to_async

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
