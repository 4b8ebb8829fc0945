"""POST /api/v1/inspections: what an MES may rely on."""

import asyncio
import io
import json
import threading
import time
import uuid
from typing import Any

import pytest
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import AsyncClient
from django.utils import timezone
from PIL import Image as Pillow

from inspection.api import waiting as api
from inspection.models import Disposition, Inspection, Lane, ScoringChunk, Verdict
from inspection.services import verdicts
from tests.factories.api_key import Program, key_of
from tests.factories.jobs import make_image, make_version
from tests.factories.submission import make_sender

pytestmark = pytest.mark.django_db
AT = "inspections"


def png(shade: int = 100) -> SimpleUploadedFile:
    file = io.BytesIO()
    Pillow.effect_noise((32, 32), shade).convert("RGB").save(file, "PNG")
    return SimpleUploadedFile(f"part-{shade}.png", file.getvalue(), "image/png")


class Mes:
    """A sender of units of one product."""

    def __init__(self) -> None:
        from inspection.models import Station
        from inspection.services.pictures import own

        self.version = make_version()
        self.user = make_sender(self.version)
        self.text = key_of(self.user)
        self.program = Program(self.text)
        self.image = make_image()
        own(self.user, self.image)
        Station.objects.create(code="AOI-1", name="AOI")

    def body(self, **fields: Any) -> dict[str, Any]:
        return {
            "external_id": "E1",
            "station_id": "AOI-1",
            "recipe": {"name": self.version.viewpoint.recipe_name},
            "serial_number": "SN1",
            "images": [str(self.image.pk)],
            **fields,
        }

    def send(self, key: str = "", headers: dict[str, str] | None = None, **fields: Any) -> Any:
        named = {"Idempotency-Key": f'"{key or uuid.uuid4()}"', **(headers or {})}
        return self.program.json("POST", AT, self.body(**fields), **named)


@pytest.fixture
def mes() -> Mes:
    cache.clear()
    return Mes()


def test_a_unit_is_taken_and_waits_for_its_verdict_in_the_fast_lane(mes: Mes) -> None:
    answer = mes.send()
    assert answer.status_code == 202, answer.content
    told = answer.json()
    assert (told["status"], told["result"], told["external_id"]) == ("queued", None, "E1")
    assert answer["Location"] == f"/api/v1/inspections/{told['id']}"
    assert answer["Retry-After"] == "1"
    assert ScoringChunk.objects.get().lane == Lane.FAST
    assert mes.program.get(answer["Location"]).json()["id"] == told["id"]


def test_asked_again_it_is_the_same_inspection_in_its_current_state(mes: Mes) -> None:
    first = mes.send("k1").json()
    again = mes.send("k1")
    assert (again.status_code, again.json()["id"]) == (202, first["id"])
    judge(first["id"])
    done = mes.send("k1")
    assert (done.status_code, done.json()["result"]) == (200, "Failed")
    assert Inspection.objects.count() == 1


def judge(key: str) -> None:
    from inspection.models import ImageResult

    inspection = Inspection.objects.get(pk=key)
    result = ImageResult.objects.create(
        inspection=inspection,
        picture=inspection.pictures.get(),
        model_version=inspection.model_version,
        operating_point=inspection.operating_point,
        verdict=Verdict.FAILED,
        disposition=Disposition.AUTO,
        score=2.0,
    )
    verdicts.complete(inspection, [result])


def test_pictures_may_come_with_the_request(mes: Mes) -> None:
    recipe = mes.version.viewpoint.recipe_name
    form = {"external_id": "E9", "station_id": "AOI-1", "recipe.name": recipe, "lot_id": "L1"}
    form["images"] = [png(90), png(120)]
    sent = {"data": form, "headers": {"Idempotency-Key": "k9"}}
    answer = mes.program.post("/api/v1/inspections", **sent)
    assert answer.status_code == 202, answer.content
    inspection = Inspection.objects.get()
    assert inspection.pictures.count() == 2
    assert answer.json()["lot_id"] == "L1"


@pytest.mark.parametrize(
    ("change", "status", "code", "pointer"),
    [
        ({"external_id": ""}, 422, "invalid", "/external_id"),
        ({"station_id": "NOWHERE"}, 422, "unknown_station", "/station_id"),
        ({"recipe": {"name": "NOTHING"}}, 422, "unknown_recipe", "/recipe/name"),
        ({"recipe": {"name": "x", "colour": 1}}, 422, "invalid", "/recipe/colour"),
        ({"part_number": "OTHER"}, 422, "other_part_number", "/part_number"),
        ({"images": []}, 422, "invalid", "/images"),
        ({"images": [str(uuid.uuid4())]}, 422, "no_such_thing", "/images/0"),
        ({"callback_url": "https://mes.example/x"}, 422, "callback_not_allowed", "/callback_url"),
        ({"serial": "SN"}, 422, "invalid", "/serial"),
    ],
)
def test_what_is_wrong_is_pointed_at_and_nothing_is_written(
    mes: Mes, change: dict[str, Any], status: int, code: str, pointer: str
) -> None:
    answer = mes.send(**change)
    told = answer.json()
    assert (answer.status_code, told["code"]) == (status, code), told
    assert [error["pointer"] for error in told["errors"]] == [pointer]
    assert not Inspection.objects.exists()


