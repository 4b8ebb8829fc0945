"""docs/mes.md: its curl lines run as they stand. docs/examples: against a real server."""

import importlib
import io
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

from inspection.exchange.webhook import body_of
from inspection.models import Delivery, Endpoint, Inspection, ReviewState
from inspection.services import image_stores, reviews
from inspection.services.verdict_facts import verdict_facts
from tests.factories.api_key import key_of
from tests.factories.batch import BatchFactory
from tests.factories.files import picture
from tests.factories.inspection import InspectionFactory
from tests.factories.model_version import ModelVersionFactory
from tests.factories.plant import Plant, build
from tests.factories.training_run import TrainingRunFactory
from tests.factories.unit import UnitFactory
from tests.factories.user import UserFactory
from tests.factories.viewpoint import ViewpointFactory

pytestmark = pytest.mark.django_db(transaction=True)
DOCS = Path(__file__).resolve().parents[2] / "docs"
GUIDE = (DOCS / "mes.md").read_text()
BLOCKS = re.findall(r"```sh curl\n(.*?)```", GUIDE, re.DOTALL)
PURPOSES = {"production": True, "trial": False, "golden": False, "rescore": False}
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
    plant: Plant, live_server: Any, tmp_path: Path, settings: Any, monkeypatch: Any
) -> None:
    """From top to bottom, as in one shell that knows the address and a key and nothing else."""
    (tmp_path / "part.png").write_bytes(picture(9))
    settings.IMAGE_STORES = ["https://store.plant.example/aoi/"]
    settings.INTAKE_ROOTS = ["/mnt/aoi"]
    monkeypatch.setattr(image_stores, "fetch", lambda address: io.BytesIO(picture(10)))
    shell = {
        "PATH": os.environ["PATH"],
        "KINTSUGI": live_server.url,
        "KEY": key_of(UserFactory(role="administrator")),
    }
    assert len(BLOCKS) > 20
    for block in BLOCKS:
        said, shell = run(block, shell, tmp_path)
        assert '"results":[]' not in said.replace(" ", ""), f"{block} finds nothing"
        assert answers(said), f"{block} tells nothing: {said}"
        if "/test" in block:  # nobody is at this address: what is left of it after days of tries
            waiting = Delivery.objects.filter(state=Delivery.State.WAITING)
            assert waiting.update(state=Delivery.State.GIVEN_UP)
    plant.fresh.refresh_from_db()
    assert plant.fresh.review_state == ReviewState.REJECTED
    made = ["MES line 3", "CFX of line 3", "MQTT of plant 1"]
    assert Endpoint.objects.filter(name__in=made).count() == len(made)
    for serial in ("SN6", "SN7", "SN8"):  # from a store, in pieces, in the same request
        assert Inspection.objects.get(unit__serial_number=serial).pictures.count() == 1


