"""A large PATCH is cut, each piece with its offset; what came before a break is a piece too."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

from webapp.pieces import Pieces

KEY = "0" * 8 + "-0000-0000-0000-" + "0" * 12
PLACE = f"/uploads/{KEY}/resumable/{KEY}/"
Message = MutableMapping[str, Any]


class Application:
    """Keeps what it is given; answers with the statuses in turn, then 204."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.kept: list[tuple[int, int, bytes]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        head = dict(scope["headers"])
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message.get("more_body", False)
        left = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        assert not left.done(), "the sender of a piece does not leave"
        left.cancel()
        self.kept.append((int(head[b"upload-offset"]), int(head[b"content-length"]), body))
        status = self.statuses.pop(0) if self.statuses else 204
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def ask(
    application: Application,
    blocks: list[bytes],
    *,
    length: int | None = None,
    path: str = PLACE,
    method: str = "PATCH",
    **headers: str,
) -> list[Message]:
    """What is answered to a body that comes in `blocks`; the sender leaves after the last."""
    length = sum(map(len, blocks)) if length is None else length
    said = {"content-length": str(length), "upload-offset": "100"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    pairs = [(name.encode(), value.encode()) for name, value in said.items()]
    coming: list[Message] = [
        {"type": "http.request", "body": block, "more_body": True} for block in blocks
    ]
    if length == sum(map(len, blocks)):
        coming[-1]["more_body"] = False
    coming.append({"type": "http.disconnect"})
    sent: list[Message] = []

    async def receive() -> Message:
        return coming.pop(0) if coming else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": pairs}
    await Pieces(application, piece=10)(scope, receive, send)
    return sent


async def test_a_long_body_is_cut_and_the_last_answer_counts() -> None:
    application = Application()
    sent = await ask(application, [b"abcdefg", b"hijklmnop", b"qrstuvwxyz"])
    assert application.kept == [
        (100, 10, b"abcdefghij"),
        (110, 10, b"klmnopqrst"),
        (120, 6, b"uvwxyz"),
    ]
    assert [one.get("status") for one in sent] == [204, None]


async def test_what_came_before_a_break_is_kept() -> None:
    application = Application()
    sent = await ask(application, [b"abcdefghijklm"], length=50)
    assert application.kept == [(100, 10, b"abcdefghij"), (110, 3, b"klm")]
    assert sent == []


async def test_nothing_is_sent_on_after_a_refusal() -> None:
    application = Application(204, 409)
    sent = await ask(application, [b"x" * 40])
    assert len(application.kept) == 2
    assert sent[0]["status"] == 409


async def test_a_proxys_way_of_patching_is_cut_too() -> None:
    application = Application()
    await ask(application, [b"x" * 25], method="POST", x_http_method_override="PATCH")
    assert len(application.kept) == 3


async def test_everything_else_passes_whole() -> None:
    for options in (
        {"upload_checksum": "sha1 x"},
        {"method": "POST"},
        {"path": "/products/"},
        {"upload_offset": "9" * 30},
    ):
        seen = Passed()
        await ask(seen, [b"x" * 25], **options)  # type: ignore[arg-type]
        assert seen.times == 1


class Passed(Application):
    """Counts how often it is asked, and reads nothing."""

    times = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.times += 1
        await send({"type": "http.response.start", "status": 204, "headers": []})
