"""Inspections as programs list and read them."""

from datetime import timedelta
from urllib.parse import quote

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from inspection.models import Disposition, Inspection, Purpose, ReviewState, Verdict
from inspection.services import reviews
from tests.factories.api_key import Program, key_of
from tests.factories.batch import BatchFactory
from tests.factories.inspection import ImageResultFactory, InspectionFactory
from tests.factories.membership import MembershipFactory
from tests.factories.station import StationFactory
from tests.factories.unit import LotFactory, UnitFactory
from tests.factories.user import UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def mes() -> Program:
    return Program(key_of(UserFactory(role="inspector")))


@pytest.fixture
def part():
    """A failed part with everything that a list is asked by."""
    part = InspectionFactory(is_record=True, work_order="WO-1", station=StationFactory(code="AOI"))
    product = part.viewpoint.product
    part.unit = UnitFactory(product=product, serial_number="SN1", panel_id="P9", position_number=2)
    part.lot = LotFactory(product=product, code="L-9")
    part.save()
    return part


def ids(answer) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [row["id"] for row in answer.json()["results"]]


def test_a_part_is_told_by_its_public_names(mes: Program, part) -> None:
    ImageResultFactory(picture__inspection=part)
    told = mes.json("GET", f"inspections/{part.pk}").json()
    assert (told["status"], told["result"], told["disposition"]) == ("completed", "Failed", "auto")
    assert (told["serial_number"], told["position_number"]) == ("SN1", 2)
    assert told["defects"][0]["peak"] == 1.3
    assert told["decision_of_record"] is True
    assert told["recipe"] == {
        "name": part.viewpoint.product.code,
        "revision": part.model_version.revision,
    }


def test_a_part_without_a_verdict_has_no_result(mes: Program) -> None:
    waiting = InspectionFactory(waiting=True)
    told = mes.json("GET", f"inspections/{waiting.pk}").json()
    assert (told["status"], told["result"], told["disposition"]) == ("queued", None, None)


@pytest.mark.parametrize(
    "asked",
    [
        "product={code}",
        "product={product}",
        "viewpoint={viewpoint}",
        "station=aoi",
        "lot=L-9",
        "work_order=WO-1",
        "serial_number=SN1",
        "panel_id=P9",
        "purpose=production&work_order=WO-1",
        "result=Failed",
        "verdict=fail",
        "disposition=auto",
        "verification=NotVerifiedYet",
        "verification=waiting",
        "decision_of_record=true",
        "since={before}",
        "until={after}&since={before}&lot=L-9&serial_number=SN1",
    ],
)
def test_each_filter_finds_the_part_and_leaves_out_another(mes: Program, part, asked: str) -> None:
    InspectionFactory(
        verdict=Verdict.PASSED,
        disposition=Disposition.NEEDS_REVIEW,
        review_state=ReviewState.CONFIRMED,
        completed_at=timezone.now() - timedelta(days=2),
    )
    query = asked.format(
        code=part.viewpoint.product.code.lower(),
        product=part.viewpoint.product_id,
        viewpoint=part.viewpoint_id,
        before=quote((timezone.now() - timedelta(hours=1)).isoformat()),
        after=quote((timezone.now() + timedelta(hours=1)).isoformat()),
    )
    assert ids(mes.json("GET", f"inspections?{query}")) == [str(part.pk)]


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ("colour=red", "/colour"),
        ("batch__name__startswith=B", "/batch__name__startswith"),
        ("result=Pass", "/result"),
        ("purpose=rehearsal", "/purpose"),
        ("since=yesterday", "/since"),
        ("since=0001-01-01T00:00:00%2B23:59", "/since"),
        ("until=9999-12-31T23:59:59Z", "/until"),
        ("viewpoint=1", "/viewpoint"),
        ("product=NONE", "/product"),
        ("station=NONE", "/station"),
        ("lot=a%00b", "/lot"),
        ("cursor=cD1hYmM%3D", "/cursor"),
        ("updated_since=2026-01-01T00:00:00Z&cursor=abc", "/cursor"),
        ("updated_since=2026-01-01T00:00:00Z&cursor=cD1hYmM%3D", "/cursor"),
    ],
)
def test_what_means_nothing_is_said_and_not_ignored(mes: Program, asked: str, pointer: str) -> None:
    answer = mes.json("GET", f"inspections?{asked}")
    assert answer.status_code == 422, answer.content
    assert answer.json()["errors"][0]["pointer"] == pointer