def test_a_revision_that_never_judged_is_refused(mes: Mes) -> None:
    recipe = {"name": mes.version.viewpoint.recipe_name, "revision": "model-99"}
    answer = mes.send(recipe=recipe)
    assert (answer.status_code, answer.json()["code"]) == (422, "not_promoted")


def test_a_key_is_needed_and_stands_for_one_payload(mes: Mes) -> None:
    without = mes.program.json("POST", AT, mes.body())
    assert (without.status_code, without.json()["code"]) == (400, "idempotency_key_missing")
    mes.send("k1")
    other = mes.send("k1", serial_number="SN2")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


def test_an_external_id_is_unique_at_its_station(mes: Mes) -> None:
    first = mes.send("k1").json()
    second = mes.send("k2")
    told = second.json()
    assert (second.status_code, told["code"]) == (409, "duplicate_external_id")
    assert told["inspection"] == first["id"]


def test_while_the_first_request_is_received_a_second_one_is_told_to_wait(mes: Mes) -> None:
    from inspection.services.submissions import receiving

    with receiving(mes.user, "k1"):
        answer = mes.send("k1")
    assert (answer.status_code, answer.json()["code"]) == (409, "still_receiving")
    assert answer["Retry-After"] == "1"
    assert mes.send("k1").status_code == 202


def test_pictures_of_others_cannot_be_named(mes: Mes) -> None:
    stranger = make_image()
    answer = mes.send(images=[str(stranger.pk)])
    assert answer.json()["code"] == "no_such_thing"


def test_a_viewer_may_not_submit(mes: Mes) -> None:
    viewer = make_sender(mes.version, role="viewer")
    program = Program(key_of(viewer))
    answer = program.json("POST", AT, mes.body(), **{"Idempotency-Key": "k"})
    assert answer.status_code in (403, 422)
    assert not Inspection.objects.exists()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("wait=3", 3), ("respond-async, wait=10", 10), ("WAIT=5", 5), ("", 0), ("wait=x", 0)],
)
def test_how_long_somebody_waits_is_read(header: str, seconds: float) -> None:
    assert api.wanted_seconds(header) == seconds


# --- waiting -----------------------------------------------------------------------------


@pytest.fixture
def mes_committed(transactional_db: None) -> Mes:
    cache.clear()
    return Mes()


def ask(mes: Mes, seconds: int) -> tuple[Any, float]:
    async def post() -> Any:
        client = AsyncClient()
        return await client.post(
            "/api/v1/inspections",
            json.dumps(mes.body()),
            content_type="application/json",
            headers={
                "Authorization": f"Bearer {mes.text}",
                "Idempotency-Key": "k1",
                "Prefer": f"wait={seconds}",
            },
        )

    began = time.monotonic()
    return asyncio.run(post()), time.monotonic() - began


def test_who_waits_gets_the_verdict_when_it_is_there(mes_committed: Mes) -> None:
    def worker() -> None:
        from django.db import connection

        until = time.monotonic() + 60
        while not (found := Inspection.objects.first()) and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(0.3)
        judge(str(found.pk))
        connection.close()

    thread = threading.Thread(target=worker)
    thread.start()
    answer, took = ask(mes_committed, 30)
    thread.join()
    assert (answer.status_code, answer.json()["result"]) == (201, "Failed")
    assert answer["Preference-Applied"] == "wait=30"
    assert answer["RateLimit-Policy"]
    assert 0.2 < took < 20


def test_who_would_wait_is_told_so_where_the_verdict_is_there_at_once(mes_committed: Mes) -> None:
    key = mes_committed.send("k1").json()["id"]
    judge(key)
    answer, _ = ask(mes_committed, 20)
    assert (answer.status_code, answer.json()["id"]) == (200, key)
    assert answer["Preference-Applied"] == "wait=20"


def test_nothing_was_waited_for_where_it_is_refused(mes_committed: Mes) -> None:
    mes_committed.text = "not-a-key"
    answer, _ = ask(mes_committed, 20)
    assert answer.status_code == 401
    assert "Preference-Applied" not in answer


def test_a_wait_that_ends_without_a_verdict_is_never_a_pass(mes_committed: Mes) -> None:
    answer, took = ask(mes_committed, 1)
    told = answer.json()
    assert (answer.status_code, told["result"], told["status"]) == (202, None, "queued")
    assert took >= 1


def test_asked_again_after_its_product_was_archived_it_is_still_that_inspection(mes: Mes) -> None:
    first = mes.send("k1").json()
    product = mes.version.viewpoint.product
    product.archived_at = timezone.now()
    product.save(update_fields=["archived_at"])
    again = mes.send("k1")
    assert (again.status_code, again.json()["id"]) == (202, first["id"])
