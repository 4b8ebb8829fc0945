"""docker-compose.yml against the Compose Specification, and against what it would start.

The services' own commands and health checks run here, on a port of their own, with a Redis that
the Redis service's command starts.
"""

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft201909Validator

from tests.processes import wait_for

ROOT = Path(__file__).resolve().parents[2]
BASE, OVERLAY = ROOT / "docker-compose.yml", ROOT / "deploy" / "compose.gpu.yml"
SCHEMA = Path(__file__).parent / "compose_spec" / "compose-spec.json"
OURS = ("web", "worker-score", "worker-train", "worker-io", "worker-default", "beat", "exchange")
SECRETS = ("SECRET_KEY", "POSTGRES_PASSWORD", "REDIS_PASSWORD")

pytestmark = pytest.mark.integration


def load(file: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(file.read_text()))


SERVICES: dict[str, Any] = load(BASE)["services"]


# --- the files ---------------------------------------------------------------------------


@pytest.mark.parametrize("file", [BASE, OVERLAY], ids=lambda file: file.name)
def test_it_follows_the_compose_specification(file: Path) -> None:
    schema = json.loads(SCHEMA.read_text())
    errors = [
        f"{'/'.join(map(str, e.path))}: {e.message}"
        for e in Draft201909Validator(schema).iter_errors(load(file))
    ]
    assert errors == []


def test_the_schema_would_notice_a_wrong_file() -> None:
    wrong = load(BASE)
    wrong["services"]["web"]["depends_on"]["redis"]["condition"] = "service_helthy"
    assert not Draft201909Validator(json.loads(SCHEMA.read_text())).is_valid(wrong)


def test_the_overlay_changes_only_services_that_are_there() -> None:
    assert set(load(OVERLAY)["services"]) <= set(SERVICES)


@pytest.mark.parametrize("name", SECRETS)
def test_no_secret_has_a_default(name: str) -> None:
    text = BASE.read_text()
    assert re.search(rf"\$\{{{name}:\?", text), f"{name} must stop the start when it is missing"
    assert not re.search(rf"\$\{{{name}:-", text)
    assert re.search(rf"^{name}=$", (ROOT / ".env.example").read_text(), re.MULTILINE)


def test_only_the_proxy_is_reached_from_outside() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["proxy"]


def test_no_log_fills_the_disk() -> None:
    sizes = {name: service["logging"]["options"] for name, service in SERVICES.items()}
    assert all(one == {"max-size": "20m", "max-file": "5"} for one in sizes.values()), sizes


@pytest.mark.parametrize("name", [*OURS, "migrate"])
def test_every_setting_of_the_env_file_reaches_our_processes(name: str) -> None:
    """What docs/operations.md lists can be set there, whether or not it is named one by one."""
    assert SERVICES[name]["env_file"] == [".env"]


def test_everything_that_stays_up_says_whether_it_is_well() -> None:
    stays = set(SERVICES) - {"migrate", "proxy"}
    assert {name for name in stays if "healthcheck" not in SERVICES[name]} == set()


def test_the_proxy_serves_no_files() -> None:
    directives = re.findall(r"^\s*(\w+)", (ROOT / "deploy/proxy/Caddyfile").read_text(), re.M)
    assert not {"root", "file_server", "handle_path", "rewrite"} & set(directives)


# --- the processes -----------------------------------------------------------------------


class Local:
    """The services of the file as processes of this machine, below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.web_port, self.redis_port = _free_port(), _free_port()
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        password = secrets.token_urlsafe(16)
        self.environment = {
            **{k: v for k, v in os.environ.items() if k not in ("TEST_REDIS_URL", "REDIS_URL")},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "DJANGO_SETTINGS_MODULE": "webapp.settings.dev",
            "KINTSUGI_VAR": str(folder),
            "DATABASE_URL": f"sqlite:///{folder / 'kintsugi.sqlite3'}",
            "REDIS_URL": f"redis://:{password}@127.0.0.1:{self.redis_port}/0",
            "REDISCLI_AUTH": password,
            "HOSTNAME": socket.gethostname(),
            "UVICORN_PORT": str(self.web_port),
        }

    def start(self, service: str) -> None:
        log = (self.folder / f"{service}.log").open("wb")
        self.running[service] = subprocess.Popen(
            self._here(SERVICES[service]["command"]),
            cwd=ROOT,
            env=self.environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def run(self, service: str) -> None:
        self.start(service)
        assert self.running.pop(service).wait(120) == 0, self.log(service)

    def is_healthy(self, service: str) -> bool:
        """Whether the service's own health check passes."""
        how, *command = self._here(SERVICES[service]["healthcheck"]["test"])
        words = command if how == "CMD" else ["sh", "-c", *command]
        check = subprocess.run(words, cwd=ROOT, env=self.environment, capture_output=True)
        assert self.running[service].poll() is None, self.log(service)
        return check.returncode == 0

    def log(self, service: str) -> str:
        return (self.folder / f"{service}.log").read_text()[-3000:]

    def stop(self) -> None:
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)

    def _here(self, command: list[str]) -> list[str]:
        """The command with the container's folder and ports exchanged for ours."""
        changes = {
            "$$": "$",
            "/data": str(self.folder),
            "localhost:8000": f"127.0.0.1:{self.web_port}",
            "redis-server ": f"redis-server --bind 127.0.0.1 --port {self.redis_port} "
            f"--dir {self.folder} ",
            "redis-cli ": f"redis-cli -p {self.redis_port} ",
        }
        for old, new in changes.items():
            command = [word.replace(old, new) for word in command]
        return command


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    here = Local(tmp_path_factory.mktemp("compose"))
    try:
        here.start("redis")
        wait_for(lambda: here.is_healthy("redis"), 60, "redis is healthy")
        here.run("migrate")
        for service in OURS:
            here.start(service)
        yield here
    finally:
        here.stop()
        shutil.rmtree(here.folder, ignore_errors=True)


def test_all_own_services_are_tried() -> None:
    image = SERVICES["web"]["image"]
    assert {n for n, s in SERVICES.items() if s["image"] == image} == {*OURS, "migrate"}


@pytest.mark.parametrize("service", OURS)
def test_each_command_starts_a_process_that_becomes_healthy(local: Local, service: str) -> None:
    wait_for(lambda: local.is_healthy(service), 180, f"{service} is healthy")


def test_every_queue_has_a_worker() -> None:
    from django.conf import settings

    queues = {q for s in SERVICES.values() for q in _queues(s.get("command", []))}
    routed = {route["queue"] for route in settings.CELERY["task_routes"].values()}
    assert {*routed, "fast", "default"} <= queues


def test_nothing_that_takes_long_shares_a_worker_with_the_reaper() -> None:
    from webapp.local.services import workers

    commands = [s["command"] for s in SERVICES.values() if "worker" in s.get("command", [])]
    commands += [list(one.command) for one in workers()]
    assert [_queues(one) for one in commands if "default" in _queues(one)] == [["default"]] * 2


def test_looking_into_folders_waits_for_no_zip() -> None:
    from django.conf import settings

    routes = settings.CELERY["task_routes"]
    assert "inspection.tasks.look_into_folders" not in routes
    assert routes["inspection.tasks.unpack_upload"]["queue"] == "io"


def _queues(command: list[str]) -> list[str]:
    return command[command.index("-Q") + 1].split(",") if "-Q" in command else []


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