def run(block: str, shell: dict[str, str], folder: Path) -> tuple[str, dict[str, str]]:
    """What a block prints, and the names that are set after it."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"set -a\n{block}\nenv -0 > names"],
        env=shell,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, f"{block}\n{done.stdout}"
    lines = (folder / "names").read_text().split("\0")
    names = dict(line.split("=", 1) for line in lines if line)
    assert "null" not in names.values(), f"{block}\n{done.stdout}"
    return done.stdout, names


def answers(text: str) -> list[Any]:
    """The JSON documents in what was printed."""
    found, at = [], 0
    while begin := re.compile(r"[\[{]").search(text, at):
        document, at = json.JSONDecoder().raw_decode(text, begin.start())
        found.append(document)
    return found


def test_no_line_of_the_guide_goes_untested() -> None:
    for block in re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL):
        assert "curl" not in block, f"call it `sh curl`: {block}"


def test_the_guide_names_where_if_match_is_heard() -> None:
    described = json.loads((DOCS / "openapi.json").read_text())["paths"]
    heard = {
        (method.upper(), path.removeprefix("/api/v1").partition("{")[0])
        for path, methods in described.items()
        for method, operation in methods.items()
        if any(one.get("name") == "If-Match" for one in operation.get("parameters", []))
    }
    (said,) = re.findall(r"It is heard (by `PATCH`.*?)\*\*Everything else", GUIDE, re.DOTALL)
    named = {
        (method, address)
        for method, places in re.findall(r"by `(\w+)` of\s(.*?)(?=and by|$)", said, re.DOTALL)
        for address in re.findall(r"`(/\w+/)\{id\}`", places)
    }
    assert named == heard


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
    assert mes.reconcile() == Inspection.objects.filter(purpose="production").count()
    assert mes.reconcile() == 0
    assert not mes.may_go_on("SN1")  # a confirmed defect, though another model would pass it
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


def test_a_review_is_heard_as_it_is_sent(plant: Plant, mes: Any) -> None:
    part = Inspection.objects.get(pk=plant.inspection.pk)
    reviews.record_review(plant.owner, part, state=ReviewState.REJECTED)
    sent = Delivery.objects.filter(event__type="review.recorded").latest("pk")
    body = body_of(sent)
    assert set(json.loads(body)["data"]) == {"review", "inspection"}
    assert post(mes.address, body, signed(body)) == 204
    assert mes.parts[str(part.pk)]["verification"] == "DefectRejected"
    assert mes.may_go_on("SN1")


def test_what_could_not_be_kept_is_taken_when_it_comes_again(plant: Plant, mes: Any) -> None:
    part = Inspection.objects.get(pk=plant.inspection.pk)
    body = json.dumps({"type": "inspection.completed", "data": verdict_facts(part)}).encode()
    headers, keep = signed(body), mes.keep
    mes.keep = lambda part: 1 / 0
    with pytest.raises(ZeroDivisionError):
        mes.receive(headers, body)
    mes.keep = keep
    assert mes.receive(headers, body) == 204
    assert list(mes.parts) == [str(part.pk)]


def test_another_purpose_moves_nothing_on(plant: Plant, mes: Any) -> None:
    """A re-score by another model passes, later than the failure that counts."""
    failed = Inspection.objects.get(pk=plant.inspection.pk)
    again = Inspection.objects.get(origin=failed)
    assert (failed.verdict, again.verdict, again.purpose) == ("Failed", "Passed", "rescore")
    assert again.model_version_id != failed.model_version_id
    mes.reconcile()
    assert str(again.pk) not in mes.parts
    assert mes.keep(verdict_facts(again))
    assert not mes.may_go_on("SN1")
    for purpose, goes_on in PURPOSES.items():
        other = {"id": purpose, "serial_number": purpose, "purpose": purpose}
        assert mes.keep({**verdict_facts(again), **other})
        assert mes.may_go_on(purpose) == goes_on


@pytest.mark.parametrize(
    ("top", "bottom", "goes_on"),
    [("Failed", "Passed", False), ("Passed", "Failed", False), ("Passed", "Passed", True)],
)
def test_a_unit_goes_on_where_every_side_passes(
    plant: Plant, mes: Any, top: str, bottom: str, goes_on: bool
) -> None:
    seen_from(plant, "top", top)
    mes.reconcile()
    both = ("BOARD-A/top", "BOARD-A/bottom")
    assert not mes.may_go_on("SN9", both)  # nobody has seen its bottom yet
    seen_from(plant, "bottom", bottom)
    mes.reconcile()
    assert mes.may_go_on("SN9", both) == goes_on
    assert mes.may_go_on("SN9") == goes_on


def test_the_newest_counts_and_what_a_person_says_after_it(plant: Plant, mes: Any) -> None:
    first = seen_from(plant, "top", "Failed")
    retest = InspectionFactory(batch=first.batch, unit=first.unit, verdict="Passed")
    mes.reconcile()
    assert mes.may_go_on("SN9")
    reviews.record_review(plant.owner, first, state=ReviewState.CONFIRMED)
    mes.reconcile()
    assert not mes.may_go_on("SN9")
    last = InspectionFactory(batch=first.batch, unit=first.unit, verdict="Passed")
    mes.reconcile()
    assert mes.may_go_on("SN9")
    mes.keep({**verdict_facts(last), "id": str(retest.pk), "position_number": 2, "result": None})
    assert not mes.may_go_on("SN9")


def seen_from(plant: Plant, viewpoint: str, verdict: str) -> Inspection:
    """Unit SN9 judged from another viewpoint of the product."""
    view = ViewpointFactory(product=plant.product, code=viewpoint)
    version = ModelVersionFactory(training_run=TrainingRunFactory(viewpoint=view))
    unit = plant.product.units.filter(serial_number="SN9").first()
    return InspectionFactory(
        batch=BatchFactory(model_version=version, number=7001),
        unit=unit or UnitFactory(product=plant.product, serial_number="SN9"),
        verdict=verdict,
    )


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
