"""The drift of Today for programs: the same streams, chart and alerts as the page."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from inspection.models import DriftAlert
from inspection.services import drift_streams
from tests.factories.api_key import Program, key_of
from tests.factories.membership import MembershipFactory
from tests.factories.model_version import ModelVersionFactory
from tests.factories.station import StationFactory
from tests.factories.tally import HourlyTallyFactory, this_hour
from tests.factories.user import UserFactory
from tests.unit.api.test_api_figures import asked
from tests.unit.web.conftest import signed_in

pytestmark = pytest.mark.django_db
PATH = "kpis/drift"


@pytest.fixture
def program() -> Program:
    return Program(key_of(UserFactory(role="viewer")))


@pytest.fixture
def drifts() -> Any:
    """A stream whose last two of thirty days are far outside; `alert` is open for it."""
    model = ModelVersionFactory()
    model.station = StationFactory(code="AOI-1", line="SMT 1")
    for ago in range(30):
        mean = 0.9 if ago < 2 else 0.3 + 0.01 * (ago % 2)
        HourlyTallyFactory(model_version=model, station=model.station, days_ago=ago, mean=mean)
    model.alert = alert(model, model.station)
    return model


@pytest.fixture
def busier() -> Any:
    """A stream of another product, from no station, with more parts."""
    model = ModelVersionFactory()
    for ago in range(3):
        HourlyTallyFactory(model_version=model, inspected=5000, days_ago=ago)
    return model


def alert(model: Any, station: Any, **options: Any) -> DriftAlert:
    numbers = {"began_at": this_hour(), "value": 0.4, "low": 0.28, "high": 0.32}
    return DriftAlert.objects.create(
        viewpoint=model.viewpoint,
        station=station,
        model_version=model,
        stream=str(DriftAlert.objects.count()),
        **numbers,
        **options,
    )


def test_the_chart_is_that_of_the_page(program: Program, drifts: Any, busier: Any) -> None:
    page = signed_in(UserFactory(role="viewer")).get("/").context
    chart = page["drift"]["chart"]
    told = asked(program, PATH).json()
    assert told["stream"] == {
        "viewpoint": str(drifts.viewpoint_id),
        "recipe": drifts.viewpoint.recipe_name,
        "station": "AOI-1",
        "model": str(drifts.pk),
        "model_revision": drifts.revision,
        "parts": told["stream"]["parts"],
        "alert": str(drifts.alert.pk),
    }
    assert told["centre"] == chart.centre
    assert told["outside_since"] == str(chart.since_outside) != "None"
    assert len(told["points"]) == len(chart.points) == 30
    for point, one in zip(told["points"], chart.points, strict=True):
        assert point == {
            "day": str(one.day),
            "parts": one.n,
            "mean": one.mean,
            "ewma": one.ewma,
            "low": one.low,
            "high": one.high,
            "usual": one.usual,
            "outside": one.outside,
        }
    streams = [(one["model"], one["station"], one["alert"]) for one in told["streams"]]
    assert streams == [
        (str(busier.pk), None, None),
        (str(drifts.pk), "AOI-1", str(drifts.alert.pk)),
    ]


def test_one_stream_is_asked_for_by_name(program: Program, drifts: Any, busier: Any) -> None:
    for query, model in (
        ({"model": str(busier.pk)}, busier),
        ({"viewpoint": str(busier.viewpoint_id)}, busier),
        ({"station": "none"}, busier),
        ({"product": busier.viewpoint.product.code}, busier),
        ({"line": "SMT 1"}, drifts),
        ({"station": "aoi-1", "model": str(drifts.pk)}, drifts),
    ):
        told = asked(program, PATH, **query).json()
        assert told["stream"]["model"] == str(model.pk), query
        assert len(told["streams"]) == 1, query
    none = asked(program, PATH, station="AOI-1", model=str(busier.pk)).json()
    nothing = {"stream": None, "centre": None, "outside_since": None, "points": [], "streams": []}
    assert none == nothing


def test_without_days_enough_there_are_no_limits(program: Program, busier: Any) -> None:
    points = asked(program, PATH).json()["points"]
    assert [(point["low"], point["high"]) for point in points] == [(None, None)] * 3


def test_the_chart_ends_with_the_time(program: Program, drifts: Any) -> None:
    until = timezone.now() - timedelta(days=5)
    told = asked(program, PATH, since=until - timedelta(days=1), until=until).json()
    assert len(told["points"]) in (25, 26)
    assert told["outside_since"] is None


def test_streams_are_told_up_to_a_number(
    program: Program, drifts: Any, busier: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drift_streams, "MOST_STREAMS", 1)
    told = asked(program, PATH).json()
    assert [one["model"] for one in told["streams"]] == [str(busier.pk)]
    assert told["stream"]["model"] == str(drifts.pk), "what drifts is shown, wherever it stands"


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"viewpoint": "0199f0a2-7c1e-7b60-9d0a-3f6a1c2b4d5e"}, "/viewpoint"),
        ({"model": "0199f0a2-7c1e-7b60-9d0a-3f6a1c2b4d5e"}, "/model"),
        ({"model": "model-1"}, "/model"),
        ({"station": "none", "line": "SMT 1"}, "/station"),
        ({"stream": "x"}, "/stream"),
    ],
)
def test_what_there_is_none_of_names_its_field(
    program: Program, drifts: Any, query: dict[str, str], pointer: str
) -> None:
    answer = asked(program, PATH, **query)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer


def test_what_one_may_not_see_drifts_for_others(drifts: Any, busier: Any) -> None:
    member = MembershipFactory(product=busier.viewpoint.product).user
    theirs = Program(key_of(member))
    told = asked(theirs, PATH).json()
    assert [one["model"] for one in told["streams"]] == [str(busier.pk)]
    assert asked(theirs, PATH, model=str(drifts.pk)).status_code == 422
    assert asked(theirs, PATH, viewpoint=str(drifts.viewpoint_id)).status_code == 422


def test_alerts_are_narrowed_as_on_the_page(program: Program, drifts: Any, busier: Any) -> None:
    other = alert(busier, None)
    ended = alert(drifts, drifts.station, ended_at=timezone.now())

    def told(query: str) -> set[str]:
        answer = program.json("GET", f"drift_alerts?{query}")
        assert answer.status_code == 200, answer.content
        return {one["id"] for one in answer.json()["results"]}

    assert told("open=true") == {str(drifts.alert.pk), str(other.pk)}
    assert told("line=SMT%201") == {str(drifts.alert.pk), str(ended.pk)}
    assert told("station=aoi-1&open=true") == {str(drifts.alert.pk)}
    assert program.json("GET", "drift_alerts?station=NO").status_code == 422
