"""`manage.py demo`: the whole product on this machine, with nothing else installed or running."""

import contextlib
import json
import os
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import connections
from django.db.utils import OperationalError

from inspection.management.demo import options
from inspection.management.demo.source import from_folder
from inspection.models import Role, User
from inspection.services import users
from webapp.local import redis, services
from webapp.local.lock import only_one
from webapp.local.problems import CannotStart
from webapp.local.processes import Spec
from webapp.local.supervisor import Stopped, Supervisor

REDIS_WITHIN_S, PAGES_WITHIN_S = 30, 90
ADMINISTRATOR = "admin"
ONCE_SHOWN = (
    "Shown only this once; you choose your own when you sign in.",
    "Lost it? .venv/bin/python manage.py user reset admin",
)


class Command(BaseCommand):
    help = "Start Redis, web, workers and scheduler here; Ctrl-C stops them all."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        options.add_options(parser)
        parser.add_argument("--port", type=int, help="where the pages are served")

    def handle(self, *args: Any, **given: Any) -> None:
        try:
            with only_one(Path(settings.VAR_DIR)):
                last_line = Demo(given).run()
        except Stopped:
            say("Everything is stopped; the data is kept.")
            sys.exit(130 if given["once"] else 0)
        except CannotStart as error:
            sys.stderr.write(f"\n{error}\n")
            sys.exit(1)
        if last_line:
            say(last_line)


class Demo:
    """One start, from the checks to the last line."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.given = given
        self.var = Path(settings.VAR_DIR)
        self.external_redis = os.environ.get("REDIS_URL", "")
        self.redis_url = self.external_redis or redis.default_url(self.var)
        self.known_administrator = ""  # of an earlier start

    def run(self) -> str:
        """Returns the last line of output: the JSON of --once."""
        if self.given["data"]:
            from_folder(self.given["data"])  # refuse before anything is started
        port = services.choose_port(self.given["port"])
        module = os.environ["DJANGO_SETTINGS_MODULE"]
        environment = services.environment(self.redis_url, module, self.var)
        logs = self.var / "log"
        with Supervisor(environment, logs, say, strict=self.given["once"]) as house:
            self._start_redis(house)
            self._prepare()
            house.start(*services.everything(self.var, port))
            address = f"http://{services.HOST}:{port}/"
            house.wait(lambda: services.answers(f"{address}healthz"), PAGES_WITHIN_S, "The page")
            say(f"Kintsugi runs at {address}   (logs: {logs})")
            outcome = self._main_job(house)
            if self.given["once"]:
                return _last_line(outcome)
            self._tell(outcome, address)
            house.watch()
        raise AssertionError("watch() ends only by Stopped")

    def _start_redis(self, house: Supervisor) -> None:
        if not self.external_redis:
            redis.wait_until_free(self.var)
            house.start(redis.server(self.var))
        where = redis.without_password(self.redis_url)
        house.wait(lambda: redis.answers(self.redis_url), REDIS_WITHIN_S, f"Redis at {where}")

    def _prepare(self) -> None:
        try:
            call_command("migrate", interactive=False, verbosity=0)
        except OperationalError as error:
            raise CannotStart(f"The database cannot be used: {error}") from error
        call_command("collectstatic", interactive=False, verbosity=0)
        known = users.administrators().order_by("id").first()
        if known:
            self.known_administrator = known.username
        else:
            who, password = users.create_user(None, username=_free_name(), role=Role.ADMINISTRATOR)
            say(boxed(f"User: {who.username}", f"One-time password: {password}", *ONCE_SHOWN))
        connections.close_all()

    def _main_job(self, house: Supervisor) -> dict[str, Any]:
        """What the main job left: `figures`, `failed`, or nothing when there was nothing to do."""
        outcome = self.var / "demo" / "outcome.json"
        outcome.parent.mkdir(parents=True, exist_ok=True)
        outcome.unlink(missing_ok=True)
        words = [*options.as_arguments(self.given), "--outcome", str(outcome)]
        command = (sys.executable, "-m", "django", "run_main_job", *words)
        status = house.run(Spec("main-job", command, grace_s=5, to_terminal=True))
        with contextlib.suppress(OSError, ValueError):
            return dict(json.loads(outcome.read_text()))
        return {"failed": f"The main job ended with status {status}; see {house.log_dir}"}

    def _tell(self, outcome: dict[str, Any], address: str) -> None:
        if "failed" in outcome:
            say(f"\nThe main job did not end well: {outcome['failed']}\n")
        if self.known_administrator:
            say(boxed(*known_user(self.known_administrator)))
        say(f"\nOpen {address} in a browser. Ctrl-C stops everything; the data stays in {self.var}")


def known_user(name: str) -> tuple[str, ...]:
    """Who signs in at a later start: the password is not known here, only how to get another."""
    return (
        f"User: {name}",
        "The password of before is still valid.",
        f"Lost it? .venv/bin/python manage.py user reset {name}",
    )


def _last_line(outcome: dict[str, Any]) -> str:
    if "failed" in outcome:
        raise CannotStart(f"The main job failed: {outcome['failed']}")
    return json.dumps(outcome["figures"])


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def boxed(*lines: str) -> str:
    """Lines in a frame that nobody overlooks."""
    width = max(map(len, lines))
    edge = "+" + "-" * (width + 4) + "+"
    return "\n".join(["", edge, *(f"|  {line:<{width}}  |" for line in lines), edge, ""])


def _free_name() -> str:
    """A name for the administrator that nobody has."""
    names = (ADMINISTRATOR, *(f"{ADMINISTRATOR}{n}" for n in range(2, 1000)))
    return next(name for name in names if not User.objects.filter(username=name).exists())
