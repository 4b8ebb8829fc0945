"""What may end a run between two steps: cancel, SIGTERM, a parent that is gone."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path
from types import FrameType

PR_SET_PDEATHSIG = 1


class Stop(Exception):
    """Leave at the next safe point with `status`, after a checkpoint."""

    status = 1
    reason = "Stopped."


class Cancelled(Stop):
    """The app asked for it."""

    status = 3
    reason = "Cancelled; a checkpoint was kept."


class WaitingForVetting(Stop):
    """A person decides first."""

    status = 4
    reason = "Waiting for a decision on the suspicious pictures."


class Terminated(Stop):
    """SIGTERM, or nobody is left to listen; the run can be started again."""

    status = 75
    reason = "Interrupted; goes on from its checkpoint."


class Control:
    """Looked at between steps."""

    def __init__(self, cancel_file: Path, exit_with_parent: bool) -> None:
        self.cancel_file = cancel_file
        self.terminated = False
        self.parent = os.getppid() if exit_with_parent else None
        signal.signal(signal.SIGTERM, self._on_sigterm)
        if exit_with_parent:
            _die_with_parent()

    def _on_sigterm(self, _signal: int, _frame: FrameType | None) -> None:
        self.terminated = True

    def check(self) -> None:
        """Raise what should end the run now."""
        if self.cancel_file.exists():
            raise Cancelled
        if self.terminated or (self.parent is not None and os.getppid() != self.parent):
            raise Terminated


def _die_with_parent() -> None:
    """Ask Linux for a SIGTERM when the parent dies: it arrives even in the middle of a step."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
