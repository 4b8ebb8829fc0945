"""A large PATCH of a resumable upload reaches the application in pieces of a few megabytes.

Django's ASGI handler keeps a body to itself until the last byte came. A connection that breaks off
after a gigabyte would leave nothing; a resumable upload wants what came. So the body is cut here,
and each piece goes through the whole application as a request of its own, with the offset that it
begins at; the last answer is the sender's. When the connection breaks, what came is the last piece.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[..., Awaitable[None]]

KEY = "[0-9a-f-]{36}"
PLACES = re.compile(rf"/uploads/{KEY}/resumable/{KEY}/|/api/v1/uploads/{KEY}")
PIECE = 4 << 20
KEPT = 204


class Pieces:
    """ASGI middleware around Django's handler."""

    def __init__(self, app: App, piece: int = PIECE) -> None:
        self.app = app
        self.piece = piece

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        head = {name.lower(): value for name, value in scope["headers"]}
        if self._whole(scope, head):
            await self.app(scope, receive, send)
        else:
            await self._cut(scope, head, receive, send)

    def _whole(self, scope: Message, head: dict[bytes, bytes]) -> bool:
        """What is short enough, or has a checksum over all of it, or is no piece at all."""
        patch = scope["method"] == "PATCH" or (
            head.get(b"x-http-method-override", b"").upper() == b"PATCH"
        )
        numbers = (head.get(b"content-length", b""), head.get(b"upload-offset", b""))
        return (
            not patch
            or not PLACES.fullmatch(scope["path"])
            or b"upload-checksum" in head
            or not all(number.isdigit() and len(number) < 19 for number in numbers)
            or int(numbers[0]) <= self.piece
        )

    async def _cut(
        self, scope: Message, head: dict[bytes, bytes], receive: Receive, send: Send
    ) -> None:
        offset, left = int(head[b"upload-offset"]), int(head[b"content-length"])
        rest, more = b"", True
        while left:
            piece, rest, more = await _gather(receive, rest, min(self.piece, left), more)
            if piece:
                answer = await self._ask(scope, offset, piece)
            offset, left = offset + len(piece), left - len(piece)
            broken = not more and not rest and left > 0
            if broken:
                return  # nobody is there to hear an answer
            if not left or answer[0]["status"] != KEPT:
                break
        for message in answer:
            await send(message)

    async def _ask(self, scope: Message, offset: int, piece: bytes) -> list[Message]:
        """The application's answer to one piece."""
        own = {b"content-length": str(len(piece)), b"upload-offset": str(offset)}
        kept = [(name, value) for name, value in scope["headers"] if name.lower() not in own]
        headers = kept + [(name, value.encode()) for name, value in own.items()]
        messages: list[Message] = []
        given = False

        async def receive() -> Message:
            nonlocal given
            if given:  # the application listens for a sender that leaves; a piece is here whole
                await asyncio.Event().wait()
            given = True
            return {"type": "http.request", "body": piece, "more_body": False}

        async def send(message: Message) -> None:
            messages.append(message)

        await self.app({**scope, "headers": headers}, receive, send)
        return messages


async def _gather(
    receive: Receive, begun: bytes, size: int, more: bool
) -> tuple[bytes, bytes, bool]:
    """The next `size` bytes, or fewer where the sender left; what came beyond them; whether more
    may come."""
    parts, have = [begun], len(begun)
    while have < size and more:
        message = await receive()
        if message["type"] != "http.request":
            more = False
            break
        parts.append(message.get("body", b""))
        have += len(parts[-1])
        more = bool(message.get("more_body"))
    whole = b"".join(parts)
    return whole[:size], whole[size:], more
