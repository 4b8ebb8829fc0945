"""Keeps a set of processes running until it is told to stop, then stops them all, in order."""

import contextlib
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType, TracebackType

from .problems import CannotStart
from .processes import Child, Spec, adopt_orphans, end_orphans, tail

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOOK_EVERY_S = 0.2
STOPPING = (
    "Stopping; a training saves its state (up to a minute). Ctrl-C again stops everything at once."
)
CALM_S = 60.0  # a process that lived this long starts again without a longer wait
LONGEST_WAIT_S = 30.0
DEATHS_TOO_MANY = 5  # within one `strict` run


class Stopped(Exception):
    """Somebody asked us to stop while we waited for something."""


class Supervisor:
    """`with Supervisor(…) as house: house.start(spec) … house.watch()`.

    On the way out, whatever the way, every process that was started is stopped.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        log_dir: Path,
        say: Callable[[str], None],
        *,
        strict: bool = False,
    ) -> None:
        self.environment = environment
        self.log_dir = log_dir
        self.say = say
        self.strict = strict
        self.children: dict[str, Child] = {}
        self._deaths: Counter[str] = Counter()
        self._due: dict[str, tuple[float, Spec]] = {}
        self._asked = self._hurry = False  # plain flags: a handler must not take a lock
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> "Supervisor":
        adopt_orphans()
        for number in STOP_SIGNALS:
            self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def start(self, *specs: Spec) -> None:
        """Start processes; each is started again whenever it ends unasked."""
        for spec in specs:
            self.children[spec.name] = Child(spec, self.environment, self.log_dir)

    def watch(self, until: Callable[[], bool] = lambda: False) -> None:
        """Keep everything running until `until()` is true. Raises Stopped when asked to stop."""
        while not until():
            if self._asked:
                with contextlib.suppress(OSError):  # the terminal may be what went away
                    self.say(STOPPING)
                raise Stopped
            self._look_after()
            time.sleep(LOOK_EVERY_S)

    def wait(self, ready: Callable[[], bool], seconds: float, what: str) -> None:
        """Watch until `ready()`; CannotStart, with the ends of the logs, when it takes longer."""
        deadline = time.monotonic() + seconds
        self.watch(lambda: ready() or time.monotonic() > deadline)
        if not ready():
            logs = sorted(self.log_dir.glob("*.log")) if self.log_dir.is_dir() else []
            ends = "\n".join(f"--- {log}\n{tail(log, 8)}" for log in logs)
            raise CannotStart(f"{what} does not answer after {seconds:.0f} s.\n{ends}")

    def run(self, spec: Spec) -> int:
        """Run one process to its end, looking after the others; returns its exit status."""
        child = Child(spec, self.environment, self.log_dir)
        try:
            self.watch(lambda: child.status() is not None)
        finally:
            self._stop_together([child])
        return child.status() or 0

    def stop(self) -> None:
        """Stop every process: by rank, those of a rank together, each within its grace."""
        self._due.clear()
        children = list(self.children.values())
        for rank in sorted({child.spec.stop_rank for child in children}):
            self._stop_together([c for c in children if c.spec.stop_rank == rank])
        self.children.clear()
        while end_orphans(set(), signal.SIGKILL):
            time.sleep(0.05)

    def _stop_together(self, waiting: list[Child]) -> None:
        """Ask all of them, then wait for each as long as its grace lasts, then kill."""
        asked_at = time.monotonic()
        for child in waiting:
            child.ask_to_stop()
        while waiting := [child for child in waiting if child.status() is None]:
            for child in waiting:
                if self._hurry or time.monotonic() - asked_at > child.spec.grace_s:
                    child.kill()
            time.sleep(0.05)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._hurry = self._asked  # asked twice: no grace
        self._asked = True

    def _look_after(self) -> None:
        for name, child in list(self.children.items()):
            status = child.status()
            if status is not None:
                del self.children[name]
                self._on_death(child, status)
        now = time.monotonic()
        for name, (at, spec) in list(self._due.items()):
            if now >= at:
                del self._due[name]
                self.start(spec)

    def _on_death(self, child: Child, status: int) -> None:
        name = child.spec.name
        if time.monotonic() - child.started_at > CALM_S:
            self._deaths[name] = 0
        self._deaths[name] += 1
        if self.strict and self._deaths[name] >= DEATHS_TOO_MANY:
            raise CannotStart(
                f"{name} ended {self._deaths[name]} times ({describe(status)}). The end of its "
                f"log, {child.log}:\n{child.tail()}"
            )
        wait = min(2.0 ** (self._deaths[name] - 1), LONGEST_WAIT_S)
        self._due[name] = (time.monotonic() + wait, child.spec)
        self.say(
            f"{name} ended unexpectedly ({describe(status)}); starting it again in {wait:.0f} s. "
            f"Its log: {child.log}"
        )


def describe(status: int) -> str:
    """An exit status in words."""
    if status >= 0:
        return f"exit status {status}"
    return f"killed by {signal.Signals(-status).name}"
