"""Attribute agreement as programs read it: what the page shows, from the same sums."""

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from inspection.models import Disposition, Inspection, Look, Review, ReviewState, Verdict
from tests.factories.api_key import Program, key_of
from tests.factories.batch import BatchFactory
from tests.factories.inspection import InspectionFactory
from tests.factories.membership import MembershipFactory
from tests.factories.station import StationFactory
from tests.factories.user import UserFactory
from tests.unit.web.conftest import signed_in

pytestmark = pytest.mark.django_db
BAD, GOOD = ReviewState.CONFIRMED, ReviewState.REJECTED


@pytest.fixture
def batch() -> Any:
    return BatchFactory()


@pytest.fixture
def judged(batch: Any) -> list[Inspection]:
    """40 called and bad, 5 called and good, 10 passed and bad, 45 passed and good, all audited."""
    inspector = UserFactory(first_name="Ida", last_name="Inspector")
    station = StationFactory(code="AOI-3", line="SMT 3")
    counts = {(True, BAD): 40, (True, GOOD): 5, (False, BAD): 10, (False, GOOD): 45}
    return [
        InspectionFactory(
            batch=batch,
            is_record=True,
            station=station,
            verdict=Verdict.FAILED if called else Verdict.PASSED,
            disposition=Disposition.AUTO,
            audit_rate=None if called else 1.0,
            review_state=state,
            reviewed_by=inspector,
        )
        for (called, state), count in counts.items()
        for _ in range(count)
    ]


@pytest.fixture
def program() -> Program:
    return Program(key_of(UserFactory(role="viewer"), ["reviews:read"]))


def asked(program: Program, **query: Any) -> Any:
    now = timezone.now()
    span = {"since": now - timedelta(days=1), "until": now + timedelta(days=1)}
    said = {name: value.isoformat() for name, value in span.items()}
    return program.json("GET", f"agreement?{urlencode({**said, **query})}")


def values(told: dict[str, Any]) -> dict[str, float]:
    return {name: round(rate["value"], 6) for name, rate in told["figures"].items()}


def test_the_worked_example_is_told_with_its_table(program: Program, judged: Any) -> None:
    """Po = 85/100; Pe = (45·50 + 55·50)/100² = 0.5; κ = 0.35/0.5 = 0.7."""
    told = asked(program).json()
    model = told["model"]
    assert values(model) == {
        "kappa": 0.7,
        "effectiveness": 0.85,
        "miss_rate": 0.2,
        "false_alarm_rate": 0.1,
    }
    assert [model["figures"][name]["of"] for name in ("kappa", "miss_rate")] == [100, 50]
    assert model["figures"]["miss_rate"]["band"] == "poor"
    assert model["audits"] == 55
    rows = [(row["said"], row["defect"], row["good"]) for row in model["table"]]
    assert rows == [("defect", 40, 5), ("good", 10, 45)]
    (one,) = told["inspectors"]
    assert one["inspector"] == "Ida Inspector"
    assert values(one) == values(model)
    assert told["second_looks"]["figures"]["kappa"]["why"] == "nothing"
    page = signed_in(UserFactory(role="viewer")).get(reverse("verify_agreement")).content.decode()
    assert "0.700" in page


def test_too_few_audits_give_no_figure(program: Program, judged: list[Inspection]) -> None:
    Inspection.objects.filter(pk__in=[one.pk for one in judged[50:]]).delete()
    figures = asked(program).json()["model"]["figures"]
    assert {rate["value"] for rate in figures.values()} == {None}
    assert {rate["why"] for rate in figures.values()} == {"few_audits"}


def test_two_looks_that_differ_are_told_with_who_looked(program: Program, judged: Any) -> None:
    first, second = UserFactory(username="one"), UserFactory(username="two")
    look = {"inspection": judged[0], "second_look_rate": 1.0, "author": first, "state": BAD}
    Review.objects.create(**look)
    again = Review.objects.create(inspection=judged[0], author=second, state=GOOD, look=Look.SECOND)
    told = asked(program).json()
    assert told["second_looks"]["parts"] == 1
    assert [(pair["first"], pair["second"]) for pair in told["pairs"]] == [("one", "two")]
    (differs,) = told["differing"]
    assert differs == {
        "inspection": str(judged[0].pk),
        "first": "one",
        "first_state": BAD,
        "second": "two",
        "second_state": GOOD,
        "at": differs["at"],
    }
    assert differs["at"] == again.created_at.isoformat()


def test_it_is_of_what_was_asked(program: Program, batch: Any, judged: Any) -> None:
    StationFactory(code="AOI-4", line="SMT 4")
    code = batch.viewpoint.product.code
    for query in ({"product": code}, {"line": "SMT 3"}, {"station": "aoi-3", "line": "SMT 3"}):
        assert asked(program, **query).json()["model"]["parts"] == 100, query
    assert asked(program, line="SMT 4").json()["model"]["parts"] == 0
    refused = asked(program, station="AOI-3", line="SMT 4").json()
    assert refused["errors"][0]["pointer"] == "/station"
    old = (timezone.now() - timedelta(hours=20)).isoformat()
    assert asked(program, until=old).json()["model"]["parts"] == 0


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"product": "NONE"}, "/product"),
        ({"line": "NONE"}, "/line"),
        ({"station": "NONE"}, "/station"),
        ({"until": "2020-01-01T00:00:00Z"}, "/until"),
        ({"since": "yesterday"}, "/since"),
        ({"period": "7d"}, "/period"),
    ],
)
def test_what_means_nothing_names_its_field(
    program: Program, query: dict[str, str], pointer: str
) -> None:
    answer = asked(program, **query)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer


def test_nobody_is_told_of_what_they_may_not_see(judged: Any, batch: Any) -> None:
    stranger = MembershipFactory(product=BatchFactory().viewpoint.product, role="engineer").user
    theirs = Program(key_of(stranger))
    told = asked(theirs).json()
    assert (told["model"]["parts"], told["inspectors"]) == (0, [])
    assert asked(theirs, product=batch.viewpoint.product.code).status_code == 422
    other = Program(key_of(UserFactory(role="engineer"), ["inspections:read"]))
    assert asked(other).status_code == 403


def test_more_parts_are_not_more_questions(program: Program, judged: Any) -> None:
    asked(program)
    with CaptureQueriesContext(connection) as few:
        asked(program)
    InspectionFactory.create_batch(5, is_record=True, review_state=BAD)
    with CaptureQueriesContext(connection) as many:
        asked(program)
    assert len(many) == len(few) <= 15
