"""The CSV of a filter: right cells, harmless cells, and no more held than a chunk."""

import csv
import io
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from django.test import AsyncClient, Client
from django.urls import reverse

from inspection.exchange import inspections_csv
from inspection.live import exports
from inspection.ml_adapter import harmless
from inspection.models import Inspection, Product, ReasonCode, ReviewState
from inspection.querysets import Wanted, wanted_inspections
from ml.commands.cells import harmless as harmless_of_the_command_line
from tests.factories.batch import BatchFactory
from tests.factories.inspection import InspectionFactory
from tests.factories.membership import MembershipFactory
from tests.factories.station import StationFactory
from tests.factories.unit import LotFactory, UnitFactory
from tests.factories.user import UserFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def as_in_production(monkeypatch: pytest.MonkeyPatch) -> None:
    """The database may not be asked from the event loop, which tests otherwise allow."""
    monkeypatch.delenv("DJANGO_ALLOW_ASYNC_UNSAFE", raising=False)


async def read(pieces: AsyncIterator[str]) -> list[dict[str, str]]:
    text = "".join([piece async for piece in pieces])
    assert text.startswith("\ufeff"), "or a spreadsheet does not take it for UTF-8"
    return list(csv.DictReader(io.StringIO(text[1:])))


def dangerous() -> Inspection:
    batch = BatchFactory()
    product = batch.viewpoint.product
    Product.objects.filter(pk=product.pk).update(name='=HYPERLINK("http://x","y")')
    reason = ReasonCode.objects.create(product=product, code="-2+3", text="bridge")
    return InspectionFactory(
        batch=batch,
        unit=UnitFactory(product=product, serial_number="@SUM(A1)", position_number=7),
        lot=LotFactory(product=product, code="+49"),
        station=StationFactory(line="=1+1"),
        work_order="\tx",
        score=-1.5,
        cell=26,
        review_state=ReviewState.REJECTED,
        review_reason=reason,
        reviewed_by=UserFactory(username="ines"),
        is_record=True,
    )


def test_rows_say_what_the_page_says_and_no_cell_is_a_formula() -> None:
    inspection = dangerous()
    row = run(read(inspections_csv.csv_of(wanted_inspections(Wanted()))))[0]
    assert row["inspection"] == str(inspection.pk)
    assert row["product"].startswith("'=HYPERLINK")
    assert (row["serial_number"], row["lot"], row["line"]) == ("'@SUM(A1)", "'+49", "'=1+1")
    assert (row["work_order"], row["reason"]) == ("'\tx", "'-2+3")
    assert row["score"] == "-1.5", "a number stays a number"
    assert (row["position"], row["place_on_part"]) == ("7", "R4C3")
    assert (row["verdict"], row["disposition"]) == ("Failed", "auto")
    assert (row["review_state"], row["reviewed_by"]) == ("DefectRejected", "ines")
    assert row["decision_of_record"] == "yes"
    assert float(row["fail_above"]) == inspection.operating_point.threshold_fail
    assert row["completed_at"].endswith("+00:00")


def run(waiting: Any) -> Any:
    from asgiref.sync import async_to_sync

    async def wait() -> Any:
        return await waiting

    return async_to_sync(wait)()


def test_the_command_line_and_the_pages_guard_alike() -> None:
    for start in ("=", "+", "-", "@", "\t", "\r"):
        assert harmless(start + "1") == harmless_of_the_command_line(start + "1") == f"'{start}1"
    assert harmless("＝1") == "'＝1"
    assert harmless("\0=1").startswith("'")
    assert harmless("A-1") == "A-1"


def test_the_file_holds_what_the_filter_finds() -> None:
    batch = BatchFactory()
    inside = InspectionFactory.create_batch(3, batch=batch, score=2.0)
    InspectionFactory(batch=batch, score=0.5)
    InspectionFactory(score=3.0)  # of another product
    client = AsyncClient()
    client.force_login(MembershipFactory(product=batch.viewpoint.product).user)

    async def download() -> Any:
        answer = await client.get(reverse("defects_csv"), {"score_min": "1"})
        assert answer.status_code == 200
        assert answer.streaming
        assert answer["Content-Type"].startswith("text/csv")
        assert 'attachment; filename="inspections-' in answer["Content-Disposition"]
        return [piece.decode() async for piece in answer]

    text = "".join(run(download()))
    rows = list(csv.DictReader(io.StringIO(text[1:])))
    assert [row["inspection"] for row in rows] == [str(one.pk) for one in reversed(inside)]


