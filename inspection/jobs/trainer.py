"""The training process: how it is started, heard, and stopped (docs/trainer-protocol.md)."""

import contextlib
import fcntl
import json
import logging
import os
import queue
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Protocol

from django.conf import settings
from django.db import DatabaseError, connection

from . import shutdown
from .claim import Claim, LeaseLost
from .lease import Lease

log = logging.getLogger(__name__)

Event = dict[str, Any]
LOOK_EVERY_S = 1.0  # how often the row is read and written
READ_EVERY_S = 0.1
STDERR_LINES = 20
LEAVE_S = 5.0  # for the process of an attempt before ours to go by itself


class Listener(Protocol):
    """Who is told what the process says. `flush` writes it down, about once a second."""

    def hear(self, event: Event) -> None: ...

    def flush(self) -> None: ...


class Trainer:
    """One run of the process in `folder`, at most one at a time for each folder."""

    def __init__(self, folder: Path, command: Sequence[str]) -> None:
        self.folder = folder
        self._errors = folder / "stderr.log"
        self._errors_before = self._errors.stat().st_size if self._errors.exists() else 0
        said = folder / "events.jsonl"
        with (
            _lock_folder(folder) as lock,
            said.open("wb") as output,
            self._errors.open("ab") as errors,
        ):
            (folder / "cancel").unlink(missing_ok=True)  # of an earlier attempt
            self.process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                cwd=settings.BASE_DIR,
                pass_fds=[lock.fileno()],  # locked for as long as the process lives
            )
            _note_holder(lock, self.process.pid)
        self._events: queue.Queue[Event] = queue.Queue()
        self._reader = threading.Thread(
            target=self._read, args=[said], name="trainer-output", daemon=True
        )
        self._reader.start()

    def _read(self, said: Path) -> None:
        """Follow the file that the process writes its lines to.

        A file and not a pipe: a pipe would break when this worker is killed, and the process
        would die of that before its last checkpoint; nor can a slow reader hold it up.
        """
        with said.open("rb") as lines:
            begun = b""
            while True:
                ended = self.process.poll() is not None  # before the read, so that it is the last
                *whole, begun = (begun + lines.read()).split(b"\n")
                for line in whole:
                    self._events.put(_parse(line))
                if ended:
                    return
                time.sleep(READ_EVERY_S)

    def next_event(self, timeout: float) -> Event | None:
        """The next line; None when none came in time."""
        try:
            return self._events.get(timeout=timeout)
        except queue.Empty:
            return None

    def talking(self) -> bool:
        """Whether the process runs, or said something that was not heard yet."""
        if self.process.poll() is None:
            return True
        self._reader.join(timeout=5)
        return not self._events.empty()

    def ask_to_cancel(self) -> None:
        """The process looks for this file between steps and exits with status 3."""
        (self.folder / "cancel").touch()

    def ask_to_stop(self) -> None:
        """The process writes a checkpoint and exits with status 75."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()

    def kill(self) -> None:
        """End it now and wait until it is gone."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """Never leave a process behind."""
        if self.process.poll() is None:
            self.kill()

    def last_words(self) -> list[str]:
        """The last lines that the process wrote to its standard error."""
        with self._errors.open("rb") as errors:
            errors.seek(self._errors_before)
            return errors.read().decode(errors="replace").splitlines()[-STDERR_LINES:]


def relay(trainer: Trainer, claim: Claim[Any], lease: Lease, listener: Listener) -> int:
    """Hear the process to its end; returns its exit status.

    Passes on a cancel request and this worker's own shutdown, with a hard kill behind each.
    Raises LeaseLost, with the process dead, when the row is no longer ours.
    """
    watch = _Watch(trainer, claim)
    while trainer.talking():
        event = trainer.next_event(timeout=0.2)
        if event is not None:
            listener.hear(event)
        if lease.lost.is_set():
            trainer.kill()
            raise LeaseLost(str(claim.id))
        if watch.due():
            _write(listener, watch)
    listener.flush()
    return trainer.process.wait()


def _write(listener: Listener, watch: "_Watch") -> None:
    """Write down what was heard and look for a cancel. A database that stumbles is tried
    again at the next look; one that is gone costs us the lease, and that ends the work."""
    try:
        listener.flush()
        watch.look()
    except LeaseLost:
        watch.trainer.kill()
        raise
    except DatabaseError as error:
        connection.close()
        log.warning("training run %s: nothing written this time: %s", watch.claim.id, error)


class _Watch:
    """When to look at the row, and what was asked of the process so far."""

    def __init__(self, trainer: Trainer, claim: Claim[Any]) -> None:
        self.trainer, self.claim = trainer, claim
        self._next_look = 0.0
        self._kill_at: float | None = None

    def due(self) -> bool:
        now = time.monotonic()
        if now < self._next_look:
            return False
        self._next_look = now + LOOK_EVERY_S
        return True

    def look(self) -> None:
        if self._kill_at is not None:
            if time.monotonic() > self._kill_at:
                log.warning("training run %s does not stop: killing it", self.claim.id)
                self.trainer.kill()
        elif self.claim.cancel_requested():
            self.trainer.ask_to_cancel()
            self._kill_at = time.monotonic() + settings.JOB_CANCEL_GRACE_S
        elif shutdown.requested():
            self.trainer.ask_to_stop()
            self._kill_at = time.monotonic() + settings.JOB_CANCEL_GRACE_S


def _parse(line: bytes) -> Event:
    """One line of output; what is no JSON object (a library that prints) becomes a log line."""
    text = line.decode(errors="replace").rstrip()
    try:
        event = json.loads(text)
    except ValueError:
        event = None
    if isinstance(event, dict) and isinstance(event.get("event"), str):
        return event
    return {"event": "log", "level": "info", "message": text[:2000]}


# --- one process per folder ------------------------------------------------------------
# A worker that was frozen past its lease may have left a process that still writes
# checkpoints. The process inherits the lock and holds it for as long as it lives.


def _lock_folder(folder: Path) -> IO[str]:
    """Wait for the process before us to be gone: it leaves by itself when its worker died,
    after a last checkpoint. One that does not is killed."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / "trainer.lock").open("a+")
    patience = time.monotonic() + LEAVE_S
    while not _locked(lock):
        if time.monotonic() > patience + LEAVE_S:
            lock.close()
            raise RuntimeError(f"another training process still works in {folder}")
        if time.monotonic() > patience:
            _kill_holder(lock, folder)
        time.sleep(0.2)
    return lock


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _note_holder(lock: IO[str], pid: int) -> None:
    lock.truncate(0)
    lock.write(f"{socket.gethostname()} {pid}\n")
    lock.flush()


def _kill_holder(lock: IO[str], folder: Path) -> None:
    """End the process of an attempt whose lease is over, where it runs on this machine."""
    lock.seek(0)
    host, _, pid = lock.read().strip().partition(" ")
    if host == socket.gethostname() and pid.isdigit() and _trains_in(int(pid), folder):
        log.warning("ending training process %s of an earlier attempt", pid)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(int(pid), signal.SIGKILL)


def _trains_in(pid: int, folder: Path) -> bool:
    """Whether `pid` is still what was started in `folder`, and not a later process."""
    with contextlib.suppress(OSError):
        return str(folder).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False
