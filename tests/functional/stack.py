"""The whole product as it runs on one machine, in a folder and on a port of its own."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from webapp.local import redis, services
from webapp.local.processes import Child

ROOT = Path(__file__).resolve().parents[2]
READY_S = 90
STOP_S = 10
QUICK = {
    "KINTSUGI_JOB_REAP_EVERY_S": "5",
    "KINTSUGI_MIN_FREE_GB": "0.5",
    "KINTSUGI_WEBHOOK_CIDRS": "127.0.0.1/32",
    "KINTSUGI_TRAINER_NICE": "0",
    "OMP_NUM_THREADS": "2",
}
# What the tests' own process uses and the product's must not see.
NOT_OURS = (
    "REDIS_URL",
    "DATABASE_URL",
    "TEST_DATABASE_URL",
    "TEST_REDIS_URL",
    "KINTSUGI_TEST_VAR",
    "DJANGO_ALLOW_ASYNC_UNSAFE",
)


class Stack:
    """`with Stack() as stack:` — web, workers, scheduler and Redis; all gone afterwards."""

    def __init__(self, port: int | None = None, *, works: bool = True) -> None:
        """Without `works` there are pages, but nobody who does the work that is queued."""
        self.works = works
        self.var = Path(tempfile.mkdtemp(prefix="kintsugi-walk-"))
        self.port = port or services._any_free_port()
        self.url = f"http://{services.HOST}:{self.port}"
        self.children: list[Child] = []
        self.seeded: dict[str, str] | None = None
        inherited = {k: v for k, v in os.environ.items() if k not in NOT_OURS}
        self.environment = {
            **inherited,
            **QUICK,
            "KINTSUGI_VAR": str(self.var),
            "STATIC_ROOT": str(self.var / "static"),
            "REDIS_URL": redis.default_url(self.var),
            "DJANGO_SETTINGS_MODULE": "webapp.settings.dev",
            "PYTHONUNBUFFERED": "1",
        }

    def __enter__(self) -> "Stack":
        try:
            self._start(redis.server(self.var))
            self._wait(lambda: redis.answers(self.environment["REDIS_URL"]), "Redis")
            self.manage("migrate", "-v0")
            self.manage("collectstatic", "--noinput", "-v0")
            everything = services.everything(self.var, self.port)
            for spec in everything if self.works else [services.web(self.port)]:
                self._start(spec)
            self._wait(lambda: services.answers(f"{self.url}/healthz"), "the pages")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for child in reversed(self.children):
            child.ask_to_stop()
        until = time.monotonic() + STOP_S
        while time.monotonic() < until and any(one.status() is None for one in self.children):
            time.sleep(0.1)
        for child in reversed(self.children):
            child.kill()
        shutil.rmtree(self.var, ignore_errors=True)

    def _start(self, spec: services.Spec) -> None:
        self.children.append(Child(spec, self.environment, self.var / "log"))

    def manage(self, *words: str) -> str:
        """Run `manage.py …` beside the stack; returns what it printed."""
        command = [sys.executable, str(ROOT / "manage.py"), *words]
        done = subprocess.run(
            command, env=self.environment, cwd=ROOT, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise AssertionError(f"manage.py {' '.join(words)}:\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def run(self, script: str) -> str:
        """Run Python beside the stack, the tests' factories at hand; returns what it printed."""
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={**self.environment, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not done.returncode, done.stderr
        return done.stdout

    def ask(self, name: str, /, **given: Any) -> Any:
        """What the function of that name in walk_rows.py returns, called beside the stack."""
        script = (
            "import django, json; django.setup()\n"
            "from tests.functional import walk_rows\n"
            f"print(json.dumps(walk_rows.{name}(**{given!r}), default=str))"
        )
        return json.loads(self.run(script).splitlines()[-1])

    def seed(self, units: int = 24) -> dict[str, str]:
        """Rows and pictures of a product with models and a lot, once (seed.py); returns the
        address of every page."""
        if self.seeded is None:
            script = ROOT / "tests" / "functional" / "seed.py"
            command = [sys.executable, str(script), str(units)]
            done = subprocess.run(
                command, env=self.environment, cwd=ROOT, capture_output=True, text=True, check=False
            )
            assert not done.returncode, done.stderr
            self.seeded = json.loads(done.stdout.splitlines()[-1])
        return self.seeded or {}

    def one_time_password(self, username: str, role: str = "administrator") -> str:
        """Make a user as an administrator does at the console."""
        shown = self.manage("user", "create", username, "--role", role)
        return re.search(r"One-time password:\s+(\S+)", shown)[1]  # type: ignore[index]

    def _wait(self, ready: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + READY_S
        while not ready():
            if time.monotonic() > until:
                raise AssertionError(f"{what} did not answer in {READY_S} s:\n{self.logs()}")
            time.sleep(0.2)

    def logs(self) -> str:
        """The end of every process's log, for a test that fails."""
        files = sorted((self.var / "log").glob("*.log"))
        return "\n".join(f"--- {file.name}\n{file.read_text()[-3000:]}" for file in files)
