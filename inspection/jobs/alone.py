"""Work of which one at a time is enough: a second one would only take the place of other work."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings


@contextlib.contextmanager
def alone(name: str) -> Iterator[bool]:
    """Whether nobody else does `name` with this data folder now; nobody begins it meanwhile. The
    hold on it dies with its process."""
    with (Path(settings.VAR_DIR) / f"{name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
