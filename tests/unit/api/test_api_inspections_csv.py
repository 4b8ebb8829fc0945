"""The file of the page Defects for programs: the same rows and columns, sent while it is read."""

import asyncio
import csv
import io
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient
from django.urls import reverse

from inspection.exchange import inspections_csv
from inspection.models import Inspection, Purpose
from tests.factories.api_key import Program, key_of
from tests.factories.batch import BatchFactory
from tests.factories.inspection import InspectionFactory
from tests.factories.membership import MembershipFactory
from tests.factories.unit import UnitFactory
from tests.factories.user import UserFactory
from webapp.one_thread import Http

pytestmark = pytest.mark.django_db(transaction=True)
ADDRESS = "/api/v1/inspections.csv"


@pytest.fixture(autouse=True)
def as_in_production(monkeypatch: pytest.MonkeyPatch) -> None:
    """The database may not be asked from the event loop, which tests otherwise allow."""
    monkeypatch.delenv("DJANGO_ALLOW_ASYNC_UNSAFE", raising=False)


class Reader(AsyncClient):
    """A program that sends a key, as a browser sends a cookie, and wants nothing but a CSV."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self.own = {"Authorization": f"Bearer {key}", "Accept": "text/csv"}

    async def get(self, path: str, data: Any = None, **options: Any) -> Any:  # type: ignore[override]
        return await super().get(path, data, headers=self.own, **options)


def program(scopes: tuple[str, ...] = ("inspections:read",), user: Any = None) -> Reader:
    return Reader(key_of(user or UserFactory(role="viewer"), scopes))


def pieces(client: AsyncClient, address: str = ADDRESS, **query: str) -> tuple[Any, list[bytes]]:
    async def download() -> tuple[Any, list[bytes]]:
        answer = await client.get(address, query)
        if not answer.streaming:
            return answer, [answer.content]
        return answer, [piece async for piece in answer]

    return async_to_sync(download)()


def rows(told: list[bytes]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(b"".join(told).decode()[1:])))


def keys(told: list[bytes]) -> list[str]:
    return [row["inspection"] for row in rows(told)]


def test_it_is_the_file_of_the_page() -> None:
    batch = BatchFactory()
    InspectionFactory.create_batch(3, batch=batch, score=2.0)
    InspectionFactory(batch=batch, score=0.5)
    page = AsyncClient()
    page.force_login(UserFactory(role="viewer"))
    answer, told = pieces(program(), score_min="1", verdict="called")
    assert answer.status_code == 200
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert 'attachment; filename="inspections-' in answer["Content-Disposition"]
    assert "RateLimit" in answer
    _page, seen = pieces(page, reverse("defects_csv"), score_min="1", verdict="called")
    assert len(rows(told)) == 3
    assert b"".join(told) == b"".join(seen)


def test_it_holds_what_the_list_tells() -> None:
    """Also what only programs ask by: a serial number, what changed, any purpose."""
    batch = BatchFactory()
    unit = UnitFactory(product=batch.viewpoint.product, serial_number="SN-1")
    InspectionFactory(batch=batch, unit=unit)
    InspectionFactory(batch=batch, unit=unit, purpose=Purpose.TRIAL)
    older, newer = InspectionFactory.create_batch(2, batch=batch)
    Inspection.objects.filter(pk=older.pk).update(updated_at=newer.updated_at.replace(year=2090))
    list_of, client = Program(key_of(UserFactory(role="viewer"))), program()
    for query, found in (
        ({"serial_number": "SN-1"}, 1),
        ({"serial_number": "SN-1", "purpose": "any"}, 2),
        ({"updated_since": "2026-01-01T00:00:00Z"}, 3),
        ({}, 4),
    ):
        listed = list_of.get("/api/v1/inspections", query).json()["results"]
        assert len(listed) == found
        assert keys(pieces(client, **query)[1]) == [row["id"] for row in listed], query


def test_it_leaves_chunk_by_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspections_csv, "CHUNK", 10)
    InspectionFactory.create_batch(25, batch=BatchFactory())
    _answer, told = pieces(program())
    assert [piece.count(b"\r\n") for piece in told] == [1, 10, 10, 5]


def test_what_one_may_not_see_is_in_no_file() -> None:
    hidden, mine = InspectionFactory(), InspectionFactory()
    member = MembershipFactory(product=mine.viewpoint.product).user
    client = program(user=member)
    assert keys(pieces(client)[1]) == [str(mine.pk)]
    refused, _told = pieces(client, product=hidden.viewpoint.product.code)
    assert refused.status_code == 422


@pytest.mark.parametrize(
    ("asked", "pointer"), [("cell", "/cell"), ("limit", "/limit"), ("station", "/station")]
)
def test_what_means_nothing_is_a_problem_and_no_file(asked: str, pointer: str) -> None:
    answer, told = pieces(program(), **{asked: "99"})
    assert answer.status_code == 422, told
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["errors"][0]["pointer"] == pointer


def test_it_takes_the_scope_of_inspections_and_counts_as_a_request(settings: Any) -> None:
    answer, _told = pieces(program(("reviews:read",)))
    assert answer.status_code == 403
    settings.API_RATE_PER_MINUTE = 1
    client = program()
    assert pieces(client)[0].status_code == 200
    assert pieces(client)[0].status_code == 429


def test_the_server_sends_it_in_pieces_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the handler that serves pages and programs, where each request has one thread."""
    monkeypatch.setattr(inspections_csv, "CHUNK", 10)
    InspectionFactory.create_batch(25, batch=BatchFactory())
    key = key_of(UserFactory(role="viewer"), ["inspections:read"])
    scope = {
        "type": "http", "method": "GET", "path": ADDRESS, "query_string": b"verdict=called",
        "headers": [(b"authorization", f"Bearer {key}".encode())],
        "http_version": "1.1", "scheme": "http", "root_path": "", "server": ("testserver", 80),
    }  # fmt: skip

    async def ask() -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []
        asked = iter([{"type": "http.request", "body": b"", "more_body": False}])

        async def receive() -> dict[str, Any]:
            if message := next(asked, None):
                return message
            await asyncio.sleep(3600)
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await Http()(scope, receive, send)
        return sent

    start, *rest = asyncio.run(ask())
    assert start["status"] == 200
    told = [message["body"] for message in rest if message.get("body")]
    assert [piece.count(b"\r\n") for piece in told] == [1, 10, 10, 5]
    assert rest[-1].get("more_body", False) is False
