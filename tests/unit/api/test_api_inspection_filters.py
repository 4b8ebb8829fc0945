"""A program's list and the page Defects: the same filters, the same meaning, the same code."""

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from inspection.models import Inspection, Purpose, ReasonCode, ReviewState, Verdict
from inspection.querysets import BY_TEXT, REVIEWS, VERDICTS_AND_CALLS
from inspection.services.inspection_search import search
from tests.factories.api_key import Program, key_of
from tests.factories.batch import BatchFactory
from tests.factories.inspection import InspectionFactory
from tests.factories.membership import MembershipFactory
from tests.factories.unit import UnitFactory
from tests.factories.user import UserFactory
from tests.factories.viewpoint import ViewpointFactory
from tests.unit.web.conftest import signed_in
from tests.unit.web.test_defects import pairs

pytestmark = pytest.mark.django_db

CALLED = {"review": "verification", "record": "decision_of_record", "panel": "panel_id"}


@pytest.fixture
def batch() -> Any:
    return BatchFactory()


@pytest.fixture
def mes() -> Program:
    return Program(key_of(UserFactory(role="inspector")))


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [row["id"] for row in answer.json()["results"]]


def test_each_filter_of_the_page_means_the_same_to_a_program(mes: Program, batch: Any) -> None:
    page, asked_of_both = signed_in(UserFactory(role="viewer")), 0
    for name, (asked, fits, fits_not) in pairs(batch).items():
        if asked.keys() & {"period", "since", "until"}:
            continue  # programs say the moment itself
        seen = page.get(reverse("defects"), asked).context["page"].rows
        query = {CALLED.get(key, key): value.replace(",", ".") for key, value in asked.items()}
        told = ids(mes.json("GET", f"inspections?{urlencode({**query, 'limit': 500})}"))
        assert told == [str(row.inspection.pk) for row in seen], name
        assert str(fits.pk) in told, name
        assert str(fits_not.pk) not in told, name
        asked_of_both += 1
    assert asked_of_both > 20


@pytest.mark.parametrize("word", VERDICTS_AND_CALLS)
def test_every_word_for_a_verdict_is_taken(mes: Program, word: str) -> None:
    assert ids(mes.json("GET", f"inspections?verdict={word}")) == []


@pytest.mark.parametrize("word", [*REVIEWS, *ReviewState.values])
def test_every_word_for_a_review_is_taken(mes: Program, word: str) -> None:
    assert ids(mes.json("GET", f"inspections?verification={word}")) == []


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ("verdict=Called", "/verdict"),
        ("verification=nobody", "/verification"),
        ("viewpoint=0199f0a2-7c1e-7b60-9d0a-3f6a1c2b4d5e", "/viewpoint"),
        ("viewpoint=nowhere", "/viewpoint"),
        ("model=7", "/model"),
        ("model=0199f0a2-7c1e-7b60-9d0a-3f6a1c2b4d5e", "/model"),
        ("reason=NO", "/reason"),
        ("station=NO", "/station"),
        ("line=NO", "/line"),
        ("cell=64", "/cell"),
        ("cell=-1", "/cell"),
        ("position=x", "/position"),
        ("score_min=nan", "/score_min"),
        ("score_max=2,5", "/score_max"),
        ("period=7d", "/period"),
    ],
)
def test_what_means_nothing_names_its_field(mes: Program, asked: str, pointer: str) -> None:
    answer = mes.json("GET", f"inspections?{asked}")
    assert answer.status_code == 422, answer.content
    assert answer.json()["errors"][0]["pointer"] == pointer


def test_keys_are_read_however_they_are_written(mes: Program, batch: Any) -> None:
    one = InspectionFactory(batch=batch)
    product = batch.viewpoint.product.pk
    for key in (str(product), str(product).upper(), product.hex):
        assert ids(mes.json("GET", f"inspections?product={key}")) == [str(one.pk)], key
    for key in (str(batch.viewpoint_id).upper(), batch.viewpoint_id.hex):
        assert ids(mes.json("GET", f"inspections?viewpoint={key}")) == [str(one.pk)], key


def test_the_size_of_the_plant_is_not_read_for_one_part(mes: Program, batch: Any) -> None:
    """An MES asks for a serial number with every part that comes by."""
    one = InspectionFactory(batch=batch, unit=UnitFactory(product=batch.viewpoint.product))
    asked = f"inspections?serial_number={one.unit.serial_number}"
    path = f"{asked}&product={batch.viewpoint.product.code}"
    for query in (asked, path):
        mes.json("GET", query)
        with CaptureQueriesContext(connection) as before:
            assert ids(mes.json("GET", query)) == [str(one.pk)]
        products = [ViewpointFactory().product for _ in range(5)]
        with CaptureQueriesContext(connection) as after:
            assert ids(mes.json("GET", query)) == [str(one.pk)]
        said = " ".join(q["sql"] for q in after.captured_queries)
        assert len(after) == len(before)
        assert not any(p.pk.hex in said or str(p.pk) in said for p in products)


