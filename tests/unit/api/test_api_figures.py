"""The figures of Today for programs: the same sums as the page, by product, line, station, time."""

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from inspection.models import ReasonCode
from inspection.services import trend_facts
from tests.factories.api_key import Program, key_of
from tests.factories.membership import MembershipFactory
from tests.factories.model_version import ModelVersionFactory
from tests.factories.station import StationFactory
from tests.factories.tally import DefectTallyFactory, HourlyTallyFactory, this_hour
from tests.factories.user import UserFactory
from tests.unit.web.conftest import signed_in

pytestmark = pytest.mark.django_db
ADDRESSES = ("kpis", "kpis/trend", "kpis/reasons", "kpis/places", "kpis/drift")


@pytest.fixture
def program() -> Program:
    return Program(key_of(UserFactory(role="viewer"), ["inspections:read"]))


@pytest.fixture
def counted() -> Any:
    """1,000 units of this hour on SMT 1, as in docs/kpis.md, and 100 of yesterday on SMT 2."""
    model = ModelVersionFactory(training_run__viewpoint__product__opportunities_per_unit=4)
    one = StationFactory(code="AOI-1", line="SMT 1")
    other = StationFactory(code="AOI-2", line="SMT 2")
    numbers = {
        "inspected": 1000,
        "failed": 40,
        "review": 20,
        "confirmed": 16,
        "rejected": 35,
        "accepted": 2,
        "repaired": 4,
        "waiting": 4,
        "missed": 1,
    }
    HourlyTallyFactory(model_version=model, station=one, **numbers)
    HourlyTallyFactory(model_version=model, station=other, days_ago=1, failed=10)
    return model


def asked(program: Program, path: str, **query: Any) -> Any:
    now = timezone.now()
    span = {"since": now - timedelta(days=3), "until": now + timedelta(hours=1)}
    said = {**span, **query}
    texts = {n: v.isoformat() if isinstance(v, datetime) else v for n, v in said.items()}
    return program.json("GET", f"{path}?{urlencode(texts)}")


def test_each_figure_has_its_numerator_and_denominator(program: Program, counted: Any) -> None:
    told = asked(program, "kpis", line="SMT 1").json()
    figures = told["figures"]
    assert told["sums"]["inspected"] == 1000
    for name, numerator, denominator, value in (
        ("fpy_raw", 940, 1000, 0.94),
        ("fpy_verified", 976, 1000, 0.976),
        ("false_call_ppm", 35, 4000, 8750),
        ("dpmo", 22, 4000, 5500),
    ):
        found = figures[name]
        assert (found["numerator"], found["denominator"]) == (numerator, denominator), name
        assert found["value"] == pytest.approx(value), name
    assert figures["escape_rate"]["value"] is None
    assert figures["escape_rate"]["why"] == "unknown"


def test_lines_stations_products_and_times_are_counted_apart(
    program: Program, counted: Any
) -> None:
    product = counted.viewpoint.product
    HourlyTallyFactory(inspected=7)
    for query, inspected in (
        ({}, 1107),
        ({"product": product.code}, 1100),
        ({"product": str(product.pk), "line": "SMT 1"}, 1000),
        ({"line": "SMT 2"}, 100),
        ({"station": "aoi-2"}, 100),
        ({"since": this_hour(), "product": product.code}, 1000),
        ({"until": this_hour(), "product": product.code}, 100),
    ):
        assert asked(program, "kpis", **query).json()["sums"]["inspected"] == inspected, query
        points = asked(program, "kpis/trend", **query).json()["points"]
        assert sum(point["inspected"] for point in points) == inspected, query
    refused = asked(program, "kpis", station="AOI-2", line="SMT 1")
    assert refused.json()["errors"][0]["pointer"] == "/station"


def test_the_trend_is_that_of_the_page(program: Program, counted: Any) -> None:
    page = signed_in(UserFactory(role="viewer")).get(reverse("home"), {"period": "7d"})
    rows = page.context["trend"]["rows"]
    first = rows[0]["at"]
    told = asked(program, "kpis/trend", since=first).json()
    assert told["centre"] == page.context["trend"]["centre"]
    assert len(told["points"]) == len(rows) == 7
    for point, row in zip(told["points"], rows, strict=True):
        limits = row["limits"]
        assert datetime.fromisoformat(point["at"]) == row["at"]
        assert (point["inspected"], point["called"]) == (limits.n, limits.hits)
        assert (point["share"], point["low"], point["high"]) == (
            limits.share,
            limits.low,
            limits.high,
        )
        assert point["outside"] == limits.outside
    assert told["points"][-1]["sums"]["opportunities"] == 4000


def test_hours_are_whole_and_end_now(program: Program, counted: Any) -> None:
    since = this_hour() - timedelta(hours=3, minutes=-20)
    until = timezone.now() + timedelta(days=5)
    points = asked(program, "kpis/trend", by="hour", since=since, until=until).json()["points"]
    begins = [datetime.fromisoformat(point["at"]) for point in points]
    assert begins == [this_hour() - timedelta(hours=n) for n in (3, 2, 1, 0)]
    assert [point["inspected"] for point in points] == [0, 0, 0, 1000]
    assert points[0]["share"] is None


