"""The web process is killed, or the connection cut, in the middle of a piece: what came is kept."""

import base64
import hashlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from inspection.models import Image, PartialFile
from tests.factories.api_key import key_of
from tests.factories.files import picture
from tests.factories.product import ProductFactory
from tests.factories.user import UserFactory
from tests.processes import ROOT, shared_database_url, wait_for
from webapp.pieces import PIECE

pytestmark = [pytest.mark.integration, pytest.mark.django_db(transaction=True)]
VERSION = {"Tus-Resumable": "1.0.0"}
LARGE = (2048, 1800)  # pixels of noise: 11 MB, so more than two pieces


class Web:
    """A real server on the tests' database, that may be killed and started again."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = Path(os.environ["KINTSUGI_TEST_VAR"]) / f"web-{self.port}.log"
        self.start()

    def start(self) -> None:
        variables = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "webapp.settings.test",
            "TEST_DATABASE_URL": shared_database_url(),
        }
        command = [sys.executable, "-m", "uvicorn", "webapp.asgi:application"]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [*command, "--port", str(self.port)],
                cwd=ROOT,
                env=variables,
                stdout=output,
                stderr=output,
            )
        wait_for(self._answers, 60, f"the server: {self.log}")

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return requests.get(f"{self.url}/healthz", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Sender:
    """An owner of a key who sends one picture."""

    def __init__(self, web: Web, content: bytes) -> None:
        self.web, self.content = web, content
        ProductFactory()  # something that the picture may be about
        self.key = key_of(UserFactory(role="inspector"), ["images:read", "images:write"])
        name = base64.b64encode(b"large.png").decode()
        headers = {"Upload-Length": str(len(content)), "Upload-Metadata": f"filename {name}"}
        self.place = "/api/v1/uploads"
        made = self.ask("POST", headers)
        assert made.status_code == 201, made.text
        self.place = made.headers["Location"]

    def ask(self, method: str, headers: dict[str, str], body: bytes = b"") -> requests.Response:
        own = {**VERSION, "Authorization": f"Bearer {self.key}", **headers}
        return requests.request(
            method, self.web.url + self.place, data=body, headers=own, timeout=60
        )

    def begin(self, come: int) -> socket.socket:
        """One PATCH that announces the rest of the file, of which `come` bytes are sent."""
        head = (
            f"PATCH {self.place} HTTP/1.1\r\nHost: 127.0.0.1\r\nTus-Resumable: 1.0.0\r\n"
            f"Authorization: Bearer {self.key}\r\nUpload-Offset: 0\r\n"
            "Content-Type: application/offset+octet-stream\r\n"
            f"Content-Length: {len(self.content)}\r\n\r\n"
        )
        line = socket.create_connection(("127.0.0.1", self.web.port))
        line.sendall(head.encode() + self.content[:come])
        return line

    def offset(self) -> int:
        return int(self.ask("HEAD", {}).headers["Upload-Offset"])

    def send(self, most: int | None = None) -> int:
        """What is missing, or the first `most` bytes of it; returns the status."""
        offset = self.offset()
        end = len(self.content) if most is None else offset + most
        headers = {
            "Upload-Offset": str(offset),
            "Content-Type": "application/offset+octet-stream",
        }
        return self.ask("PATCH", headers, self.content[offset:end]).status_code


@pytest.fixture
def web(transactional_db: None) -> Iterator[Web]:
    running = Web()
    yield running
    running.kill()


@pytest.fixture
def sender(web: Web) -> Sender:
    return Sender(web, picture(1, size=LARGE))


def assert_whole(sender: Sender) -> None:
    told = sender.ask("GET", {}).json()
    assert (told["state"], told["outcome"]) == ("done", "accepted")
    assert Image.objects.get().sha256 == hashlib.sha256(sender.content).hexdigest()
    assert not PartialFile.objects.get().path.exists()


def test_a_killed_server_keeps_every_piece_that_came(web: Web, sender: Sender) -> None:
    assert len(sender.content) > 2.5 * PIECE
    with sender.begin(come=2 * PIECE + 100_000):
        wait_for(lambda: sender.offset() == 2 * PIECE, 30, "two pieces are kept")
        web.kill()
    web.start()
    assert sender.offset() == 2 * PIECE
    assert sender.send() == 204
    assert_whole(sender)


def test_of_a_cut_connection_every_byte_is_kept(sender: Sender) -> None:
    come = PIECE + 123_456
    with sender.begin(come):
        wait_for(lambda: sender.offset() == PIECE, 30, "one piece is kept")
    wait_for(lambda: sender.offset() == come, 30, "so is the rest that came")
    assert sender.send() == 204
    assert_whole(sender)


def test_killed_again_and_again(web: Web, sender: Sender) -> None:
    for _ in range(3):
        before = sender.offset()
        line = sender.begin(0) if before else sender.begin(PIECE + 1)
        with line:
            web.kill()
        web.start()
        assert sender.offset() >= before
        assert sender.send(1_000_000) == 204
    assert sender.send() == 204
    assert_whole(sender)
