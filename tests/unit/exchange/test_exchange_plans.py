"""What the exchange asks again and again meets an index on PostgreSQL, however much was sent.

SQLite plans otherwise: run with TEST_DATABASE_URL to have it asked.
"""

import json
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from inspection.ids import first_id_of
from inspection.models import Delivery, Endpoint, Inspection, OutboxEvent, Submission
from inspection.models.inspection import FREED
from inspection.services import deliveries, delivery_log
from inspection.services.submissions import free_expired_keys
from tests.factories.batch import BatchFactory
from tests.factories.exchange import EndpointFactory
from tests.factories.station import StationFactory
from tests.factories.unit import UnitFactory
from tests.factories.user import UserFactory
from tests.unit.web.test_defects_plans import nodes

EVENTS = 8_000
UNITS = 4_000  # each with two events
OF_ONE = 5  # events of the part that is looked for
FEW = 40  # are due, were given up, are too old, have a key that ran out
MOST_READ = 400  # rows

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="asks PostgreSQL for its plans"),
]


def key_at(moment: datetime, number: int) -> uuid.UUID:
    return uuid.UUID(int=first_id_of(moment).int + number)


@pytest.fixture
def serial() -> str:
    return "S-OLD"


@pytest.fixture
def endpoint(db: None, serial: str) -> Endpoint:
    """Eight thousand events of a month to each of two endpoints, delivered but for a few; what
    is due at one of them lies behind as much that waits for its next try."""
    here, other = EndpointFactory(), EndpointFactory()
    unit = UnitFactory(serial_number=serial)
    now = timezone.now()
    first = now - timedelta(days=settings.EXCHANGE_KEPT_DAYS, hours=1)
    step = (now - first) / EVENTS
    events, rows = [], []
    for number in range(EVENTS):
        old = number < FEW
        moment = first if old else first + timedelta(hours=2) + number * step * 0.9
        name = unit.pk if number < OF_ONE else number % UNITS
        event = OutboxEvent(
            id=key_at(moment, number),
            type="inspection.completed",
            sequence_key=f"unit:{name}",
            payload={"serial_number": str(number)},
            created_at=moment,
        )
        events.append(event)
        for place, to in enumerate((here, other)):
            from_end = EVENTS - number
            state = "given_up" if FEW <= number < 2 * FEW else "delivered"
            waits = to == here and from_end <= 10 * FEW
            rows.append(
                Delivery(
                    id=key_at(moment, number * 2 + place),
                    endpoint=to,
                    event=event,
                    sequence_key=event.sequence_key,
                    state="waiting" if waits else state,
                    next_attempt_at=now + timedelta(hours=-1 if from_end <= FEW else 1),
                )
            )
    OutboxEvent.objects.bulk_create(events, batch_size=2000)
    Delivery.objects.bulk_create(rows, batch_size=2000)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE inspection_delivery")
        cursor.execute("ANALYZE inspection_outboxevent")
    return here


def scans(ask: Callable[[], object]) -> list[dict[str, Any]]:
    """How the database looks at each table for the questions that `ask` puts to it."""
    with CaptureQueriesContext(connection) as asked:
        ask()
    found = []
    with connection.cursor() as cursor:
        for one in asked.captured_queries:
            if one["sql"].startswith("SELECT"):
                cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {one['sql']}")
                said = cursor.fetchone()[0]
                plan = json.loads(said) if isinstance(said, str) else said
                found += nodes(plan[0]["Plan"])
    return [node for node in found if "Scan" in node["Node Type"]]


def reads_little(ask: Callable[[], object], most: int = MOST_READ) -> None:
    found = scans(ask)
    assert found
    for scan in found:
        large = ("inspection_delivery", "inspection_outboxevent", "inspection_submission")
        if scan.get("Relation Name") in large:
            assert scan["Node Type"] != "Seq Scan", scan
        read = (scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0)) * scan["Actual Loops"]
        assert read <= most, scan


def test_what_is_due_is_found_behind_what_waits_for_its_next_try(endpoint: Endpoint) -> None:
    assert len(deliveries.due(endpoint, limit=100)) == FEW
    reads_little(lambda: deliveries.due(endpoint), most=100)


def test_what_is_due_is_found_in_a_long_queue_behind_what_was_delivered(endpoint: Endpoint) -> None:
    middle = OutboxEvent.objects.order_by("id")[EVENTS // 2]
    Delivery.objects.filter(endpoint=endpoint, event__gt=middle).update(
        state="waiting", next_attempt_at=timezone.now()
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE inspection_delivery")
    assert len(deliveries.due(endpoint)) == deliveries.LARGEST_GROUP
    reads_little(lambda: deliveries.due(endpoint), most=100)


def test_how_endpoints_stand_is_counted_without_what_was_delivered(endpoint: Endpoint) -> None:
    every = list(Endpoint.objects.all())
    found = {one.endpoint: one for one in delivery_log.standings(every)}
    assert (found[endpoint].waiting, found[endpoint].given_up) == (10 * FEW, FEW)
    reads_little(lambda: delivery_log.standings(every))


def test_the_log_is_narrowed_by_an_index(endpoint: Endpoint, serial: str) -> None:
    def page(**asked: str) -> list[Delivery]:
        rows = Delivery.objects.filter(endpoint=endpoint).select_related("event")
        return list(delivery_log.narrowed(rows, **asked).order_by("-id")[:51])

    assert len(page(about=serial)) == OF_ONE
    assert len(page(state="given_up")) == FEW
    reads_little(lambda: page(about=serial), most=4 * OF_ONE)
    reads_little(lambda: page(state="given_up"), most=2 * FEW)


def test_what_is_forgotten_is_found_by_its_age(endpoint: Endpoint) -> None:
    def forget() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SAVEPOINT before")
            count = deliveries.forget_old()
            cursor.execute("ROLLBACK TO SAVEPOINT before")
        return count

    assert forget() == FEW
    reads_little(forget)


def test_keys_that_ran_out_are_found_among_those_that_did_not(db: None) -> None:
    batch, station, owner = BatchFactory(), StationFactory(), UserFactory()
    now = timezone.now()
    parts = Inspection.objects.bulk_create(
        Inspection(
            viewpoint=batch.viewpoint,
            model_version=batch.model_version,
            operating_point=batch.operating_point,
        )
        for _ in range(3000)
    )
    Submission.objects.bulk_create(
        Submission(
            inspection=part,
            station=station,
            external_id=str(number),
            owner=owner,
            idempotency_key=f"{FREED}{number}" if number < 1500 else f"key-{number}",
            expires_at=now + timedelta(days=-1 if number < 1500 + FEW else 1),
        )
        for number, part in enumerate(parts)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE inspection_submission")
        cursor.execute("SAVEPOINT before")
        assert free_expired_keys() == FEW
        cursor.execute("ROLLBACK TO SAVEPOINT before")
    reads_little(free_expired_keys, most=2 * FEW)
