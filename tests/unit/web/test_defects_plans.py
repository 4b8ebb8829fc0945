"""Every single filter meets an index on PostgreSQL, however rare and old what it finds is.

SQLite plans otherwise: run with TEST_DATABASE_URL to have it asked.
"""

import json
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.utils import timezone

from inspection.ids import first_id_of
from inspection.models import Disposition, Inspection, ReasonCode, ReviewState, Unit, Verdict
from inspection.querysets import Wanted, wanted_inspections
from inspection.web.reads_defects import PER_PAGE
from tests.factories.batch import BatchFactory
from tests.factories.station import StationFactory
from tests.factories.unit import LotFactory

ROWS = 12_000
RARE = range(40, 70)  # what is looked for is in the oldest rows
DRAWN = range(80, 95)  # passed and drawn for an audit, from no station
MOST_READ = 2_000  # rows that may be read in vain for one page

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="asks PostgreSQL for its plans"),
]


@pytest.fixture
def rare(db: None) -> dict[str, Wanted]:
    """Twelve thousand inspections over a year, and per filter what finds a few of the oldest."""
    usual, other = BatchFactory(), BatchFactory()
    product = usual.viewpoint.product
    lots = [LotFactory(product=product), LotFactory(product=product)]
    stations = [StationFactory(), StationFactory()]
    reason = ReasonCode.objects.create(product=product, code="A", text="bridge")
    now = timezone.now()
    start = now - timedelta(days=365)
    units, rows = [], []
    for number in range(ROWS):
        moment = start + timedelta(days=365) * (number / ROWS)
        key = uuid.UUID(int=first_id_of(moment).int + number)
        odd = number in RARE
        batch = other if odd else usual
        units.append(
            Unit(
                id=key,
                product=product,
                serial_number=f"{'OLD' if odd else 'SN'}{number:07}",
                panel_id="P-OLD" if odd else f"P-{number // 8}" if number % 2 else "",
                position_number=99 if odd else number % 8 + 1,
            )
        )
        rows.append(
            Inspection(
                id=key,
                viewpoint=batch.viewpoint,
                model_version=batch.model_version,
                operating_point=batch.operating_point,
                unit_id=key,
                lot=lots[odd],
                station=None if number in DRAWN else stations[odd],
                audit_rate=0.1 if number in DRAWN else None,
                work_order="W-OLD" if odd else "W-1",
                verdict=Verdict.FAILED if odd else Verdict.PASSED,
                disposition=Disposition.AUTO,
                score=9.0 if odd else 0.5,
                completed_at=moment,
                is_record=odd,
                review_state=ReviewState.CONFIRMED if number in RARE[:15] else "NotVerifiedYet",
                review_reason=reason if odd else None,
                cell=5 if odd else None,
            )
        )
    Unit.objects.bulk_create(units, batch_size=2000)
    Inspection.objects.bulk_create(rows, batch_size=2000)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE inspection_inspection")
        cursor.execute("ANALYZE inspection_unit")
    week: dict[str, Any] = {"since": start, "until": start + timedelta(days=7)}
    return {
        "nothing": Wanted(),
        "viewpoint": Wanted(viewpoints=(other.viewpoint_id,)),
        "station": Wanted(stations=(stations[1].pk,)),
        "lot": Wanted(lots=(lots[1].pk,)),
        "work order": Wanted(work_order="W-OLD"),
        "serial": Wanted(serial="OLD"),
        "a common serial": Wanted(serial="SN"),
        "position": Wanted(position=99),
        "panel": Wanted(panel="P-OLD"),
        "model": Wanted(models=(other.model_version_id,)),
        "no station": Wanted(stations=(None,)),
        "verdict": Wanted(verdict="fail"),
        "called": Wanted(verdict="called"),
        "audit": Wanted(verdict="audit"),
        "not failed": Wanted(verdict="not_failed"),
        "any defect": Wanted(review="defect"),
        "good": Wanted(review="good"),
        "queue": Wanted(review="queue"),
        "no reason": Wanted(reasons=(None,)),
        "defects of a week": Wanted(record=True, verdict="called", review="defect", **week),
        "review state": Wanted(review="DefectConfirmed"),
        "waiting": Wanted(review="waiting"),
        "score": Wanted(score_min=8.0),
        "reason": Wanted(reasons=(reason.pk,)),
        "cell": Wanted(cell=5),
        "record": Wanted(record=True),
        "until": Wanted(until=start + timedelta(days=2)),
        "a day without any": Wanted(
            since=start - timedelta(days=9), until=start - timedelta(days=8)
        ),
        "an hour": Wanted(since=start + timedelta(hours=24), until=start + timedelta(hours=25)),
    }


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan] + [node for part in plan.get("Plans", []) for node in nodes(part)]


def scans(wanted: Wanted) -> list[dict[str, Any]]:
    keys = wanted_inspections(wanted).values_list("pk", flat=True)[: PER_PAGE + 1]
    try:
        sql, values = keys.query.sql_with_params()
    except EmptyResultSet:
        return []
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", values)
        found = cursor.fetchone()[0]
    plan = json.loads(found) if isinstance(found, str) else found
    return [node for node in nodes(plan[0]["Plan"]) if "Scan" in node["Node Type"]]


def test_every_single_filter_meets_an_index(rare: dict[str, Wanted]) -> None:
    for name, wanted in rare.items():
        for scan in scans(wanted):
            assert scan["Node Type"] != "Seq Scan", (name, scan)
            loops = scan["Actual Loops"]
            read = (scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0)) * loops
            assert read <= MOST_READ, (name, scan)


def test_what_is_rare_and_old_is_found(rare: dict[str, Wanted]) -> None:
    counts = {name: wanted_inspections(wanted).count() for name, wanted in rare.items()}
    assert counts.pop("nothing") == ROWS
    assert counts.pop("a common serial") == ROWS - len(RARE)
    assert counts.pop("a day without any") == 0
    for name in ("not failed", "good", "no reason"):
        assert counts.pop(name) == ROWS - len(RARE)
    few = {"review state", "any defect", "waiting", "audit", "no station", "defects of a week"}
    assert few == {n for n, c in counts.items() if c == 15}
    assert counts["queue"] == 15 + len(DRAWN)
    assert counts["panel"] == counts["model"] == counts["called"] == len(RARE)
    assert counts["serial"] == counts["cell"] == counts["record"] == len(RARE)
    order = [one.pk for one in wanted_inspections(rare["serial"])]
    assert order == sorted(order, reverse=True), "by a text that sorts as the keys do"
