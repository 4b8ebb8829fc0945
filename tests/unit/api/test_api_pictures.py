"""Pictures that programs send: whose they are, what is sent back, and where they go."""

from hashlib import sha256
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from inspection.models import Image, Inspection
from tests.factories.api_key import Program, key_of
from tests.factories.files import picture
from tests.factories.plant import Plant, build
from tests.factories.product import ProductFactory
from tests.factories.user import UserFactory

pytestmark = pytest.mark.django_db
AT = "/api/v1/images"


@pytest.fixture(autouse=True)
def product() -> None:
    """Something that pictures may be about."""
    ProductFactory()


@pytest.fixture
def plant() -> Plant:
    return build()


def program(role: str = "engineer") -> Program:
    return Program(key_of(UserFactory(role=role)))


def send(who: Program, content: bytes, name: str = "part.png", **fields: str):
    return who.post(AT, {"file": SimpleUploadedFile(name, content), **fields})


def test_a_picture_that_is_nowhere_yet_is_its_senders_alone() -> None:
    mine, other = program(), program()
    key = send(mine, picture(1)).json()["id"]
    for path in ("", "/content", "/thumbnail"):
        assert mine.get(f"{AT}/{key}{path}").status_code == 200
        assert other.get(f"{AT}/{key}{path}").status_code == 404
    assert [row["id"] for row in mine.get(AT).json()["results"]] == [key]
    assert other.get(AT).json()["results"] == []


def test_who_sends_the_same_bytes_has_the_same_picture() -> None:
    mine, other = program(), program()
    first, second = send(mine, picture(1)).json(), send(other, picture(1)).json()
    assert first["id"] == second["id"]
    assert Image.objects.count() == 1
    assert other.get(f"{AT}?sha256={first['sha256']}").json()["results"][0]["id"] == first["id"]


def test_a_stranger_uses_nobodys_picture(plant: Plant) -> None:
    other = program()
    body = {"image": str(plant.loose.pk)}
    for path in (f"batches/{plant.batch.pk}/images", f"datasets/{plant.dataset.pk}/images"):
        answer = other.json("POST", path, body)
        assert (answer.status_code, answer.json()["code"]) == (422, "no_such_image")


def test_what_is_sent_back_is_encoded_anew() -> None:
    mine, sent = program(), picture(1)
    key = send(mine, sent).json()["id"]
    answer = mine.get(f"{AT}/{key}/content", headers={"Accept": "image/png"})
    assert answer["Content-Type"] == "image/webp"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer.content[:4] == b"RIFF"
    assert answer.content != sent


@pytest.mark.parametrize(
    ("content", "name", "status", "code"),
    [
        (b"", "empty.png", 422, "empty_file"),
        (b"<script>alert(1)</script>", "page.png", 422, None),
        (picture(1)[:200], "cut.png", 422, None),
    ],
)
def test_what_is_no_picture_is_refused(content: bytes, name: str, status: int, code: str) -> None:
    answer = send(program(), content, name)
    assert answer.status_code == status
    assert code is None or answer.json()["code"] == code
    assert name in answer.json()["detail"]
    assert not Image.objects.exists()


def test_a_body_that_is_too_large_is_not_read(settings) -> None:
    settings.MAX_FILE_MB = 0
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    large = picture(1, size=(400, 400))
    assert send(program(), large).status_code == 413
    answer = program().json(
        "POST", "products", {"code": "A", "name": "A", "description": "x" * 999}
    )
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_json_nested_without_end_is_a_bad_request() -> None:
    deep = "[" * 100_000
    answer = program().post("/api/v1/products", deep, content_type="application/json")
    assert answer.status_code == 400


def test_half_a_surrogate_pair_is_refused_and_cited() -> None:
    body = b'{"code": "A", "name": "A", "\\ud800": "\\ud800"}'
    answer = program().post("/api/v1/products", body, content_type="application/json")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/?"


def test_a_picture_goes_into_a_dataset_as_it_is_sent(plant: Plant) -> None:
    mine = program()
    key = send(mine, picture(5), dataset=str(plant.dataset.pk), label="good", lot="L-7").json()[
        "id"
    ]
    rows = mine.json("GET", f"datasets/{plant.dataset.pk}/images").json()["results"]
    assert [(row["image"], row["label"], row["lot_code"]) for row in rows][:1] == [(key, "", "L-7")]
    told = mine.json("GET", f"datasets/{plant.dataset.pk}").json()
    assert (told["pictures"], told["usable"]) == (2, 2)
    at = f"datasets/{plant.dataset.pk}/images/{key}"
    assert mine.json("POST", f"{at}/exclude", {"reason": "blurred"}).json()["excluded_at"]
    excluded = mine.json("GET", f"datasets/{plant.dataset.pk}/images?excluded=true").json()
    assert [row["image"] for row in excluded["results"]] == [key]
    assert mine.json("POST", f"{at}/include").json()["excluded_at"] is None
    assert mine.json("DELETE", at).status_code == 204
    assert mine.json("DELETE", at).status_code == 404