def test_days_are_those_of_the_plants_clock(program: Program, settings: Any) -> None:
    settings.TIME_ZONE = "Asia/Taipei"
    zone = ZoneInfo("Asia/Taipei")
    late = datetime(2026, 3, 4, 17, tzinfo=ZoneInfo("UTC"))  # the 5th there
    HourlyTallyFactory(hour=late)
    told = asked(program, "kpis/trend", since="2026-03-04T00:00:00Z", until="2026-03-06T00:00:00Z")
    counts = {
        datetime.fromisoformat(point["at"]).astimezone(zone).day: point["inspected"]
        for point in told.json()["points"]
    }
    assert counts == {4: 0, 5: 100, 6: 0}


def test_reasons_and_places_are_those_of_the_page(
    program: Program, counted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewpoint = counted.viewpoint
    bridge = ReasonCode.objects.create(product=viewpoint.product, code="BRIDGE", text="Bridge")
    DefectTallyFactory(viewpoint=viewpoint, reason_code=bridge, confirmed=18, calls=20, cell=3)
    DefectTallyFactory(viewpoint=viewpoint, confirmed=4, calls=9, cell=27)
    other = ModelVersionFactory().viewpoint
    DefectTallyFactory(viewpoint=other, confirmed=1, calls=2, cell=0)
    reasons = asked(program, "kpis/reasons").json()
    assert reasons == {
        "total": 23,
        "reasons": [
            {"code": "BRIDGE", "text": "Bridge", "confirmed": 18},
            {"code": None, "text": "", "confirmed": 5},
        ],
    }
    page = signed_in(UserFactory(role="viewer")).get(reverse("home")).context
    assert [bar.n for bar in page["reasons"]] == [18, 5]
    places = asked(program, "kpis/places").json()["viewpoints"]
    assert [one["viewpoint"] for one in places] == [str(viewpoint.pk), str(other.pk)]
    assert places[0]["cells"] == [
        {"cell": 3, "calls": 20, "confirmed": 18},
        {"cell": 27, "calls": 9, "confirmed": 4},
    ]
    assert {(c.number, c.calls, c.confirmed) for c in page["places"]} == {
        (3, 20, 18),
        (27, 9, 4),
    }
    monkeypatch.setattr(trend_facts, "MOST_SIDES", 1)
    assert len(asked(program, "kpis/places").json()["viewpoints"]) == 1


@pytest.mark.parametrize("path", ADDRESSES)
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
    program: Program, path: str, query: dict[str, str], pointer: str
) -> None:
    answer = asked(program, path, **query)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer


def test_a_trend_is_bounded(program: Program) -> None:
    month = timezone.now() - timedelta(days=30)
    assert asked(program, "kpis/trend", since=month, by="day").status_code == 200
    refused = asked(program, "kpis/trend", since=month, by="hour")
    assert refused.json()["code"] == "too_many_points"
    assert refused.json()["errors"][0]["pointer"] == "/until"
    ages = asked(program, "kpis/trend", since="1970-01-01T00:00:00Z", until="2999-01-01T00:00:00Z")
    assert ages.status_code == 422
    ahead = asked(program, "kpis/trend", since="2998-01-01T00:00:00Z", until="2998-01-09T00:00:00Z")
    assert ahead.json()["points"] == []
    far = asked(program, "kpis/trend", since=month, until="2126-01-01T00:00:00Z", by="day")
    assert len(far.json()["points"]) == 31, "points end now"
    assert "by day" not in ages.content.decode()
    assert asked(program, "kpis/trend", by="week").json()["errors"][0]["pointer"] == "/by"


@pytest.mark.parametrize("path", ADDRESSES)
def test_what_one_may_not_see_is_not_counted(path: str, counted: Any) -> None:
    DefectTallyFactory(viewpoint=counted.viewpoint, confirmed=4, calls=9, cell=27)
    stranger = MembershipFactory(
        product=ModelVersionFactory().viewpoint.product, role="administrator"
    ).user
    theirs = Program(key_of(stranger))
    told = str(asked(theirs, path).json())
    assert "1000" not in told
    assert "'calls': 9" not in told
    assert "'confirmed': 4" not in told
    assert asked(theirs, path, product=counted.viewpoint.product.code).status_code == 422
    other = Program(key_of(UserFactory(role="viewer"), ["reviews:read"]))
    assert asked(other, path).status_code == 403


@pytest.mark.parametrize("path", ADDRESSES)
def test_more_rows_are_not_more_questions(program: Program, counted: Any, path: str) -> None:
    asked(program, path)
    with CaptureQueriesContext(connection) as few:
        asked(program, path)
    for _ in range(4):
        tally = HourlyTallyFactory(station=StationFactory())
        DefectTallyFactory(viewpoint=tally.viewpoint)
    with CaptureQueriesContext(connection) as many:
        asked(program, path)
    assert len(many) == len(few) <= 8
