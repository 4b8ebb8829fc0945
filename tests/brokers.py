"""Brokers of the tests' own: RabbitMQ and Mosquitto on private ports, which may be killed.

Where a program is missing, the tests that need it are skipped with a line, but never when
KINTSUGI_REQUIRE_BROKERS is 1.
"""

import contextlib
import getpass
import importlib
import json
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.processes import wait_for

PLACES = f"{os.environ.get('PATH', '')}:/usr/lib/rabbitmq/bin:/usr/sbin:/usr/local/sbin"
USER, PASSWORD = "kintsugi", "only-for-tests"


def needed(program: str) -> str:
    """Where a program is; without it the test is skipped, or fails where it must be there."""
    # Debian's /usr/sbin/rabbitmq-server changes the user; the one below it does not.
    first = "/usr/lib/rabbitmq/bin" if program.startswith("rabbitmq") else ""
    found = shutil.which(program, path=f"{first}:{PLACES}")
    if found is None:
        if os.environ.get("KINTSUGI_REQUIRE_BROKERS") == "1":
            pytest.fail(f"{program} is not installed, and KINTSUGI_REQUIRE_BROKERS is 1")
        pytest.skip(f"{program} is not installed")
    return found


def library(name: str, extra: str) -> Any:
    """A client library of an extra, under the same rule as `needed`."""
    if os.environ.get("KINTSUGI_REQUIRE_BROKERS") == "1":
        return importlib.import_module(name)
    return pytest.importorskip(name, reason=f"the extra {extra} is not installed")


def free_port() -> int:
    """A port that nobody listens at now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def certificates(folder: Path) -> Path:
    """A certificate authority of the tests' own and, by it, a certificate for `localhost`:
    ca.pem, broker.pem and broker.key in `folder`."""
    openssl = needed("openssl")

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "rsa:2048", "-nodes")
    run(
        "req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=ca"
    )
    run("req", *key, "-keyout", "broker.key", "-out", "broker.csr", "-subj", "/CN=localhost")
    (folder / "names").write_text("subjectAltName=DNS:localhost\n")
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2")
    run("x509", "-req", "-in", "broker.csr", *signed, "-extfile", "names", "-out", "broker.pem")
    return folder


class Broker:
    """A process that is started, killed and started again on the same folder and port."""

    seconds_to_start = 20.0

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port, self.tls_port = free_port(), free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> tuple[list[str], dict[str, str]]:
        raise NotImplementedError

    def start(self) -> None:
        command, environment = self.command()
        with (self.folder / "output.log").open("ab") as output:
            self.process = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd=self.folder,
            )
        wait_for(self.answers, self.seconds_to_start, f"{type(self).__name__}: {self.said()}")

    def said(self) -> str:
        with contextlib.suppress(OSError):
            return (self.folder / "output.log").read_text(errors="replace")[-2000:]
        return ""

    def answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"{type(self).__name__} ended at once:\n{self.said()}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def kill(self) -> None:
        """kill -9 of it and of everything that it started."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    stop = kill


class RabbitMq(Broker):
    """RabbitMQ 3.x with the AMQP 1.0 plugin, a node name, an epmd and a folder of its own.

    `queues` are there from the start, durable; {exchange: queue} in `bound` as well, by any key.
    """

    seconds_to_start = 90.0

    def __init__(self, folder: Path, queues: list[str], bound: dict[str, str]) -> None:
        self.program = needed("rabbitmq-server")
        self.epmd_program = needed("epmd")
        super().__init__(folder)
        self.epmd_port, self.dist_port = free_port(), free_port()
        self._write(queues, bound)
        self.epmd = subprocess.Popen(
            [self.epmd_program, "-port", str(self.epmd_port), "-address", "127.0.0.1"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _write(self, queues: list[str], bound: dict[str, str]) -> None:
        definitions = self.folder / "definitions.json"
        definitions.write_text(json.dumps(_definitions(queues, bound)))
        (self.folder / "enabled_plugins").write_text("[rabbitmq_amqp1_0].\n")
        certificates(self.folder)
        (self.folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            f"listeners.ssl.1 = 127.0.0.1:{self.tls_port}\n"
            f"ssl_options.cacertfile = {self.folder}/ca.pem\n"
            f"ssl_options.certfile = {self.folder}/broker.pem\n"
            f"ssl_options.keyfile = {self.folder}/broker.key\n"
            "ssl_options.verify = verify_none\n"
            f"load_definitions = {definitions}\n"
            "loopback_users = none\n"
            "disk_free_limit.absolute = 50MB\n"
        )

    def command(self) -> tuple[list[str], dict[str, str]]:
        return [self.program], {
            "HOME": str(self.folder),
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_NODENAME": f"kintsugi{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(self.dist_port),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }

    def stop(self) -> None:
        self.kill()
        self.epmd.kill()
        self.epmd.wait()


def _definitions(queues: list[str], bound: dict[str, str]) -> dict[str, object]:
    def queue(name: str) -> dict[str, object]:
        return {"name": name, "vhost": "/", "durable": True, "auto_delete": False, "arguments": {}}

    return {
        "users": [{"name": USER, "password": PASSWORD, "tags": "administrator"}],
        "vhosts": [{"name": "/"}],
        "permissions": [
            {"user": USER, "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}
        ],
        "queues": [queue(name) for name in {*queues, *bound.values()}],
        "exchanges": [{**queue(name), "type": "topic", "internal": False} for name in bound],
        "bindings": [
            {
                "source": exchange,
                "vhost": "/",
                "destination": name,
                "destination_type": "queue",
                "routing_key": "#",
                "arguments": {},
            }
            for exchange, name in bound.items()
        ],
    }


class Mosquitto(Broker):
    """Mosquitto with the persistence of its defaults: saved now and then, so a kill forgets."""

    def __init__(self, folder: Path) -> None:
        self.program = needed("mosquitto")
        super().__init__(folder)
        certificates(folder)
        (folder / "mosquitto.conf").write_text(
            f"user {getpass.getuser()}\n"  # else root's becomes `mosquitto`, which reads nothing
            f"listener {self.port} 127.0.0.1\n"
            f"listener {self.tls_port} 127.0.0.1\n"
            f"cafile {folder}/ca.pem\n"
            f"certfile {folder}/broker.pem\n"
            f"keyfile {folder}/broker.key\n"
            "allow_anonymous true\n"
            "persistence true\n"
            f"persistence_location {folder}/\n"
            "max_queued_messages 0\n"
        )

    def command(self) -> tuple[list[str], dict[str, str]]:
        return [self.program, "-c", str(self.folder / "mosquitto.conf")], {}
