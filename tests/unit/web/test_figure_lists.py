"""Every figure of Today opens a list of as many parts as it counts: over real inspections of
every kind, whatever people said of them."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import unescape
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth import get_user
from django.http import QueryDict
from django.test import Client
from django.utils import timezone

from inspection.ids import first_id_of
from inspection.models import (
    Disposition,
    Escape,
    Inspection,
    ModelVersion,
    Product,
    ReasonCode,
    ReviewState,
    Role,
    Station,
    User,
    Verdict,
    Viewpoint,
)
from inspection.querysets import wanted_inspections
from inspection.services import tallies
from inspection.services.kpis import Sums
from inspection.web.filters import Choices, Filters
from tests.factories.batch import BatchFactory
from tests.factories.inspection import InspectionFactory
from tests.factories.membership import MembershipFactory
from tests.factories.model_version import ModelVersionFactory
from tests.factories.station import StationFactory
from tests.factories.unit import UnitFactory
from tests.factories.user import UserFactory
from tests.factories.viewpoint import ViewpointFactory
from tests.unit.web.conftest import signed_in

pytestmark = pytest.mark.django_db

AUTO, DOUBT = Disposition.AUTO, Disposition.NEEDS_REVIEW
NOT_YET, CONFIRMED, REJECTED = (
    ReviewState.NOT_VERIFIED,
    ReviewState.CONFIRMED,
    ReviewState.REJECTED,
)
# What the machine may say, and whether chance drew the part for an audit.
SAID: tuple[dict[str, Any], ...] = (
    {"verdict": Verdict.FAILED, "disposition": AUTO},
    {"verdict": Verdict.FAILED, "disposition": DOUBT},
    {"verdict": Verdict.PASSED, "disposition": DOUBT},
    {"verdict": Verdict.PASSED, "disposition": AUTO},
    {"verdict": Verdict.PASSED, "disposition": AUTO, "audit_rate": 0.5},
)
_numbers = count()


@dataclass
class Plant:
    """Two products, the first with two sides, at two lines and at no station."""

    products: list[Product]
    sides: list[Viewpoint]
    versions: list[ModelVersion]
    stations: list[Station]


def inspected(version: ModelVersion, at: datetime, **fields: Any) -> Inspection:
    """A decision of record of that moment, with a key as old as it is."""
    made = type(version.pk)(int=first_id_of(at - timedelta(seconds=3)).int + next(_numbers))
    unit = UnitFactory(product=version.viewpoint.product)
    given = {"is_record": True, "unit": unit, "completed_at": at, **fields}
    return InspectionFactory(id=made, batch=BatchFactory(model_version=version), **given)


@pytest.fixture
def plant(db: None) -> Plant:
    first, second = ViewpointFactory(), ViewpointFactory()
    back = ViewpointFactory(product=first.product, code="back", name="Back")
    sides = [first, back, second]
    versions = [
        ModelVersionFactory(training_run__viewpoint=side, training_run__number=number)
        for number, side in enumerate(sides, 1)
    ]
    stations = [StationFactory(line="SMT 1"), StationFactory(line="SMT 2")]
    now, where = timezone.now(), [*stations, None]
    for number, version in enumerate(versions):
        product = version.viewpoint.product
        reasons = [
            ReasonCode.objects.get_or_create(product=product, code=code, text=code.title())[0]
            for code in ("BRIDGE", "DUST", "none")
        ]
        turn = count(number)
        for said in SAID:
            for state in ReviewState:
                n = next(turn)
                if said["disposition"] == AUTO and "audit_rate" not in said:
                    state = (NOT_YET, NOT_YET, CONFIRMED)[n % 3]  # few are judged unasked
                shared: dict[str, Any] = {
                    **said,
                    "station": where[n % 3],
                    "cell": (None, 9, 10)[n // 2 % 3],
                    "score": 0.1 * n,
                }
                judged = state != NOT_YET
                reason = [*reasons, None][n % 4] if judged else None
                at = now - timedelta(days=n % 4, minutes=n)
                inspected(version, at, review_state=state, review_reason=reason, **shared)
                if n % 5 == 0:  # the same again: listed, never counted
                    inspected(version, at, review_state=state, is_record=False, **shared)
        inspected(version, now - timedelta(days=50), review_state=CONFIRMED)
        inspected(version, now, verdict=Verdict.ERROR, is_record=False)
    audited = {"verdict": Verdict.PASSED, "audit_rate": 0.5, "score": 0.2}
    for n in range(40):  # so that underkill is known
        state = REJECTED if n % 8 else CONFIRMED
        at = now - timedelta(days=n % 3)
        inspected(versions[0], at, review_state=state, station=stations[0], **audited)
    tallies.recount()
    return Plant([first.product, second.product], sides, versions, stations)


@pytest.fixture
def client() -> Client:
    return signed_in(UserFactory(role=Role.ENGINEER))


def scopes(plant: Plant) -> Iterator[str]:
    code = plant.products[0].code
    yield from ("", "period=today", "period=90d", f"product={code}", "line=SMT+2")
    yield f"product={code}&line=SMT+1&period=30d"
    yield f"station={plant.stations[0].code}"


def tiles(client: Client, query: str) -> dict[str, str]:
    page = client.get(f"/?{query}").content.decode()
    found = re.findall(r'<a class="kpi[^"]*" href="([^"]*)"[^>]*data-kpi="(\w+)"', page)
    return {key: unescape(url) for url, key in found}


def listed(client: Client, url: str) -> int:
    """How many parts the list of Defects there has in all; it must know every filter."""
    assert urlsplit(url).path == "/defects/", url
    filters = Filters.of(QueryDict(urlsplit(url).query), Choices(get_user(client)))
    assert not filters.problems, (url, filters.problems)
    assert len(filters.chips) == len(filters.values), "each can be taken away"
    return wanted_inspections(filters.wanted).count()


def test_each_tile_opens_as_many_parts_as_it_counts(client: Client, plant: Plant) -> None:
    for query in scopes(plant):
        sums: Sums = client.get(f"/?{query}").context["sums"]
        opened = tiles(client, query)
        expected = {
            "inspected": sums.inspected,
            "fpy_raw": sums.passed,
            "fpy_verified": sums.good_at_last,
            "false_calls": sums.rejected,
            "overkill": sums.rejected,
            "underkill": sums.audited_bad,
            "dpmo": sums.defects,
        }
        counted = {key: listed(client, opened[key]) for key in expected}
        assert counted == expected, query
    assert min(expected.values()) > 0, "of each there are some"


def test_each_bar_of_the_pareto_opens_as_many_parts(client: Client, plant: Plant) -> None:
    for query in scopes(plant):
        answer = client.get(f"/?{query}")
        links = re.findall(r'<li><a href="([^"]*)" data-step>', answer.content.decode())
        bars = answer.context["reasons"]
        assert [listed(client, unescape(link)) for link in links] == [bar.n for bar in bars]
        assert sum(bar.n for bar in bars) == answer.context["sums"].defects
        assert {bar.code for bar in client.get("/").context["reasons"]} >= {"", "none", "BRIDGE"}


def test_codes_that_differ_by_their_case_are_two_bars_and_two_lists(
    client: Client, plant: Plant
) -> None:
    other = ReasonCode.objects.create(product=plant.products[1], code="bridge", text="Bridge")
    inspected(plant.versions[2], timezone.now(), review_state=CONFIRMED, review_reason=other)
    tallies.recount()
    answer = client.get("/")
    bars = {bar.code: bar.n for bar in answer.context["reasons"]}
    assert bars["bridge"] == 1
    for code in ("bridge", "BRIDGE"):
        assert listed(client, f"{answer.context['reason_url']}&reason={code}") == bars[code]


def test_each_place_opens_the_calls_of_its_side(client: Client, plant: Plant) -> None:
    for query in scopes(plant):
        sides = client.get(f"/?{query}").context["sides"]
        for side, name, _chosen in sides:
            answer = client.get(f"/?{query}&side={side}")
            assert [key for key, _, chosen in answer.context["sides"] if chosen] == [side]
            for cell in answer.context["places"]:
                assert listed(client, cell.url) == cell.calls, (query, name, cell.number)
    assert any(cell.calls for cell in answer.context["places"])


def test_both_sides_of_a_product_can_be_chosen(client: Client, plant: Plant) -> None:
    code = plant.products[0].code
    page = client.get(f"/?product={code}&stream=x").content.decode()
    assert f"{code} / Back" in page
    assert '<input type="hidden" name="stream" value="x">' in page, "the other card stays"
    lone = client.get(f"/?product={plant.products[1].code}")
    assert 'name="side"' not in lone.content.decode(), "there is nothing to choose"


def points(client: Client, query: str, name: str) -> dict[str, list[Any]]:
    page = client.get(f"/?{query}").content.decode()
    found = re.search(rf'<script id="{name}" type="application/json">(.*?)</script>', page)
    assert found is not None
    return json.loads(found[1])


def opened_by(client: Client, data: dict[str, Any], i: int) -> int:
    """As today.js puts the address of a point together."""
    return listed(client, f"{data['url']}&since={data['since'][i]}&until={data['until'][i]}")


def test_each_point_of_the_trend_opens_its_called_parts(client: Client, plant: Plant) -> None:
    for query in scopes(plant):
        data = points(client, query, "trend-data")
        for i, hits in enumerate(data["hits"]):
            if data["n"][i]:
                assert opened_by(client, data, i) == hits, (query, data["since"][i])
        assert sum(data["hits"]) > 0


def test_each_point_of_the_drift_opens_the_parts_of_its_mean(client: Client, plant: Plant) -> None:
    version, at = plant.versions[0], timezone.now() - timedelta(days=1)
    again = ModelVersionFactory(
        training_run__viewpoint=version.viewpoint,
        training_run__snapshot__dataset=version.training_run.snapshot.dataset,
        training_run__number=9,
        state="retired",
    )
    passed = {"verdict": Verdict.PASSED, "score": 0.2}
    for n in range(25):
        for station in (plant.stations[0], None):
            disposition = AUTO if n % 9 else DOUBT
            inspected(version, at, station=station, disposition=disposition, **passed)
        inspected(again, at, station=plant.stations[0], **passed)
    tallies.recount()
    streams = client.get("/").context["drift"]["choices"]
    drawn = 0
    for key, _name, _chosen in streams:
        data = client.get(f"/?stream={key}").context["drift"]["data"]
        for i, n in enumerate(data["n"]):
            assert opened_by(client, data, i) == n
            drawn += 1
    assert drawn >= 3, "at a station, at none, and by another model"


# --- the queue ---------------------------------------------------------------------------


def member(product: Product, role: str) -> User:
    user: User = MembershipFactory(product=product, role=role).user
    return user


def waiting(client: Client, query: str) -> int:
    tile = next(one for one in client.get(f"/?{query}").context["main"] if one.key == "queue")
    return int(tile.value)


def test_the_queue_counts_what_its_page_hands_out(client: Client, plant: Plant) -> None:
    for query in scopes(plant):
        url = tiles(client, query)["queue"]
        assert urlsplit(url).path == "/verify/"
        assert waiting(client, query) == client.get(url).context["counts"]["left"], query
    retests = Inspection.objects.filter(is_record=False, review_state=NOT_YET)
    assert retests.filter(verdict=Verdict.FAILED).exists(), "they wait too"


def test_who_may_review_some_products_counts_those(plant: Plant) -> None:
    user = member(plant.products[0], Role.INSPECTOR)
    MembershipFactory(user=user, product=plant.products[1], role=Role.VIEWER)
    both = signed_in(user)
    url = tiles(both, "")["queue"]
    assert urlsplit(url).path == "/verify/"
    mine = waiting(both, f"product={plant.products[0].code}")
    assert waiting(both, "") == both.get(url).context["counts"]["left"] == mine
    other = f"product={plant.products[1].code}"
    assert waiting(both, other) == listed(both, tiles(both, other)["queue"]) > 0


def test_a_viewer_is_shown_the_list_and_no_closed_door(plant: Plant) -> None:
    viewer = signed_in(member(plant.products[0], Role.VIEWER))
    for query in ("", "line=SMT+1", "period=today"):
        url = tiles(viewer, query)["queue"]
        assert waiting(viewer, query) == listed(viewer, url) > 0


# --- escapes -----------------------------------------------------------------------------


def test_escapes_open_those_of_the_scope(client: Client, plant: Plant) -> None:
    now, reporter = timezone.now(), UserFactory()
    records = Inspection.objects.filter(is_record=True, station__isnull=False).order_by("id")
    for n, part in enumerate(records[:24]):
        Escape.objects.create(
            unit=part.unit,
            found_at=now - timedelta(days=n * 4),
            found_where="Final test",
            reported_by=reporter,
        )
    for query in (*scopes(plant), "period=12m"):
        answer = client.get(f"/?{query}")
        url = tiles(client, query)["escapes"]
        page = client.get(url)
        tile = next(one for one in answer.context["costs"] if one.key == "escapes")
        assert tile.below.startswith(f"{len(page.context['escapes'])} of "), (query, tile.below)
        for _label, text, without in page.context["narrowed"]:
            assert text in page.content.decode()
            wider = client.get(f"{urlsplit(url).path}?{without}")
            assert len(wider.context["narrowed"]) == len(page.context["narrowed"]) - 1
    assert len(client.get("/verify/escapes/").context["escapes"]) == 24, "without a scope, all"
    assert client.get("/verify/escapes/?product=none").context["escapes"] == []
