"""Submissions whose pictures are fetched from a store that an administrator lists."""

import asyncio
import hashlib
import io
import threading
import time
import uuid
from collections import Counter
from typing import IO, Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from pytest_django import Settings

from inspection.api import fetching
from inspection.errors import UserError
from inspection.models import Image, Inspection, Role
from inspection.services import image_stores
from tests.receivers import Answer, drip_body, file_of, flood, hang, receiver, redirect_to
from tests.unit.api.test_api_submissions import Mes, png
from webapp.networks import stores

pytestmark = pytest.mark.django_db
STORE = "https://store.plant.example/aoi/"


@pytest.fixture
def mes() -> Mes:
    return Mes()


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_stores, "TIMEOUT_S", 2.0)


def refused(answer: Any) -> tuple[str, str, str]:
    """Code, pointer and sentence of a refusal."""
    told = answer.json()
    (error,) = told["errors"]
    return told["type"].rpartition(":")[2], error["pointer"], error["detail"]


def sent_from(mes: Mes, settings: Settings, answer: Answer, **fields: Any) -> Any:
    with receiver(answer) as store:
        settings.IMAGE_STORES = stores([f"http://127.0.0.1:{store.port}/aoi/"])
        return mes.send(images=[f"http://127.0.0.1:{store.port}/aoi/b7/part.png"], **fields)


def test_a_picture_is_fetched_and_judged_as_if_it_had_been_sent(
    mes: Mes, settings: Settings
) -> None:
    content = png(77).read()
    with receiver(file_of(content)) as store:
        settings.IMAGE_STORES = stores([f"http://127.0.0.1:{store.port}/aoi/"])
        address = f"http://127.0.0.1:{store.port}/aoi/b7/part%2077.png?signature=secret"
        key = str(uuid.uuid4())
        answer = mes.send(key, images=[address, str(mes.image.pk), address])
        assert answer.status_code == 202, answer.content
        assert "Location" in answer
        assert [one.path for one in store.got] == ["/aoi/b7/part%2077.png?signature=secret"]
        store.answer = 404  # the store forgets; what was taken stays taken
        again = mes.send(key, images=[address, str(mes.image.pk), address])
        assert (again.status_code, again.json()["id"]) == (202, answer.json()["id"])
        signed_anew = address.replace("secret", "fresh")
        again = mes.send(key, images=[signed_anew, str(mes.image.pk), signed_anew])
        assert (again.status_code, again.json()["id"]) == (202, answer.json()["id"])
        other = mes.send(key, images=[address.replace("77", "78"), str(mes.image.pk), address])
        assert other.json()["type"].endswith("idempotency_key_reused")
        assert len(store.got) == 1
    first, second, third = Inspection.objects.get().pictures.order_by("index")
    assert first.file_name == "part 77.png"
    assert (second.image, third.image) == (mes.image, first.image)
    assert first.image.sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (404, "the store answered 404"),
        (500, "the store answered 500"),
        (redirect_to("http://127.0.0.1/aoi/else.png"), "the store answered 307"),
        (hang, "no whole picture within 2 s"),
        (drip_body, "no whole picture within 2 s"),
        (file_of(b"half", announced=4000), "IncompleteRead"),
    ],
)
def test_what_a_store_does_not_give_is_said_and_nothing_is_taken(
    mes: Mes, settings: Settings, answer: Answer, said: str
) -> None:
    started = time.monotonic()
    told = sent_from(mes, settings, answer)
    assert time.monotonic() - started < 20
    assert told.status_code == 422
    code, pointer, sentence = refused(told)
    assert (code, pointer) == ("picture_not_fetched", "/images/0")
    assert said in sentence
    assert not Inspection.objects.exists()
    later = sent_from(mes, settings, file_of(png(60).read()))
    assert later.status_code == 202


def test_what_is_too_large_or_no_picture_is_refused_as_if_it_had_been_sent(
    mes: Mes, settings: Settings
) -> None:
    settings.MAX_FILE_MB = 1
    before = Image.objects.count()
    for answer, code in (
        (flood, "too_large"),
        (file_of(b"<html>no picture</html>"), "not_a_picture"),
    ):
        told = sent_from(mes, settings, answer)
        assert told.status_code in (413, 422), told.content
        assert refused(told)[:2] == (code, "/images/0")
    assert Image.objects.count() == before


