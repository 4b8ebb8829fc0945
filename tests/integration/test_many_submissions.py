"""Many clients repeat submissions at random, and hang up in the middle: each part is there once."""

import contextlib
import http.client
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.db import connection

from inspection.models import Inspection, InspectionImage, ScoringChunk, Submission, Unit
from tests.factories.api_key import key_of
from tests.factories.jobs import make_image, make_version
from tests.factories.station import StationFactory
from tests.factories.submission import make_sender
from tests.integration.results import write_result
from tests.processes import ROOT, shared_database_url, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1500)]
REPEATS, HANG_UP = 0.6, 0.15  # how often a part is sent once more, and nobody waits for the answer


@pytest.fixture
def port(transactional_db: None, empty_queues: None, tmp_path: Path) -> Iterator[int]:
    """A web process on the database of the test."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = int(probe.getsockname()[1])
    variables = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "webapp.settings.test",
        "TEST_DATABASE_URL": shared_database_url(),
        "KINTSUGI_API_RATE": "1000000000",
    }
    command = [sys.executable, "-m", "uvicorn", "webapp.asgi:application", "--port", str(number)]
    with (tmp_path / "web.log").open("wb") as log:
        web = subprocess.Popen(command, cwd=ROOT, env=variables, stdout=log, stderr=log)
    try:
        wait_for(lambda: _answers(number), 60, "the web process answers")
        yield number
    finally:
        web.terminate()
        web.wait(timeout=30)


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


class Clients:
    """`clients` threads that send `parts` parts, each until its answer is known."""

    def __init__(self, port: int, key: str, recipe: str, images: list[str]) -> None:
        self.port, self.key, self.recipe, self.images = port, key, recipe, images
        self.told: dict[int, set[str]] = {}
        self.codes: dict[str, int] = {}
        self.lock = threading.Lock()

    def run(self, parts: int, clients: int, seed: int) -> None:
        draw = random.Random(seed)
        order = [part for part in range(parts) for _ in range(1 + (draw.random() < REPEATS))]
        draw.shuffle(order)
        shares = [order[n::clients] for n in range(clients)]
        with ThreadPoolExecutor(clients) as pool:
            list(pool.map(self._client, shares, range(clients)))

    def _client(self, share: list[int], seed: int) -> None:
        draw = random.Random(seed)
        for part in share:
            if draw.random() < HANG_UP:
                self._send(part, hang_up=True)
            self._until_known(part)

    def _until_known(self, part: int) -> None:
        for _ in range(60):
            status, told = self._send(part)
            if status in (200, 201, 202):
                with self.lock:
                    self.told.setdefault(part, set()).add(told["id"])
                return
            assert (status, told.get("code")) == (409, "still_receiving"), (status, told)
            time.sleep(0.2)
        raise AssertionError(f"no answer for part {part}")

    def _send(self, part: int, *, hang_up: bool = False) -> tuple[int, dict[str, str]]:
        fields = {
            "external_id": f"E{part}",
            "station_id": "AOI-1",
            "recipe": {"name": self.recipe},
            "serial_number": f"SN{part}",
            "lot_id": f"L{part // 50}",
            "work_order": f"W{part // 50}",
            "images": [self.images[part % len(self.images)]],
        }
        headers = {
            "Authorization": f"Bearer {self.key}",
            "Content-Type": "application/json",
            "Idempotency-Key": f'"part-{part}"',
        }
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            line.request("POST", "/api/v1/inspections", json.dumps(fields), headers)
            if hang_up:
                return 0, {}
            answer = line.getresponse()
            told = json.loads(answer.read())
        finally:
            line.close()
        with self.lock:
            word = f"{answer.status} {told.get('code', '')}".strip()
            self.codes[word] = self.codes.get(word, 0) + 1
        return answer.status, told


def submit_all(port: int, parts: int, clients: int) -> Clients:
    version = make_version()
    StationFactory(code="AOI-1")
    sender = make_sender(version)
    images = [make_image() for _ in range(8)]
    for image in images:
        image.owners.create(owner=sender)
    keys = [str(image.pk) for image in images]
    made = Clients(port, key_of(sender), version.viewpoint.recipe_name, keys)
    made.run(parts, clients, seed=1)
    assert sorted(made.told) == list(range(parts))
    assert all(len(ids) == 1 for ids in made.told.values()), "every repeat names the same part"
    assert Inspection.objects.count() == Submission.objects.count() == parts
    assert Unit.objects.count() == ScoringChunk.objects.count() == parts
    assert InspectionImage.objects.count() == parts
    return made


def test_200_parts_by_20_clients_are_there_once(port: int) -> None:
    submit_all(port, 200, 20)


@pytest.mark.long
def test_5000_parts_by_200_clients_are_there_once(port: int) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("on PostgreSQL: name it in TEST_DATABASE_URL")
    began = time.monotonic()
    made = submit_all(port, 5000, 200)
    figures = {
        "parts": 5000,
        "clients": 200,
        "inspections": Inspection.objects.count(),
        "answers": dict(sorted(made.codes.items())),
        "seconds": round(time.monotonic() - began, 1),
    }
    write_result("submissions", "postgresql", figures)