def test_a_filter_that_means_nothing_gives_no_file() -> None:
    client = Client()
    client.force_login(UserFactory(role="viewer"))
    answer = client.get(reverse("defects_csv"), {"cell": "x"})
    assert answer.status_code == 400
    assert "whole number" in answer.content.decode()


def test_rows_leave_chunk_by_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspections_csv, "CHUNK", 10)
    InspectionFactory.create_batch(25, batch=BatchFactory())

    async def sizes() -> list[int]:
        found = wanted_inspections(Wanted())
        return [piece.count("\r\n") async for piece in inspections_csv.csv_of(found)]

    assert run(sizes()) == [1, 10, 10, 5]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What is pushed to the pages of whoever loads the file."""
    said: list[dict[str, Any]] = []
    monkeypatch.setattr(
        exports, "push_to", lambda user, type, **rest: said.append({"user": user, **rest})
    )
    monkeypatch.setattr(exports, "EVERY_S", 0)
    monkeypatch.setattr(inspections_csv, "CHUNK", 10)
    return said


def test_its_reader_is_told_how_far_it_is(told: list[dict[str, Any]]) -> None:
    batch = BatchFactory()
    InspectionFactory.create_batch(25, batch=batch)
    InspectionFactory()  # of another product
    user = MembershipFactory(product=batch.viewpoint.product).user
    client = AsyncClient()
    client.force_login(user)

    async def download() -> None:
        answer = await client.get(reverse("defects_csv"), {"verdict": "fail", "x": "1"})
        assert [piece async for piece in answer]

    Inspection.objects.update(verdict="Failed")
    run(download())
    assert [(one["state"], one["rows"]) for one in told] == [
        ("running", 10),
        ("running", 20),
        ("done", 25),
    ]
    assert {(one["user"], one["total"], one["url"]) for one in told} == {
        (user.pk, 25, "/defects/?verdict=fail")
    }
    assert [one["fraction"] for one in told] == [0.4, 0.8, 1.0]
    assert len({one["id"] for one in told}) == 1


def test_a_reader_who_goes_away_is_told_so(told: list[dict[str, Any]]) -> None:
    InspectionFactory.create_batch(25, batch=BatchFactory())
    user = UserFactory()

    async def leave() -> None:
        export = exports.Export(user.pk, 25, "/defects/")
        pieces = inspections_csv.csv_of(wanted_inspections(Wanted()), export)
        await anext(pieces)
        await anext(pieces)
        await pieces.aclose()

    run(leave())
    assert [(one["state"], one["rows"]) for one in told] == [("running", 10), ("stopped", 10)]


def test_a_redis_that_hangs_holds_the_file_back_once(
    told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "SLOW_S", -1.0)
    export = exports.Export(UserFactory().pk, 100, "/defects/")
    for rows in (10, 20, 30):
        export.wrote(rows)
    export.end(whole=True)
    assert [(one["state"], one["rows"]) for one in told] == [("running", 10), ("done", 30)]


class Endless:
    """As a query set of very many rows, none of which exists before it is asked for."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def values_list(self, *fields: str) -> "Endless":
        return self

    def iterator(self, chunk_size: int) -> Iterator[tuple[Any, ...]]:
        for number in range(self.rows):
            yield (f"{number:036}", *("x" * 12 for _ in inspections_csv.FIELDS[1:-9]), *[None] * 9)


def test_memory_does_not_grow_with_the_rows() -> None:
    async def peak(rows: int) -> int:
        tracemalloc.start()
        async for _ in inspections_csv.csv_of(Endless(rows)):  # type: ignore[arg-type]
            pass
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    few, many = run(peak(2_000)), run(peak(16_000))
    assert many < few * 1.2 + 100_000