def test_what_one_may_not_see_is_not_there(batch: Any) -> None:
    ReasonCode.objects.create(product=batch.viewpoint.product, code="SECRET", text="Secret")
    InspectionFactory(batch=batch)
    stranger = UserFactory()
    MembershipFactory(user=stranger, product=BatchFactory().viewpoint.product)
    theirs = Program(key_of(stranger))
    for asked in (
        "reason=SECRET",
        f"model={batch.model_version_id}",
        f"viewpoint={batch.viewpoint_id}",
        f"product={batch.viewpoint.product.code}",
    ):
        assert theirs.json("GET", f"inspections?{asked}").status_code == 422, asked
    assert ids(theirs.json("GET", "inspections?verdict=called")) == []


def test_any_purpose_of_a_panel_is_told_where_it_is_asked(mes: Program, batch: Any) -> None:
    unit = UnitFactory(product=batch.viewpoint.product, panel_id="P-1")
    made = InspectionFactory(batch=batch, unit=unit)
    tried = InspectionFactory(batch=batch, unit=unit, purpose=Purpose.TRIAL)
    assert ids(mes.json("GET", "inspections?panel_id=P-1")) == [str(made.pk)]
    both = ids(mes.json("GET", "inspections?panel_id=P-1&purpose=any"))
    assert both == [str(tried.pk), str(made.pk)]


def test_the_queue_is_without_archived_products(mes: Program, batch: Any) -> None:
    waits = InspectionFactory(batch=batch)
    shelved = InspectionFactory()
    shelved.viewpoint.product.archived_at = timezone.now()
    shelved.viewpoint.product.save()
    assert ids(mes.json("GET", "inspections?verification=queue")) == [str(waits.pk)]
    assert len(ids(mes.json("GET", "inspections?verification=waiting"))) == 2


def test_pages_keep_the_order_that_an_index_gives_and_lead_both_ways(
    mes: Program, batch: Any
) -> None:
    """What waits is sorted by text on purpose: walking down the keys would read everything."""
    parts = [str(InspectionFactory(batch=batch).pk) for _ in range(5)][::-1]
    asked = {"verification": "queue"}
    assert search(UserFactory(role="viewer"), asked).query.order_by == (BY_TEXT,)
    first = mes.json("GET", "inspections?verification=queue&limit=2")
    assert ids(first) == parts[:2]
    assert first.json()["previous"] is None

    def to(address: str) -> Any:
        with CaptureQueriesContext(connection) as asked_for:
            answer = mes.json("GET", address.partition("/api/v1/")[2])
        (keys,) = [q["sql"] for q in asked_for if "LIMIT 3" in q["sql"]]
        order = keys.partition("ORDER BY")[2]
        assert "CAST" in order or "::varchar" in order or order.strip().startswith("1"), keys
        return answer

    second = to(first.json()["next"])
    assert ids(second) == parts[2:4]
    last = to(second.json()["next"])
    assert ids(last) == parts[4:]
    assert last.json()["next"] is None
    back = to(last.json()["previous"])
    assert ids(back) == parts[2:4]
    assert ids(to(back.json()["previous"])) == parts[:2]
    assert to(back.json()["previous"]).json()["previous"] is None
    assert ids(to(back.json()["next"])) == parts[4:]


def test_rare_serial_numbers_are_probed_from_where_one_reads_on(mes: Program, batch: Any) -> None:
    """Read on, the newest units are those below the last key that was told."""
    product = batch.viewpoint.product
    units = [UnitFactory(product=product, serial_number=f"SN{n}") for n in range(3)]
    parts = [InspectionFactory(batch=batch, unit=unit) for unit in units]
    page = mes.json("GET", "inspections?serial=SN&limit=2").json()
    with CaptureQueriesContext(connection) as asked:
        rest = mes.json("GET", page["next"].partition("/api/v1/")[2])
    assert ids(rest) == [str(parts[0].pk)]
    probe = next(q["sql"] for q in asked if "CASE WHEN" in q["sql"] and "LIMIT 500" in q["sql"])
    assert '"inspection_unit"."id" <' in probe


def test_several_filters_hold_together(mes: Program, batch: Any) -> None:
    fits = InspectionFactory(batch=batch, score=2.0, cell=9)
    InspectionFactory(batch=batch, score=2.0, cell=9, verdict=Verdict.PASSED)
    InspectionFactory(batch=batch, score=4.0, cell=9)
    old = InspectionFactory(batch=batch, score=2.0, cell=9)
    Inspection.objects.filter(pk=old.pk).update(completed_at=timezone.now() - timedelta(days=3))
    since = urlencode({"since": (timezone.now() - timedelta(days=1)).isoformat()})
    asked = f"inspections?verdict=called&score_min=1.5&score_max=3&cell=9&{since}"
    assert ids(mes.json("GET", asked)) == [str(fits.pk)]