@pytest.mark.parametrize(
    "address",
    [
        "https://store.plant.example/other/part.png",
        "https://store.plant.example/aoi",
        "https://store.plant.example/aoi/../other/part.png",
        "https://store.plant.example/aoi/%2e%2e/other/part.png",
        "https://store.plant.example/aoi/%252e%252e/other/part.png",
        "https://store.plant.example/aoi/..%5cother/part.png",
        "https://store.plant.example:8443/aoi/part.png",
        "http://store.plant.example/aoi/part.png",
        "https://store.plant.example.evil.example/aoi/part.png",
        "https://evil.example/https://store.plant.example/aoi/part.png",
        "file:///etc/passwd",
        "ftp://store.plant.example/aoi/part.png",
        "http://169.254.169.254/latest/meta-data/",
    ],
)
def test_an_address_that_no_store_holds_is_never_asked(
    mes: Mes, settings: Settings, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    settings.IMAGE_STORES = stores([STORE])
    monkeypatch.setattr(image_stores, "exchanged", None)  # would fail loudly
    told = mes.send(images=[str(mes.image.pk), address])
    assert told.status_code == 422
    code, pointer, _ = refused(told)
    assert code in ("store_not_listed", "address_invalid", "invalid")
    assert pointer == "/images/1"


@pytest.mark.parametrize(
    "address",
    [
        "https://user:secret@store.plant.example/aoi/part.png",
        "https://store.plant.example@evil.example/aoi/part.png",
        "https://store.plant.example\\@evil.example/aoi/part.png",
        "https://store.plant.example/aoi/part.png#here",
        "https://store.plant.example/aoi/part one.png",
        "https://store.plant.example/aoi/part\r\nHost: evil.png",
        "https://store.plant.example:port/aoi/part.png",
        "https://[::1/aoi/part.png",
        "https://store.plant.example/aoi/" + 2000 * "a",
        "https://store.plant.example/aoi/tëil.png",
        "://",
    ],
)
def test_an_address_of_another_form_is_refused(settings: Settings, address: str) -> None:
    settings.IMAGE_STORES = stores([STORE])
    with pytest.raises(UserError) as refused:
        image_stores.listed(address)
    assert refused.value.code in ("address_invalid", "store_not_listed")


@pytest.mark.parametrize(
    ("role", "status", "code"), [(None, 422, "unknown_recipe"), (Role.VIEWER, 403, "not_allowed")]
)
def test_for_whom_may_not_send_no_store_is_asked(
    mes: Mes, settings: Settings, role: Role | None, status: int, code: str
) -> None:
    mes.user.memberships.all().delete()
    if role:
        mes.user.memberships.create(product=mes.version.viewpoint.product, role=role)
    with receiver(file_of(png(77).read())) as store:
        settings.IMAGE_STORES = stores([f"http://127.0.0.1:{store.port}/aoi/"])
        listed = f"http://127.0.0.1:{store.port}/aoi/part.png"
        for address in (listed, "https://elsewhere.example/part.png"):
            answer = mes.send(images=[address])
            assert (answer.status_code, answer.json()["code"]) == (status, code)
            assert "KINTSUGI_IMAGE_STORES" not in answer.content.decode()
        assert store.got == []


def test_for_a_wrong_field_no_store_is_asked(mes: Mes, settings: Settings) -> None:
    with receiver(file_of(png(77).read())) as store:
        settings.IMAGE_STORES = stores([f"http://127.0.0.1:{store.port}/aoi/"])
        address = f"http://127.0.0.1:{store.port}/aoi/part.png"
        answer = mes.send(images=[address], captured_at="yesterday")
        assert answer.json()["errors"][0]["pointer"] == "/captured_at"
        assert store.got == []


def code_of(found: IO[bytes] | UserError) -> str:
    return found.code if isinstance(found, UserError) else ""


def test_one_sender_holds_a_share_of_the_fetching_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    let_go, lock = threading.Event(), threading.Lock()
    running: Counter[str] = Counter()
    most: Counter[str] = Counter()

    def fetch(address: str) -> IO[bytes]:
        sender = address.partition("/")[0]
        with lock:
            running[sender] += 1
            most[sender] = max(most[sender], running[sender])
        let_go.wait(30 if sender == "greedy" else 0)
        with lock:
            running[sender] -= 1
        return io.BytesIO(address.encode())

    monkeypatch.setattr(image_stores, "fetch", fetch)

    async def all_at_once() -> None:
        first = fetching.MOST_FOR_ONE - 1
        greedy = asyncio.ensure_future(
            fetching.fetched("greedy", [f"greedy/{n}" for n in range(first)])
        )
        await asyncio.sleep(0.2)
        more = await fetching.fetched("greedy", ["greedy/x", "greedy/y"])
        assert [code_of(one) for one in more.values()] == ["too_many_fetches"] * 2
        modest = await asyncio.wait_for(fetching.fetched("modest", ["modest/1"]), 20)
        file = modest["modest/1"]
        assert not isinstance(file, UserError)
        assert file.read() == b"modest/1"
        left = asyncio.ensure_future(fetching.fetched("greedy", ["greedy/z"]))
        await asyncio.sleep(0.1)
        left.cancel()  # who goes away leaves what was begun, and it counts
        await asyncio.sleep(0.1)
        again = await fetching.fetched("greedy", ["greedy/z"])
        assert code_of(again["greedy/z"]) == "too_many_fetches"
        let_go.set()
        assert len(await greedy) == first
        while fetching._by_loop[asyncio.get_running_loop()]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    asyncio.run(all_at_once())
    assert most["greedy"] == fetching.AT_ONCE_FOR_ONE


def test_too_many_fetches_are_told_with_the_time_to_come_back(
    mes: Mes, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "MOST_FOR_ONE", 0)
    answer = sent_from(mes, settings, file_of(png(77).read()))
    assert (answer.status_code, answer["Retry-After"]) == (429, "5")
    assert refused(answer)[:2] == ("too_many_fetches", "/images/0")


def test_without_a_list_nothing_is_fetched(mes: Mes) -> None:
    told = mes.send(images=[f"{STORE}part.png"])
    assert "KINTSUGI_IMAGE_STORES): none" in refused(told)[2]


@pytest.mark.parametrize(
    "word",
    ["store.plant.example/aoi", "s3://bucket/", "https://", "http://u:p@h/", "http://h/?a=1"],
)
def test_a_list_that_names_no_store_stops_the_start(word: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="KINTSUGI_IMAGE_STORES"):
        stores([word])
