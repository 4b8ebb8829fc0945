"""What programs say of many parts at once: the same as the page Defects, each told."""

from typing import Any

import pytest

from inspection.models import Inspection, Product, Review, ReviewState
from inspection.services import bulk_reviews
from tests.factories.api_key import Program, key_of
from tests.factories.batch import BatchFactory
from tests.factories.inspection import InspectionFactory
from tests.factories.membership import MembershipFactory
from tests.factories.review import ReasonCodeFactory
from tests.factories.user import UserFactory

pytestmark = pytest.mark.django_db
NOBODY = "0199f0a2-7c1e-7b60-9d0a-3f6a1c2b4d5e"


@pytest.fixture
def batch() -> Any:
    return BatchFactory()


@pytest.fixture
def inspector() -> Program:
    return Program(key_of(UserFactory(username="ines", role="inspector"), ["reviews:write"]))


def bulk(program: Program, parts: list[Any], **said: Any) -> Any:
    keys = [str(getattr(part, "pk", part)) for part in parts]
    body = {"inspections": keys, "state": "DefectRejected", **said}
    return program.json("POST", "reviews/bulk", body)


def states(*parts: Inspection) -> list[str]:
    return [Inspection.objects.get(pk=part.pk).review_state for part in parts]


def test_each_is_written_or_refused_on_its_own(inspector: Program, batch: Any) -> None:
    first, second, judged = InspectionFactory.create_batch(3, batch=batch)
    unscored = InspectionFactory(batch=batch, verdict="", completed_at=None)
    Inspection.objects.filter(pk=judged.pk).update(review_state=ReviewState.CONFIRMED)
    answer = bulk(
        inspector, [second, judged, unscored, first], seen="NotVerifiedYet", comment="dust"
    )
    assert answer.status_code == 201, answer.content
    told = answer.json()
    assert [one["inspection"] for one in told["reviews"]] == [str(second.pk), str(first.pk)]
    assert {(one["state"], one["author"], one["comment"]) for one in told["reviews"]} == {
        ("DefectRejected", "ines", "dust")
    }
    refused = [(one["inspection"], one["code"]) for one in told["refused"]]
    assert refused == [(str(judged.pk), "changed_meanwhile"), (str(unscored.pk), "no_verdict")]
    assert "Somebody judged this part" in told["refused"][0]["detail"]
    assert states(first, second, judged, unscored) == [
        "DefectRejected",
        "DefectRejected",
        "DefectConfirmed",
        "NotVerifiedYet",
    ]
    assert Review.objects.count() == 2


def test_asked_again_with_what_was_seen_nothing_is_written(inspector: Program, batch: Any) -> None:
    parts = InspectionFactory.create_batch(2, batch=batch)
    assert bulk(inspector, parts, seen="NotVerifiedYet").status_code == 201
    again = bulk(inspector, parts, seen="NotVerifiedYet")
    assert again.status_code == 200
    assert again.json()["reviews"] == []
    assert {one["code"] for one in again.json()["refused"]} == {"changed_meanwhile"}
    assert Review.objects.count() == 2


def test_a_reason_is_that_of_each_parts_product(inspector: Program, batch: Any) -> None:
    one, other = InspectionFactory(batch=batch), InspectionFactory()
    ReasonCodeFactory(product=one.viewpoint.product, code="BRIDGE")
    confirmed = {"state": "DefectConfirmed", "reason_code": "bridge"}
    refused = bulk(inspector, [one, other], **confirmed)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "/reason_code"
    assert Review.objects.count() == 0
    ReasonCodeFactory(product=other.viewpoint.product, code="BRIDGE")
    told = bulk(inspector, [one, other], **confirmed).json()["reviews"]
    assert [review["reason_code"] for review in told] == ["BRIDGE", "BRIDGE"]
    products = {review.reason_code.product_id for review in Review.objects.all()}
    assert products == {one.viewpoint.product_id, other.viewpoint.product_id}


def test_the_same_part_twice_is_judged_once(inspector: Program, batch: Any) -> None:
    part = InspectionFactory(batch=batch)
    assert len(bulk(inspector, [part, part]).json()["reviews"]) == 1
    assert Review.objects.count() == 1


def test_what_one_may_not_judge_refuses_all(batch: Any) -> None:
    mine, hidden = InspectionFactory(batch=batch), InspectionFactory()
    member = MembershipFactory(product=mine.viewpoint.product, role="inspector").user
    program = Program(key_of(member, ["reviews:write"]))
    for part in (hidden, NOBODY):
        refused = bulk(program, [mine, part])
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["pointer"] == "/inspections"
    MembershipFactory(user=member, product=hidden.viewpoint.product, role="viewer")
    assert bulk(program, [mine, hidden]).status_code == 403
    assert Review.objects.count() == 0
    assert bulk(program, [mine]).status_code == 201


def test_archived_products_are_judged_as_on_the_page(inspector: Program, batch: Any) -> None:
    part = InspectionFactory(batch=batch)
    Product.objects.update(archived_at=part.created_at)
    assert bulk(inspector, [part]).status_code == 201


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"inspections": []}, "/inspections"),
        ({"inspections": [NOBODY] * (bulk_reviews.MOST_AT_ONCE + 1)}, "/inspections"),
        ({"inspections": ["x"]}, "/inspections/0"),
        ({"state": "NotVerifiedYet"}, "/state"),
        ({"seen": "Somehow"}, "/seen"),
        ({"look": "second"}, "/look"),
        ({"comment": "x" * 2001}, "/comment"),
    ],
)
def test_what_means_nothing_names_its_field(
    inspector: Program, batch: Any, body: dict[str, Any], pointer: str
) -> None:
    part = InspectionFactory(batch=batch)
    answer = bulk(inspector, [part], **body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert Review.objects.count() == 0