def test_the_golden_set_takes_nothing_that_models_learn_from(plant: Plant) -> None:
    answer = program().json(
        "POST", f"datasets/{plant.golden.pk}/images", {"image": str(plant.image.pk)}
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "learned_already")


def test_a_batch_judges_a_picture_once(plant: Plant) -> None:
    mine, at = program("inspector"), f"batches/{plant.batch.pk}/images"
    body = {"image": str(plant.image.pk), "serial_number": "SN7"}
    first, again = mine.json("POST", at, body), mine.json("POST", at, body)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    assert first.json()["serial_number"] == "SN7"
    assert first.json()["result"] is None
    assert Inspection.objects.filter(batch=plant.batch).count() == 1
    sealed = mine.json("POST", f"batches/{plant.batch.pk}/seal").json()
    assert sealed["counts"]["state"] == "scoring"
    late = mine.json("POST", at, {"image": str(plant.image.pk), "reference_label": "good"})
    assert late.status_code == 422
    other = send(mine, picture(8)).json()["id"]
    refused = mine.json("POST", at, {"image": other})
    assert (refused.status_code, refused.json()["code"]) == (409, "batch_sealed")


def test_the_same_picture_of_another_unit_is_another_part(plant: Plant) -> None:
    mine, at = program("inspector"), f"batches/{plant.batch.pk}/images"
    units: list[dict[str, Any]] = [
        {"serial_number": "SN7"},
        {"serial_number": "SN8"},
        {"serial_number": "SN8", "panel_id": "P1", "position_number": 1},
        {"serial_number": "SN8", "panel_id": "P1", "position_number": 2},
        {"panel_id": "P1", "position_number": 2},
        {},
    ]
    told = [mine.json("POST", at, {"image": str(plant.image.pk), **unit}) for unit in units]
    assert [one.status_code for one in told] == [201] * len(units)
    nobody = {"serial_number": "", "panel_id": "", "position_number": 0}
    for unit, one in zip(units, told, strict=True):
        again = mine.json("POST", at, {"image": str(plant.image.pk), **unit})
        assert (again.status_code, again.json()["id"]) == (200, one.json()["id"])
        said = {name: one.json()[name] for name in nobody}
        assert said == {**nobody, **unit}
    assert len({one.json()["id"] for one in told}) == len(units)
    blank = {"image": str(plant.image.pk), "serial_number": " SN7 ", "panel_id": ""}
    assert mine.json("POST", at, blank).json()["id"] == told[0].json()["id"]
    wrong = mine.json("POST", at, {**blank, "position_number": -1})
    assert wrong.json()["errors"][0]["pointer"] == "/position_number"


@pytest.mark.parametrize("also", [(), ("datasets:write",)])
def test_a_dataset_is_filled_only_by_keys_that_may_write_datasets(
    plant: Plant, also: tuple[str, ...]
) -> None:
    mine = Program(key_of(UserFactory(role="engineer"), ("images:write", *also)))
    answer = send(mine, picture(9), dataset=str(plant.dataset.pk))
    there = plant.dataset.items.filter(image__sha256=sha256(picture(9)).hexdigest()).exists()
    assert (answer.status_code, there) == ((201, True) if also else (403, False)), answer.content
    assert also or "datasets:write" in answer.json()["detail"]
    assert send(mine, picture(10)).status_code == 201, "alone it needs no other scope"


@pytest.mark.parametrize("also", [(), ("datasets:write",)])
def test_the_golden_set_is_filled_only_by_keys_that_may_write_datasets(
    plant: Plant, also: tuple[str, ...]
) -> None:
    mine = Program(key_of(UserFactory(role="engineer"), ("inspections:write", *also)))
    path = f"inspections/{plant.keys['fresh']}/golden"
    answer = mine.json("POST", path, {"label": "good", "must": True})
    assert answer.status_code == (201 if also else 403), answer.content
    assert also or "datasets:write" in answer.json()["detail"]
