"""Pictures that stores have to send first: fetched by threads of our own, a share for each sender.

One whose store hangs, or who asks for very many, holds neither all threads nor the memory: others
always find some. What was begun counts until it has ended, also where nobody waits for it any more.
"""

import asyncio
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any
from weakref import WeakKeyDictionary

from inspection.errors import UserError, WrongState
from inspection.services import image_stores

AT_ONCE = 16
AT_ONCE_FOR_ONE = 12
MOST_FOR_ONE = 128  # that wait or are on their way
Found = dict[str, IO[bytes] | UserError]  # what was fetched, by its address


class TooManyFetches(WrongState):
    """So many are under way for this sender that no more are taken; ask again later."""

    retry_after = 5


class _Share:
    """What is under way for one sender."""

    def __init__(self) -> None:
        self.turns = asyncio.Semaphore(AT_ONCE_FOR_ONE)
        self.count = 0


_Shares = dict[Any, _Share]
_fetchers = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="image-store")
_by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, _Shares] = WeakKeyDictionary()


async def fetched(sender: Any, addresses: Iterable[str]) -> Found:
    """Every address with its file, which the caller closes, or why there is none."""
    wanted = list(dict.fromkeys(addresses))
    shares = _by_loop.setdefault(asyncio.get_running_loop(), {})
    share = shares.setdefault(sender, _Share())
    if share.count + len(wanted) > MOST_FOR_ONE:
        return dict.fromkeys(wanted, _too_many())

    def ended(_: object) -> None:
        share.count -= 1
        if not share.count:
            shares.pop(sender, None)

    share.count += len(wanted)
    tasks = [asyncio.ensure_future(_fetch(share, one)) for one in wanted]
    for task in tasks:
        task.add_done_callback(ended)
    try:
        files = await asyncio.shield(asyncio.gather(*tasks))
    except asyncio.CancelledError:  # the sender went away
        for task in tasks:
            task.add_done_callback(_thrown_away)
        raise
    return dict(zip(wanted, files, strict=True))


def close(found: Found) -> None:
    for file in found.values():
        if not isinstance(file, UserError):
            file.close()


async def _fetch(share: _Share, address: str) -> IO[bytes] | UserError:
    async with share.turns:
        return await asyncio.get_running_loop().run_in_executor(_fetchers, _try, address)


def _try(address: str) -> IO[bytes] | UserError:
    try:
        return image_stores.fetch(address)
    except UserError as error:
        return error


def _thrown_away(task: "asyncio.Task[IO[bytes] | UserError]") -> None:
    if task.cancelled() or task.exception():
        return
    file = task.result()
    if not isinstance(file, UserError):
        file.close()


def _too_many() -> TooManyFetches:
    return TooManyFetches(
        "too_many_fetches",
        "{most} pictures are being fetched for you already. Send the same again in some seconds.",
        most=MOST_FOR_ONE,
    )
