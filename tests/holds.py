"""A hold on a function of another process: whoever kills that process in the middle may come late
to it, and still meets it in the middle.

A process that is given `hold.environment` makes as many calls of the function as the test allows;
the next one waits until more are allowed, the hold is let go, or the worker was asked to stop.
Workers import this module (`celery worker -I tests.holds`), commands are run through it
(`python -m tests.holds exchange`).
"""

import functools
import itertools
import os
import pkgutil
import sys
import time
from pathlib import Path
from typing import Any

VARIABLE = "KINTSUGI_TEST_HOLD"
LOOK_EVERY_S = 0.05


class Hold:
    """`function` is a dotted name, as it is looked up by whoever calls it."""

    def __init__(self, folder: Path, function: str, calls: int) -> None:
        self._file = folder / "hold"
        self.environment = {VARIABLE: f"{function}{os.pathsep}{self._file}"}
        self.allow(calls)

    def allow(self, calls: int) -> None:
        """So many calls in each process, counted from its start."""
        written = self._file.with_suffix(".new")
        written.write_text(str(calls))
        written.replace(self._file)

    def let_go(self) -> None:
        """As many as it likes."""
        self._file.unlink(missing_ok=True)


def _allowed(file: Path) -> float:
    try:
        return int(file.read_text())
    except FileNotFoundError:
        return float("inf")


def _put_on(function: str, file: Path) -> None:
    from inspection.jobs import shutdown

    where, _, name = function.rpartition(".")
    owner = pkgutil.resolve_name(where)
    real, calls = getattr(owner, name), itertools.count(1)

    @functools.wraps(real)
    def held(*args: Any, **kwargs: Any) -> Any:
        number = next(calls)
        while number > _allowed(file) and not shutdown.requested():
            time.sleep(LOOK_EVERY_S)
        return real(*args, **kwargs)

    setattr(owner, name, held)


def _begin() -> None:
    if VARIABLE in os.environ:
        function, _, file = os.environ[VARIABLE].partition(os.pathsep)
        _put_on(function, Path(file))


if __name__ == "__main__":
    import django
    from django.core.management import execute_from_command_line

    django.setup()
    _begin()
    execute_from_command_line(["manage.py", *sys.argv[1:]])
else:
    _begin()
