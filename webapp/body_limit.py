"""Large request bodies are judged by their head, before a byte of them is kept.

Django's ASGI handler writes a whole body to disk before any view or any sign-in check sees it,
so whoever reaches the port could fill the disk of the data. Only uploads may be large, only as
large as their address takes, only for somebody who is signed in, and only where they fit, together
with what others are sending just now.
"""

import json
import logging
import re
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from importlib import import_module
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import close_old_connections

from inspection import problem
from inspection.api.parsers import SLACK
from inspection.api.submissions import MOST_MB
from inspection.errors import UserError
from inspection.live.waiting import let_go
from inspection.services import api_keys
from inspection.services.disk import GB, check_free_space
from inspection.services.images import MB
from inspection.web.outage import REMEDY, WHAT, outage_code

log = logging.getLogger(__name__)
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[..., Awaitable[None]]

KEY = "[0-9a-f-]{36}"
UPLOAD = re.compile(
    rf"/uploads/{KEY}/(files|resumable(/{KEY})?)/|/api/v1/(images|inspections|uploads(/{KEY})?)"
)


PICTURE = re.compile(rf"/api/v1/(images|uploads(/{KEY})?)")
PIECE = re.compile(rf"/uploads/{KEY}/resumable(/{KEY})?/")


class Coming:
    """Bytes that large bodies will still bring to this process: the disk must have room for all
    of them, whoever comes first."""

    def __init__(self) -> None:
        self.bytes = 0
        self._lock = threading.Lock()

    def reserve(self, size: int) -> None:
        """Raises UserError `disk_full` where they do not fit."""
        with self._lock:
            check_free_space((self.bytes + size) / GB)
            self.bytes += size

    def give_back(self, size: int) -> None:
        """So many are on the disk now, or will never come."""
        with self._lock:
            self.bytes -= size


coming = Coming()


class Body:
    """One body, and what is reserved for it."""

    def __init__(self) -> None:
        self.left = 0

    def reserve(self, size: int) -> None:
        coming.reserve(size)
        self.left = size

    def counted(self, receive: Receive) -> Receive:
        """`receive` that gives back what came: the disk itself tells of it then."""
        if not self.left:
            return receive

        async def counting() -> MutableMapping[str, Any]:
            message = await receive()
            self.give_back(len(message.get("body", b"")))
            return message

        return counting

    def give_back(self, size: int | None = None) -> None:
        """By default all that is left: nothing more comes."""
        size = self.left if size is None else min(size, self.left)
        self.left -= size
        coming.give_back(size)


class BodyLimit:
    """ASGI middleware around Django's handler."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = Body()
        try:
            refused = await self._refusal(scope, body)
            if refused is None:
                await self.app(scope, body.counted(receive), send)
            else:
                await _answer(send, scope["path"], *refused)
        finally:
            body.give_back()

    async def _refusal(self, scope: Scope, body: Body) -> tuple[int, str, str] | None:
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
        most = _most(scope["path"])
        if most is not None and size > most:
            return 413, "too_large", f"This address takes at most {most // MB} MB at once."
        return await sync_to_async(_upload_refusal)(head, scope["path"], size, body)


def _most(path: str) -> int | None:
    """How many bytes the view behind the address takes; None: what the disk has room for, since
    a file that is too large gets a receipt there."""
    if PICTURE.fullmatch(path):
        return int(settings.MAX_FILE_MB) * MB + SLACK
    if PIECE.fullmatch(path):
        return int(settings.MAX_ARCHIVE_MB) * MB
    return MOST_MB * MB if path.startswith(problem.API) else None


def _upload_refusal(
    head: dict[bytes, bytes], path: str, size: int, body: Body
) -> tuple[int, str, str] | None:
    """Runs outside any request, in a thread that lives as long as the process: a connection
    that it kept would never be looked at again, and be broken for good once the database restarts.
    """
    close_old_connections()
    try:
        return _stranger(head, path) or _too_much(size, body)
    except Exception as error:
        code = outage_code(error)
        if not code:
            raise
        log.error("%s", WHAT[code], exc_info=error)
        return 503, code, f"{WHAT[code]} {REMEDY}"
    finally:
        let_go()


def _stranger(head: dict[bytes, bytes], path: str) -> tuple[int, str, str] | None:
    if b"authorization" in head and path.startswith(problem.API):
        if not _has_key(head[b"authorization"]):
            return 401, "bad_key", "This key is unknown, expired or revoked."
    elif not _signed_in(head.get(b"cookie", b"")):
        return 403, "signed_out", "You are signed out; sign in again, then go on uploading."
    return None


def _too_much(size: int, body: Body) -> tuple[int, str, str] | None:
    try:
        body.reserve(size)
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
