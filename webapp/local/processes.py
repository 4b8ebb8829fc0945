"""A child process that we started: its own process group, its own log, gone when we are gone."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
LARGEST_LOG = 20_000_000  # bytes; then the log becomes `<name>.log.1`

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True)
class Spec:
    """What to run, and how it wants to be stopped. A lower `stop_rank` is stopped earlier."""

    name: str
    command: tuple[str, ...]
    grace_s: float = 20
    stop_rank: int = 1
    to_terminal: bool = False


class Child:
    """One running process of a Spec. Must be started from the main thread (see `_tie_to`)."""

    def __init__(self, spec: Spec, environment: Mapping[str, str], log_dir: Path) -> None:
        self.spec = spec
        self.log = log_dir / f"{spec.name}.log"
        self.started_at = time.monotonic()
        log_dir.mkdir(parents=True, exist_ok=True)
        _rotate(self.log)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                spec.command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=None if spec.to_terminal else log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_tie_to(os.getpid()),
            )
        self.pid = self._process.pid

    def status(self) -> int | None:
        """The exit status (negative: the signal), or None while it runs.

        When it ended, what is left of its group is killed before its id can be used again.
        """
        if self._process.returncode is None and _has_ended(self.pid):
            self._signal_group(signal.SIGKILL)
        return self._process.poll()

    def ask_to_stop(self) -> None:
        """SIGTERM to the process itself; it stops its own children in its own order."""
        if self.status() is None:
            self._process.terminate()

    def kill(self) -> None:
        """SIGKILL to its whole group."""
        if self.status() is None:
            self._signal_group(signal.SIGKILL)
            self._process.wait()

    def tail(self, lines: int = 15) -> str:
        """The end of its log."""
        return tail(self.log, lines)

    def _signal_group(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log file; empty when there is none."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 64_000))
        return b"\n".join(file.read().splitlines()[-lines:]).decode(errors="replace")


def adopt_orphans() -> None:
    """Have processes whose parent died become our children, so that `orphans` finds them."""
    if _libc is not None:
        _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def orphans(known: set[int]) -> list[int]:
    """Our child processes that are not in `known`: what a dead child left behind (Linux)."""
    if _libc is None:
        return []
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        pid = int(folder.name)
        if pid not in known and _parent(folder) == os.getpid():
            found.append(pid)
    return found


def end_orphans(known: set[int], number: signal.Signals) -> int:
    """Signal every orphan and collect those that ended; returns how many are left."""
    left = orphans(known)
    for pid in left:
        try:
            os.kill(pid, number)
            os.waitpid(pid, os.WNOHANG)
        except (ProcessLookupError, ChildProcessError):
            continue
    return len(left)


def _parent(folder: Path) -> int:
    try:
        return int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return -1


def _has_ended(pid: int) -> bool:
    """Whether our child `pid` ended, leaving it uncollected."""
    if not hasattr(os, "waitid"):
        return False
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return False


def _tie_to(parent: int) -> Callable[[], None]:
    """Runs in the child: have the kernel send it SIGTERM when the thread that forked it ends."""

    def tie() -> None:
        if _libc is not None:
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
            if os.getppid() != parent:  # it died before we could ask
                os._exit(1)

    return tie


def _rotate(log: Path) -> None:
    if log.exists() and log.stat().st_size > LARGEST_LOG:
        log.replace(log.with_name(log.name + ".1"))
