"""The Today page: its figures are those of the scope, each opens a list, and it stays cheap."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from inspection.models import DriftAlert, Escape, HourlyTally, ReasonCode, Role, Station
from tests.factories.batch import BatchFactory
from tests.factories.inspection import InspectionFactory
from tests.factories.membership import MembershipFactory
from tests.factories.model_version import ModelVersionFactory
from tests.factories.review import UnitFactory
from tests.factories.station import StationFactory
from tests.factories.tally import DefectTallyFactory, HourlyTallyFactory, this_hour
from tests.factories.user import UserFactory
from tests.unit.web.conftest import populate, signed_in

pytestmark = pytest.mark.django_db
MOST = 20


@pytest.fixture
def client() -> Client:
    return signed_in(UserFactory(role="engineer"))


def tiles(client: Client, query: str = "") -> dict[str, tuple[str, str, str]]:
    """Key → (value, what is below it, address)."""
    page = client.get(f"/?{query}").content.decode()
    found = re.findall(
        r'<a class="kpi[^"]*" href="([^"]*)"[^>]*data-kpi="(\w+)".*?kpi-value">(.*?)</span>'
        r'<span class="kpi-below">(.*?)</span>',
        page,
    )
    return {
        key: (re.sub(r"<.*?>", "", value), unescape(below), unescape(url))
        for url, key, value, below in found
    }


def plant(**fields: object) -> HourlyTally:
    """1,000 units of one hour, as in docs/kpis.md."""
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
        "audited": 50,
        "audited_bad": 1,
        "audit_weight": 100_000,
        "audit_weight_bad": 2000,
        "audit_weight_squares": 200_000_000,
    }
    version = fields.pop("model_version", None) or ModelVersionFactory()
    version.viewpoint.product.opportunities_per_unit = 4
    version.viewpoint.product.save()
    return HourlyTallyFactory(model_version=version, **{**numbers, **fields})


def test_figures_are_those_of_the_worked_example(client: Client) -> None:
    plant()
    shown = tiles(client)
    values = {key: (value, below) for key, (value, below, _) in shown.items()}
    assert values["inspected"] == ("1,000 units", "940 passed, 40 failed, 20 to review")
    assert values["fpy_raw"] == ("94.0 %", "940 of 1,000 units")
    assert values["fpy_verified"] == ("97.6 %", "976 of 1,000 units")
    assert values["false_calls"] == ("8,750 ppm", "35 of 4,000 opportunities · 3.5 % of units")
    assert values["overkill"] == ("3.6 %", "35 of 974 good parts")
    assert values["escapes"] == ("unknown", "no escape was ever reported")
    assert values["underkill"][0] == "47.2 %"
    assert values["dpmo"] == ("5,500", "22 of 4,000 opportunities")


def test_figures_are_compared_with_the_period_before(client: Client) -> None:
    version = ModelVersionFactory()
    plant(model_version=version, days_ago=10)
    plant(model_version=version, failed=140)
    page = client.get("/?period=7d").content.decode()
    assert "10.0 points" in page
    assert "kpi-change v-fail" in page
    assert "kpi-change" not in client.get("/?period=12m").content.decode()


def test_too_few_audits_are_no_zero(client: Client) -> None:
    plant(audited=12, audited_bad=0)
    assert tiles(client)["underkill"][:2] == ("not enough audits", "12 of 30 audits")


def test_every_figure_opens_a_list_of_the_same_scope(client: Client) -> None:
    tally = plant(station=StationFactory())
    code = tally.viewpoint.product.code
    shown = tiles(client, f"product={code}&line=SMT+1&period=30d")
    today = timezone.localdate()
    for key, (_, _, url) in shown.items():
        query = parse_qs(urlsplit(url).query)
        assert query["product"] == [code], key
        assert query["line"] == ["SMT 1"], key
        if key == "queue":
            continue
        assert key == "escapes" or query["record"] == ["1"], key
        assert query["since"] == [str(today - timedelta(days=29))], key
        assert query["until"] == [str(today)], key
    assert urlsplit(shown["queue"][2]).path == "/verify/"


def test_what_was_chosen_is_what_is_counted(client: Client) -> None:
    first, second = StationFactory(line="SMT 1"), StationFactory(line="SMT 2")
    one = plant(station=first)
    plant(station=second, model_version=one.model_version)
    plant(days_ago=20)

    def inspected(query: str) -> str:
        return tiles(client, query)["inspected"][0]

    assert inspected("period=7d") == "2,000 units"
    assert inspected("period=30d") == "3,000 units"
    assert inspected("line=SMT+2") == "1,000 units"
    assert inspected(f"product={one.viewpoint.product.code}&period=30d") == "2,000 units"


def test_what_one_may_not_see_is_not_counted() -> None:
    mine, other = plant(), plant()
    member = MembershipFactory(product=mine.viewpoint.product, role=Role.VIEWER)
    client = signed_in(member.user)
    assert tiles(client)["inspected"][0] == "1,000 units"
    page = client.get(f"/?product={other.viewpoint.product.code}").content.decode()
    assert "or you may not see it" in page


def test_trend_pareto_and_places(client: Client) -> None:
    version = ModelVersionFactory()
    for ago in range(1, 6):
        plant(model_version=version, days_ago=ago, failed=2, review=0)
    plant(model_version=version, failed=200, review=0)
    product = version.viewpoint.product
    bridge = ReasonCode.objects.create(product=product, code="BRIDGE", text="Solder bridge")
    DefectTallyFactory(viewpoint=version.viewpoint, reason_code=bridge, cell=9, confirmed=3)
    DefectTallyFactory(viewpoint=version.viewpoint, cell=10, calls=9, confirmed=1)
    context = client.get("/").context
    assert context["trend"]["centre"] == pytest.approx(210 / 6000)
    assert context["trend"]["outside"][-1]["limits"].hits == 200
    assert len(context["trend"]["rows"]) == 7, "a day without parts is a day"
    assert [(bar.code, bar.n) for bar in context["reasons"]] == [("BRIDGE", 3), ("", 1)]
    assert [(cell.number, cell.calls) for cell in context["places"]] == [(10, 9), (9, 3)]
    assert "cell=10" in context["places"][0].url


def test_one_day_is_shown_by_hour(client: Client) -> None:
    plant()
    trend = client.get("/?period=today").context["trend"]
    assert trend["by_hour"]
    assert sum(row["limits"].n for row in trend["rows"]) == 1000


CHICAGO = ZoneInfo("America/Chicago")
LOST = datetime(2026, 3, 8, 10, 30, tzinfo=CHICAGO)  # its day has no hour from 2 to 3
TWICE = datetime(2026, 11, 1, 10, 30, tzinfo=CHICAGO)  # its day has the hour from 1 to 2 twice


@pytest.mark.parametrize(("now", "hours"), [(LOST, 10), (TWICE, 12)])
def test_a_day_of_23_or_25_hours_is_shown_until_now(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, now: datetime, hours: int
) -> None:
    settings.TIME_ZONE = "America/Chicago"
    midnight = now.replace(hour=0, minute=0).astimezone(UTC)
    version = ModelVersionFactory()
    for hour in range(hours - 1):  # each with another number of units
        plant(model_version=version, hour=midnight + timedelta(hours=hour), inspected=100 + hour)
    last = now.astimezone(UTC).replace(minute=0)
    plant(model_version=version, hour=last, inspected=777)
    monkeypatch.setattr(timezone, "now", lambda: now.astimezone(UTC))
    client = signed_in(UserFactory(role="engineer"))  # by this clock, or it has run out
    context = client.get("/?period=today").context
    shown = [(row["at"], row["limits"].n) for row in context["trend"]["rows"]]
    assert [n for _, n in shown] == [*range(100, 99 + hours), 777]
    assert [at.astimezone(UTC) - midnight for at, _ in shown] == [
        timedelta(hours=n) for n in range(hours)
    ]
    assert shown[-1][0].hour == 10
    assert context["sums"].inspected == sum(n for _, n in shown)


def test_hours_begin_with_the_plants_midnight(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    settings.TIME_ZONE = "Asia/Kolkata"
    now = datetime(2026, 3, 8, 2, 40, tzinfo=ZoneInfo("Asia/Kolkata")).astimezone(UTC)
    version = ModelVersionFactory()
    for minutes, units in ((15, 1), (0, 2), (-15, 4), (-45, 8), (-75, 16), (-160, 32), (-175, 64)):
        quarter = now.replace(minute=0) + timedelta(minutes=minutes)  # 02:30 and on
        plant(model_version=version, hour=quarter, inspected=units, failed=0, review=0)
    monkeypatch.setattr(timezone, "now", lambda: now)
    client = signed_in(UserFactory(role="engineer"))
    context = client.get("/?period=today").context
    shown = [(f"{row['at']:%H:%M}", row["limits"].n) for row in context["trend"]["rows"]]
    assert shown == [("00:00", 0), ("01:00", 24), ("02:00", 7)]


def test_the_bars_of_the_pareto_add_up(client: Client) -> None:
    version = ModelVersionFactory()
    plant(model_version=version)
    for n in range(10):
        reason = ReasonCode.objects.create(
            product=version.viewpoint.product, code=f"R{n}", text=f"Reason {n}"
        )
        DefectTallyFactory(viewpoint=version.viewpoint, reason_code=reason, confirmed=20 - n)
    answer = client.get("/")
    bars = answer.context["reasons"]
    assert (len(bars), bars[-1].others, bars[-1].n) == (9, 2, 12 + 11)
    assert sum(bar.n for bar in bars) == sum(range(11, 21))
    assert max(bar.share for bar in bars) == bars[-1].share == 1
    assert bars[-1].sum_share == 1
    assert "2 other reasons" in answer.content.decode()


@pytest.mark.parametrize("narrowed", ["", "station=ST-A", "station=ST-B", "station=ST-C"])
def test_the_page_and_the_interface_count_the_same_escapes(client: Client, narrowed: str) -> None:
    version, person = ModelVersionFactory(), UserFactory()
    batch = BatchFactory(model_version=version)
    stations = {code: StationFactory(code=code) for code in ("ST-A", "ST-B", "ST-C")}
    for code, escapes in (("ST-A", 1), ("ST-B", 3), ("ST-C", 0)):
        plant(model_version=version, station=stations[code])
        for _ in range(escapes):
            unit = UnitFactory(product=version.viewpoint.product)
            InspectionFactory(batch=batch, unit=unit, station=stations[code], is_record=True)
            Escape.objects.create(
                unit=unit, found_at=timezone.now(), found_where="test", reported_by=person
            )
    since = timezone.localtime().replace(hour=0, minute=0) - timedelta(days=6)
    query = {"since": since.isoformat(), "until": (since + timedelta(days=7)).isoformat()}
    if narrowed:
        query["station"] = narrowed.removeprefix("station=")
    told = client.get("/api/v1/kpis", query).json()["figures"]
    value, below, _ = tiles(client, narrowed)["escapes"]
    rate = told["escape_rate"]
    if rate["value"] is None:
        assert (value, rate["why"]) == ("unknown", "unknown")
    else:
        escaped, of = {"": (4, 70), "station=ST-A": (1, 23), "station=ST-B": (3, 25)}[narrowed]
        assert (rate["numerator"], rate["denominator"]) == (escaped, of)
        assert below == f"{escaped} of {of} defects"


def test_an_alert_and_its_chart(client: Client) -> None:
    station = StationFactory()
    version = ModelVersionFactory()
    busier = plant(inspected=5000)
    for ago in range(30):
        HourlyTallyFactory(model_version=version, station=station, days_ago=ago)
    DriftAlert.objects.create(
        viewpoint=version.viewpoint,
        station=station,
        model_version=version,
        stream="x",
        began_at=this_hour(),
        value=0.4,
        low=0.28,
        high=0.32,
    )
    context = client.get("/").context
    assert len(context["alerts"]) == 1
    assert context["drift"]["name"].startswith(version.viewpoint.product.code)
    assert context["drift"]["chart"].known
    other = client.get(f"/?product={busier.viewpoint.product.code}").context
    assert other["alerts"] == []


def test_without_anything_it_says_how_to_begin(client: Client) -> None:
    page = client.get("/").content.decode()
    assert reverse("product_new") in page
    nobody = signed_in(UserFactory()).get("/").content.decode()
    assert "An administrator can give you a role" in nobody
    assert reverse("product_new") not in nobody


def test_a_product_without_figures_teaches_the_next_step() -> None:
    world = populate()
    client = signed_in(MembershipFactory(product=world.product, role=Role.ENGINEER).user)
    page = client.get("/").content.decode()
    assert "units that have a serial number" in page
    world.product.viewpoints.get().model_versions.all().update(state="retired")
    assert client.get("/").status_code == 200


def test_a_quiet_period_offers_the_last_busy_one(client: Client) -> None:
    plant(days_ago=60)
    page = client.get("/?period=7d").content.decode()
    assert "The last one before that was on" in page
    since = timezone.localdate() - timedelta(days=66)
    assert f"since={since}" in page


def test_questions_are_few_and_do_not_grow(client: Client) -> None:
    def questions(query: str) -> int:
        with CaptureQueriesContext(connection) as asked:
            assert client.get(f"/?{query}").status_code == 200
        return len(asked)

    def fill(products: int) -> None:
        for _ in range(products):
            version = ModelVersionFactory()
            for station in Station.objects.all():
                for ago in range(0, 40, 3):
                    plant(model_version=version, station=station, days_ago=ago)
            DefectTallyFactory(viewpoint=version.viewpoint)

    StationFactory.create_batch(2)
    fill(1)
    few = {query: questions(query) for query in ("", "period=12m", "period=today", "line=SMT+1")}
    fill(3)
    many = {query: questions(query) for query in few}
    assert max(many.values()) <= MOST
    assert many == few
    HourlyTally.objects.all().delete()
    assert questions("") <= MOST