def test_what_was_lost_is_found_by_its_last_change(mes: Program) -> None:
    """A review of the oldest part comes after the verdicts of newer ones, and pages lose none."""
    parts = [InspectionFactory() for _ in range(5)]
    same = timezone.now() - timedelta(minutes=5)
    Inspection.objects.update(updated_at=same)  # many changes at one moment
    seen, begin = [], same - timedelta(seconds=5)
    reviews.record_review(
        UserFactory(role="inspector"),
        Inspection.objects.get(pk=parts[0].pk),
        state=ReviewState.CONFIRMED,
    )
    Inspection.objects.filter(pk=parts[0].pk).update(updated_at=timezone.now())
    address = f"inspections?updated_since={quote(begin.isoformat())}&limit=2"
    while address:
        page = mes.json("GET", address).json()
        seen += [row["id"] for row in page["results"]]
        address = (page["next"] or "").partition("/api/v1/")[2]
    assert seen == [str(part.pk) for part in [*parts[1:], parts[0]]]


@pytest.mark.parametrize(
    "asked", ["serial_number=SN1", "panel_id=P9", "updated_since=2020-01-01T00:00:00Z"]
)
def test_what_becomes_of_a_part_is_asked_of_production_alone(
    mes: Program, part: Inspection, asked: str
) -> None:
    """A trial, a golden set and a re-score by another model that passes are of the same unit."""
    other = {
        str(purpose): InspectionFactory(
            batch=BatchFactory(model_version=part.model_version, purpose=purpose),
            unit=part.unit,
            verdict=Verdict.PASSED,
        )
        for purpose in Purpose
        if purpose != Purpose.PRODUCTION
    }
    assert len(other) == 3
    assert ids(mes.json("GET", f"inspections?{asked}")) == [str(part.pk)]
    for purpose, row in other.items():
        assert ids(mes.json("GET", f"inspections?{asked}&purpose={purpose}")) == [str(row.pk)]
    assert len(ids(mes.json("GET", f"inspections?viewpoint={part.viewpoint_id}"))) == 4
    assert ids(mes.json("GET", "inspections?purpose=trial")) == [str(other["trial"].pk)]


def test_a_list_asks_a_fixed_number_of_questions(mes: Program) -> None:
    for _ in range(2):
        ImageResultFactory()
    mes.json("GET", "inspections")  # notes that the key is used, once a minute
    with CaptureQueriesContext(connection) as few:
        mes.json("GET", "inspections")
    for _ in range(6):
        ImageResultFactory()
    with CaptureQueriesContext(connection) as many:
        assert len(ids(mes.json("GET", "inspections"))) == 8
    assert len(many) == len(few)


def test_nobody_sees_parts_or_pictures_of_other_products(part) -> None:
    result = ImageResultFactory(picture__inspection=part)
    default_storage.save(result.view_key, ContentFile(b"a picture"))
    stranger = UserFactory()
    MembershipFactory(user=stranger, role="administrator")
    theirs = Program(key_of(stranger))
    at = f"inspections/{part.pk}"
    assert ids(theirs.json("GET", "inspections")) == []
    assert ids(theirs.json("GET", "inspections?serial_number=SN1")) == []
    assert ids(theirs.json("GET", "inspections?updated_since=2020-01-01T00:00:00Z")) == []
    asked = f"inspections?viewpoint={part.viewpoint_id}"
    assert theirs.json("GET", asked).json()["code"] == "no_such_viewpoint"
    for address in (at, f"{at}/pictures", f"{at}/pictures/0/view", f"{at}/pictures/0/content"):
        assert theirs.json("GET", address).status_code == 404, address


def test_the_pictures_of_a_part_are_listed_and_sent(mes: Program, part) -> None:
    result = ImageResultFactory(picture__inspection=part, heatmap_key="")
    default_storage.save(result.view_key, ContentFile(b"a picture"))
    at = f"inspections/{part.pk}/pictures"
    (told,) = mes.json("GET", at).json()
    assert told["result"]["id"] == str(result.pk)
    assert set(told["result"]["layers"]) == {"view", "restored"}
    sent = mes.get(told["result"]["layers"]["view"], headers={"Accept": "image/webp"})
    assert (sent.status_code, sent["Content-Type"]) == (200, "image/webp")
    assert sent["X-Content-Type-Options"] == "nosniff"
    for gone in (f"{at}/0/heatmap", f"{at}/7/view", f"{at}/0/map", f"{at}/{2**63}/view"):
        assert mes.json("GET", gone).status_code == 404, gone
