"""docs/mes.md: its curl lines run as they stand. docs/examples: against a real server."""

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from inspection.models import Inspection, ReviewState
from inspection.services import reviews
from inspection.services.verdict_facts import verdict_facts
from tests.factories.api_key import key_of
from tests.factories.files import picture
from tests.factories.plant import Plant, build
from tests.factories.user import UserFactory

pytestmark = pytest.mark.django_db(transaction=True)
DOCS = Path(__file__).resolve().parents[2] / "docs"
BLOCKS = re.findall(r"```sh curl\n(.*?)```", (DOCS / "mes.md").read_text(), re.DOTALL)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # of the standard's own example


def example(name: str) -> ModuleType:
    sys.path.insert(0, str(DOCS / "examples"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.pop(0)


@pytest.fixture
def plant() -> Plant:
    return build()


@pytest.fixture
def key() -> str:
    return key_of(UserFactory(role="engineer"))


@pytest.fixture
def mes(live_server: Any, key: str) -> Iterator[Any]:
    """A small MES that listens for webhooks."""
    module = example("simulated_mes")
    mes = module.Mes(module.Client(live_server.url, key), SECRET)
    mes.seen_until = datetime.now(UTC) - timedelta(hours=1)
    listening = module.server(mes)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    mes.address = f"http://127.0.0.1:{listening.server_port}/"
    yield mes
    listening.shutdown()


@pytest.mark.skipif(not shutil.which("curl") or not shutil.which("jq"), reason="needs curl, jq")
def test_every_curl_line_of_the_guide_runs(
    plant: Plant, key: str, live_server: Any, tmp_path: Path
) -> None:
    (tmp_path / "part.png").write_bytes(picture(9))
    known = {
        "KINTSUGI": live_server.url,
        "KEY": key,
        "VIEWPOINT": plant.viewpoint.pk,
        "IMAGE": plant.image.pk,
        "INSPECTION": plant.fresh.pk,
    }
    environment = {**os.environ, **{name: str(value) for name, value in known.items()}}
    assert len(BLOCKS) > 8
    for block in BLOCKS:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        assert '"results":[]' not in done.stdout.replace(" ", ""), f"{block} finds nothing"
        json.JSONDecoder().raw_decode(done.stdout)
    plant.fresh.refresh_from_db()
    assert plant.fresh.review_state == ReviewState.REJECTED


def test_the_client_sends_pictures_and_says_what_was_refused(
    plant: Plant, key: str, live_server: Any
) -> None:
    module = example("mes_client")
    client = module.Client(live_server.url, key)
    first, again = (client.send_picture("a.png", picture(3)) for _ in range(2))
    assert first["id"] == again["id"]
    with pytest.raises(module.Refused) as refused:
        client.ask("GET", "inspections?colour=red")
    assert refused.value.status == 422
    assert refused.value.problem["errors"][0]["pointer"] == "/colour"
    waiting = Inspection.objects.get(pk=plant.fresh.pk)
    Inspection.objects.filter(pk=waiting.pk).update(verdict="", completed_at=None)
    begun = time.monotonic()
    assert client.wait(str(waiting.pk), most_s=0.2)["result"] is None
    assert time.monotonic() - begun < 10


def test_a_submission_that_is_repeated_is_one_part_and_no_verdict_is_no_pass(
    plant: Plant, mes: Any
) -> None:
    """Nobody scores here, so the wait ends without a verdict: the line must not go on."""
    image = mes.client.send_picture("unit.png", picture(4))["id"]
    fields = {
        "external_id": "MES-7",
        "station_id": "AOI-1",
        "recipe": {"name": "BOARD-A"},
        "serial_number": "SN7",
        "images": [image],
    }
    first = mes.client.submit(fields, wait_s=0, key="one-key")
    again = mes.client.submit(fields, wait_s=0, key="one-key")
    assert first["id"] == again["id"]
    assert (first["result"], first["serial_number"]) == (None, "SN7")
    assert Inspection.objects.filter(unit__serial_number="SN7").count() == 1
    mes.reconcile()
    assert first["id"] in mes.parts
    assert not mes.may_go_on("SN7")


def test_the_mes_finds_what_no_webhook_brought_and_keeps_each_part_once(
    plant: Plant, mes: Any
) -> None:
    assert mes.reconcile() == Inspection.objects.count()
    assert mes.reconcile() == 0
    assert not mes.may_go_on("SN1")  # a confirmed defect
    reviews.record_review(
        plant.owner,
        Inspection.objects.get(pk=plant.inspection.pk),
        state=ReviewState.REJECTED,
    )
    touched = Inspection.objects.get(pk=plant.inspection.pk)
    assert mes.reconcile() == 1
    assert mes.parts[str(touched.pk)]["verification"] == "DefectRejected"
    assert mes.may_go_on("SN1")
    assert not mes.may_go_on("SN-unknown")


def test_the_mes_takes_a_genuine_webhook_once_and_no_other(plant: Plant, mes: Any) -> None:
    part = Inspection.objects.get(pk=plant.inspection.pk)
    event = {"type": "inspection.completed", "data": verdict_facts(part)}
    body = json.dumps(event).encode()
    headers = signed(body)
    assert [post(mes.address, body, headers) for _ in range(2)] == [204, 204]
    assert list(mes.parts) == [str(part.pk)]
    forged = body.replace(b'"Failed"', b'"Passed"')
    assert post(mes.address, forged, headers) == 400
    assert post(mes.address, body, {}) == 400
    assert post(mes.address, body, signed(body, time.time() - 3600)) == 400
    assert mes.parts[str(part.pk)]["result"] == "Failed"
    assert mes.refused == 3


def test_the_reference_signature_is_understood() -> None:
    """The example of the standard's own libraries (standard-webhooks, spec, test vector)."""
    module = example("mes_client")
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    module.verify(SECRET, headers, b'{"test": 2432232314}', now=1614265330)
    with pytest.raises(ValueError, match="wrong"):
        module.verify(SECRET, headers, b'{"test": 2432232315}', now=1614265330)


def signed(body: bytes, at: float | None = None) -> dict[str, str]:
    """Headers as a sender makes them, worked out here and not by the client."""
    import base64
    import hmac

    moment = str(int(at or time.time()))
    secret = base64.b64decode(SECRET.removeprefix("whsec_"))
    mac = hmac.digest(secret, f"msg_1.{moment}.".encode() + body, "sha256")
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": moment,
        "webhook-signature": f"v1,x v1,{base64.b64encode(mac).decode()}",
    }


def post(address: str, body: bytes, headers: dict[str, str]) -> int:
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(urllib.request.Request(address, body, headers)) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
