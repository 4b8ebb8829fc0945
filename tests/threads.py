"""Calls that really happen at the same time, each thread with a database connection of its own."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import connection


def at_once(work: list[Callable[[], Any]], threads: int = 8) -> list[Any]:
    """Run the calls in threads that all start together, each with a connection of its own."""
    start = threading.Barrier(threads)

    def run(share: list[Callable[[], Any]]) -> list[Any]:
        try:
            start.wait()
            return [call() for call in share]
        finally:
            connection.close()

    with ThreadPoolExecutor(threads) as pool:
        shares = [work[n::threads] for n in range(threads)]
        return [result for share in pool.map(run, shares) for result in share]
