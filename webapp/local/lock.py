"""One start at a time in a folder of data."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .problems import CannotStart


@contextmanager
def only_one(var: Path) -> Iterator[None]:
    """Hold `var/demo.lock`. The kernel lets go of it however we die, so it is never stale."""
    var.mkdir(parents=True, exist_ok=True)
    with (var / "demo.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotStart(_refusal(var, file.seek(0) or file.read().strip())) from None
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        yield


def _refusal(var: Path, pid: str | int) -> str:
    return (
        f"Kintsugi runs already on the data in {var} (process {pid or 'unknown'}). Stop it there "
        "with Ctrl-C, or keep a second one apart: KINTSUGI_VAR=<another folder> make demo"
    )
