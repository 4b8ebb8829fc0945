"""The top bar's product, line and period as they stand in a URL."""

from datetime import timedelta

import pytest
from django.http import QueryDict
from django.utils import timezone
from pytest_django import Settings

from inspection.models import Role
from inspection.web.scope import Scope
from tests.factories.membership import MembershipFactory
from tests.factories.product import ProductFactory
from tests.factories.station import StationFactory
from tests.factories.user import UserFactory

pytestmark = pytest.mark.django_db


def read(query: str, user: object = None) -> Scope:
    return Scope.read(user or UserFactory(role="viewer"), QueryDict(query))


def test_without_a_query_it_is_a_week_of_everything() -> None:
    product = ProductFactory()
    scope = read("")
    assert scope.products == [product]
    assert scope.period == "7d"
    assert scope.until - scope.since == timedelta(days=7)
    assert scope.since <= timezone.now() < scope.until
    assert scope.chosen_stations is None


def test_a_product_by_its_number_or_key() -> None:
    one, _ = ProductFactory(), ProductFactory()
    assert read(f"product={one.code.lower()}").products == [one]
    assert read(f"product={one.pk}").products == [one]


def test_an_unknown_or_foreign_product_is_none_and_never_all() -> None:
    mine, other = ProductFactory(), ProductFactory()
    user = MembershipFactory(product=mine, role=Role.VIEWER).user
    assert read("", user).products == [mine]
    assert read(f"product={other.code}", user).products == []
    assert read("product=nothing", user).products == []


def test_a_line_is_its_stations() -> None:
    first, second = StationFactory(line="SMT 1"), StationFactory(line="SMT 2")
    scope = read("line=SMT+1")
    assert scope.chosen_stations == [first]
    assert scope.lines == ["SMT 1", "SMT 2"]
    assert read(f"station={second.code}").chosen_stations == [second]
    assert read(f"line=SMT+1&station={second.code}").chosen_stations == []
    assert read("station=nothing").chosen_stations == []


def test_days_are_those_of_the_plant(settings: Settings) -> None:
    settings.TIME_ZONE = "Asia/Taipei"
    scope = read("since=2026-03-01&until=2026-03-02")
    assert scope.period == "custom"
    assert scope.since.isoformat() == "2026-03-01T00:00:00+08:00"
    assert scope.until.isoformat() == "2026-03-03T00:00:00+08:00"


@pytest.mark.parametrize("query", ["period=long", "since=soon", "period=7d&since=2026-01-01"])
def test_what_makes_no_sense_is_the_usual_week(query: str) -> None:
    assert read(query).period == "7d"


def test_dates_the_wrong_way_round_are_turned() -> None:
    scope = read("since=2026-03-05&until=2026-03-02")
    assert (scope.first_day.day, scope.last_day.day) == (2, 5)


def test_links_carry_it_on() -> None:
    scope = read("product=PN-1&line=&period=30d&verdict=fail&after=x")
    assert scope.query == "product=PN-1&period=30d"
    assert scope.with_(verdict="pass", record=1) == "product=PN-1&period=30d&verdict=pass&record=1"
    assert scope.with_(product=None) == "period=30d"
    assert ("verdict", "fail") in scope.others
