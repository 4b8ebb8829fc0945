"""Whether this worker was asked to stop, as its task processes see it.

Celery's main process gets the SIGTERM and waits for running tasks; the tasks are in forked
children that hear nothing. One byte of memory shared by the fork tells them. A byte and not
a multiprocessing.Event: a child killed while it holds the Event's lock would block the rest.
"""

import mmap
from typing import Any

_flag = mmap.mmap(-1, 1)


def request(**_: Any) -> None:
    """Ask every task of this worker to put its job back soon (a Celery signal handler)."""
    _flag[0] = 1


def requested() -> bool:
    """Whether the worker is stopping."""
    return _flag[0] == 1


def reset() -> None:
    """Forget a request (a worker starts)."""
    _flag[0] = 0
