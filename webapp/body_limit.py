"""Large request bodies are judged by their head, before a byte of them is kept.

Django's ASGI handler writes a whole body to disk before any view or any sign-in check sees it,
so whoever reaches the port could fill the disk of the data. Only uploads may be large, only for
somebody who is signed in, and only where they fit.
"""

import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from importlib import import_module
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings

from inspection import problem
from inspection.errors import UserError
from inspection.services import api_keys
from inspection.services.disk import GB, check_free_space

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[..., Awaitable[None]]

KEY = "[0-9a-f-]{36}"
UPLOAD = re.compile(
    rf"/uploads/{KEY}/(files|resumable(/{KEY})?)/|/api/v1/(images|inspections|uploads(/{KEY})?)"
)


class BodyLimit:
    """ASGI middleware around Django's handler."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = await self._refusal(scope)
        if refused is None:
            await self.app(scope, receive, send)
        else:
            await _answer(send, scope["path"], *refused)

    async def _refusal(self, scope: Scope) -> tuple[int, str, str] | None:
        head = {name.lower(): value for name, value in scope["headers"]}
        length = head.get(b"content-length", b"")
        if not length.isdigit():
            if b"transfer-encoding" in head:
                return 411, "length_required", "Send the length of the body (Content-Length)."
            return None
        size = int(length)
        if size <= settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            return None
        if not UPLOAD.fullmatch(scope["path"]):
            return 413, "too_large", "Only the upload of pictures takes bodies of this size."
        return await sync_to_async(_upload_refusal)(head, scope["path"], size)


def _upload_refusal(head: dict[bytes, bytes], path: str, size: int) -> tuple[int, str, str] | None:
    if b"authorization" in head and path.startswith(problem.API):
        if not _has_key(head[b"authorization"]):
            return 401, "bad_key", "This key is unknown, expired or revoked."
    elif not _signed_in(head.get(b"cookie", b"")):
        return 403, "signed_out", "You are signed out; sign in again, then go on uploading."
    try:
        check_free_space(size / GB)
    except UserError as full:
        return 507, full.code, full.message
    return None


def _has_key(said: bytes) -> bool:
    """Whether the key works; what it may do is the view's to judge."""
    scheme, _space, text = said.decode("latin-1").partition(" ")
    return scheme.lower() == "bearer" and api_keys.find_key(text.strip()) is not None


def _signed_in(cookies: bytes) -> bool:
    """Whether the session exists; what its user may do is the view's to judge."""
    try:
        found = SimpleCookie(cookies.decode("latin-1")).get(settings.SESSION_COOKIE_NAME)
    except CookieError:
        return False
    store = import_module(settings.SESSION_ENGINE).SessionStore
    return found is not None and "_auth_user_id" in store(found.value)


async def _answer(send: Send, path: str, status: int, code: str, message: str) -> None:
    kind, said = "application/json", {"code": code, "message": message}
    if path.startswith(problem.API):
        kind = problem.MEDIA_TYPE
        said = problem.problem(status, code, message, instance=path)
    body = json.dumps(said).encode()
    headers = [
        (b"content-type", kind.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
