"""The sums stay what a full recount says, whatever happens and however many do it at once."""

import contextlib
import random
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch
from zoneinfo import ZoneInfo

import pytest
from django.db import connection, transaction
from django.db.models import Sum
from django.db.models.functions import TruncDay
from django.utils import timezone
from pytest_django import Settings

from inspection.errors import UserError
from inspection.models import (
    DefectTally,
    Disposition,
    HourlyTally,
    ImageResult,
    Inspection,
    InspectionImage,
    Look,
    Purpose,
    ReasonCode,
    ReviewState,
    Unit,
    User,
    Verdict,
)
from inspection.services import reviews, tallies
from inspection.services.tallies import Counted, moved, moved_all
from inspection.services.verdicts import complete
from tests.factories.jobs import make_batch, make_image, make_inspection
from tests.factories.station import StationFactory
from tests.factories.user import UserFactory
from tests.threads import at_once

FLOATS = ("score_sum", "score_squares")


def rows(model: type) -> dict[str, dict[str, Any]]:
    """Every row that says something, by its key."""
    names = {"id", "created_at", "key"}
    found = {
        row["key"]: {name: value for name, value in row.items() if name not in names}
        for row in model.objects.values()
    }
    sums = ("inspected",) if model is HourlyTally else ("calls", "confirmed")
    return {key: row for key, row in found.items() if any(row[name] for name in sums)}


def assert_exact() -> None:
    """Kept sums and a recount say the same."""
    kept = rows(HourlyTally), rows(DefectTally)
    tallies.recount()
    again = rows(HourlyTally), rows(DefectTally)
    for before, after in zip(kept, again, strict=True):
        assert before.keys() == after.keys()
        for key, row in before.items():
            for name, value in row.items():
                expected = after[key][name]
                if name in FLOATS:  # added in another order: the last bit may differ
                    expected = pytest.approx(expected, rel=1e-9)
                assert value == expected, (key, name)


def decide(
    inspection: Inspection, verdict: str, disposition: str, score: float, regions: list[Any]
) -> None:
    picture = inspection.pictures.get()
    result = ImageResult.objects.create(
        inspection=inspection,
        picture=picture,
        model_version=inspection.model_version,
        operating_point=inspection.operating_point,
        verdict=verdict,
        disposition=disposition,
        score=score,
        regions=regions,
    )
    complete(inspection, [result])


def change(inspection: Inspection, **fields: Any) -> None:
    """What services do: the change and its share of the sums in one transaction."""
    with transaction.atomic():
        current = Inspection.objects.get(pk=inspection.pk)
        before = Counted.of(current)
        for name, value in fields.items():
            setattr(current, name, value)
        current.save(update_fields=list(fields))
        moved(before, Counted.of(current))


def judge(user: User, chance: random.Random, about: Inspection, reasons: list[Any]) -> None:
    """A person says something of the part, or takes back what was said last."""
    inspection = Inspection.objects.get(pk=about.pk)
    said = reviews.standing_reviews(inspection, Look.FIRST)
    with contextlib.suppress(UserError):  # not every state may follow every other
        if said and chance.random() < 0.4:
            reviews.undo_review(user, said[0])
        else:
            state, reason = chance.choice(ReviewState.values), chance.choice(reasons)
            reviews.record_review(user, inspection, state=state, reason_code=reason)


@pytest.mark.django_db
@pytest.mark.parametrize("seed", range(5))
def test_any_sequence_of_results_and_reviews_is_what_a_recount_says(seed: int) -> None:
    chance, user = random.Random(seed), UserFactory(role="engineer")
    batches = [make_batch(), make_batch(purpose=Purpose.TRIAL)]
    batches.append(make_batch(batches[0].model_version))
    product = batches[0].viewpoint.product
    stations = [None, StationFactory(), StationFactory(line="SMT 2")]
    reasons = [None, *(ReasonCode.objects.create(product=product, code=c, text=c) for c in "AB")]
    units = [Unit.objects.create(product=product, serial_number=str(n)) for n in range(25)]
    done: list[Inspection] = []
    for _ in range(60):
        if done and chance.random() < 0.5:
            judge(user, chance, chance.choice(done), reasons)
            continue
        inspection = make_inspection(
            chance.choice(batches), unit=chance.choice(units), station=chance.choice(stations)
        )
        verdict, disposition = chance.choice(
            [
                (Verdict.PASSED, Disposition.AUTO),
                (Verdict.PASSED, Disposition.NEEDS_REVIEW),
                (Verdict.FAILED, Disposition.AUTO),
                (Verdict.FAILED, Disposition.NEEDS_REVIEW),
                (Verdict.ERROR, Disposition.NEEDS_REVIEW),
            ]
        )
        region = {"x": chance.random() * 0.9, "y": 0.1, "width": 0.1, "height": 0.1, "peak": 1.0}
        decide(inspection, verdict, disposition, chance.random(), [region])
        if chance.random() < 0.4:  # drawn for an audit, after the record was made
            rate = chance.choice([0.02, 1 / 3, 0.07])
            Inspection.objects.filter(pk=inspection.pk).update(audit_rate=rate)
        done.append(inspection)
    assert 0 < sum(row["inspected"] for row in rows(HourlyTally).values()) <= len(units)
    judged = ("confirmed", "rejected", "accepted", "repaired", "closed")
    assert any(row[name] for row in rows(HourlyTally).values() for name in judged)
    assert_exact()


@pytest.mark.django_db
class TestOne:
    def make(self, verdict: str = Verdict.FAILED, score: float = 0.5, **fields: Any) -> Inspection:
        batch = make_batch()
        unit = Unit.objects.create(product=batch.viewpoint.product, serial_number="S1")
        inspection = make_inspection(batch, unit=unit, **fields)
        decide(inspection, verdict, Disposition.AUTO, score, [])
        return inspection

    def test_a_retest_a_trial_and_an_error_are_not_counted(self) -> None:
        first = self.make()
        for purpose in (Purpose.PRODUCTION, Purpose.TRIAL, Purpose.RESCORE):
            again = make_inspection(first.batch, unit=first.unit, purpose=purpose)
            decide(again, Verdict.PASSED, Disposition.AUTO, 0.1, [])
        tally = HourlyTally.objects.get()
        assert (tally.inspected, tally.failed, tally.passed, tally.waiting) == (1, 1, 0, 1)

    def test_a_false_call_and_its_undo(self) -> None:
        inspection = self.make()
        change(inspection, review_state=ReviewState.REJECTED)
        tally = HourlyTally.objects.get()
        assert (tally.rejected, tally.waiting) == (1, 0)
        change(inspection, review_state=ReviewState.NOT_VERIFIED)
        tally.refresh_from_db()
        assert (tally.rejected, tally.waiting) == (0, 1)

    def test_an_audited_pass_is_no_false_call(self) -> None:
        inspection = self.make(Verdict.PASSED)
        change(inspection, audit_rate=0.02)
        change(inspection, review_state=ReviewState.REJECTED)
        tally = HourlyTally.objects.get()
        assert (tally.rejected, tally.audited, tally.audited_bad) == (0, 1, 0)
        assert (tally.audit_weight, tally.audit_weight_squares) == (5000, 25_000_000)
        change(inspection, review_state=ReviewState.CONFIRMED)
        tally.refresh_from_db()
        assert (tally.audited_bad, tally.missed, tally.audit_weight_bad) == (1, 1, 5000)

    def test_a_reason_moves_from_one_bar_to_another(self) -> None:
        inspection = self.make()
        product = inspection.viewpoint.product
        reason = ReasonCode.objects.create(product=product, code="BRIDGE", text="Bridge")
        change(inspection, review_state=ReviewState.CONFIRMED, review_reason=reason)
        shown = {row["reason_code_id"]: row["confirmed"] for row in rows(DefectTally).values()}
        assert shown == {reason.pk: 1}

    def test_the_hour_is_that_of_the_completion(self) -> None:
        inspection = self.make()
        tally = HourlyTally.objects.get()
        assert inspection.created_at - timedelta(hours=1) <= tally.hour <= timezone.now()
        assert (tally.hour.minute, tally.hour.second) == (0, 0)

    def test_an_upgraded_database_is_counted_once(self) -> None:
        assert not tallies.count_if_needed(), "nothing is there to count"
        inspection = self.make()
        HourlyTally.objects.all().delete()
        DefectTally.objects.all().delete()
        assert tallies.count_if_needed()
        assert not tallies.count_if_needed()
        change(inspection, review_state=ReviewState.REJECTED)
        assert HourlyTally.objects.get().rejected == 1

    def test_a_recount_of_today_leaves_last_week_alone(self) -> None:
        old = self.make()
        week_ago = timezone.now() - timedelta(days=7)
        Inspection.objects.filter(pk=old.pk).update(completed_at=week_ago)
        tallies.recount()
        unit = Unit.objects.create(product=old.viewpoint.product, serial_number="S2")
        decide(make_inspection(old.batch, unit=unit), Verdict.PASSED, Disposition.AUTO, 0.1, [])
        HourlyTally.objects.update(inspected=7)
        tallies.recount(since=timezone.now())
        shown = HourlyTally.objects.order_by("hour").values_list("inspected", flat=True)
        assert list(shown) == [7, 1]


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")
@pytest.mark.django_db(transaction=True)
def test_many_at_once_lose_nothing() -> None:
    batch = make_batch()
    product = batch.viewpoint.product
    inspections = []
    for number in range(48):
        unit = Unit.objects.create(product=product, serial_number=str(number))
        inspections.append(make_inspection(batch, make_image(), unit=unit))

    def work(number: int) -> None:
        inspection = inspections[number]
        with transaction.atomic():
            decide(inspection, Verdict.FAILED, Disposition.AUTO, 0.9, [])
        change(inspection, review_state=ReviewState.REJECTED)
        if number % 12 == 0:
            tallies.recount()

    at_once([lambda n=number: work(n) for number in range(48)])
    tally = HourlyTally.objects.get()
    assert (tally.inspected, tally.rejected, tally.waiting) == (48, 48, 0)
    assert_exact()


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")
@pytest.mark.django_db(transaction=True)
def test_bulk_changes_in_any_order_do_not_wait_for_each_other() -> None:
    made = []
    for _ in range(4):
        batch = make_batch()
        unit = Unit.objects.create(product=batch.viewpoint.product, serial_number="1")
        made.append(make_inspection(batch, unit=unit))
        decide(made[-1], Verdict.FAILED, Disposition.AUTO, 0.9, [])
    counted = [Counted.of(Inspection.objects.get(pk=one.pk)) for one in made]

    def work(order: int) -> None:
        changes = [(None, one) for one in counted]
        random.Random(order).shuffle(changes)
        with transaction.atomic():
            moved_all(changes)

    at_once([lambda n=number: work(n) for number in range(40)])
    assert {tally.inspected for tally in HourlyTally.objects.all()} == {41}
    assert InspectionImage.objects.count() == 4


@pytest.mark.parametrize(
    ("zone", "minutes"),
    [
        ("UTC", 60),
        ("Asia/Taipei", 60),
        ("America/Chicago", 60),
        ("Asia/Kolkata", 15),
        ("Asia/Kathmandu", 15),
        ("Australia/Adelaide", 15),
        ("Australia/Lord_Howe", 15),  # half an hour away for half of the year
    ],
)
def test_a_row_is_no_longer_than_days_can_be_made_of(
    settings: Settings, zone: str, minutes: int
) -> None:
    settings.TIME_ZONE = zone
    assert tallies.step() == minutes


@pytest.mark.django_db
@pytest.mark.parametrize("zone", ["Asia/Kolkata", "Asia/Kathmandu", "America/St_Johns"])
def test_days_that_begin_within_an_hour_are_sums_of_rows(settings: Settings, zone: str) -> None:
    settings.TIME_ZONE = zone
    midnight = datetime(2026, 3, 3, tzinfo=ZoneInfo(zone))
    batch = make_batch()
    for number, minutes in enumerate((-14, -1, 0, 1, 16)):
        unit = Unit.objects.create(product=batch.viewpoint.product, serial_number=str(number))
        with patch("django.utils.timezone.now", lambda m=minutes: midnight + timedelta(minutes=m)):
            inspection = make_inspection(batch, unit=unit)
            decide(inspection, Verdict.FAILED, Disposition.AUTO, 0.5, [])
        change(inspection, review_state=ReviewState.CONFIRMED)
    by_day = HourlyTally.objects.annotate(day=TruncDay("hour", tzinfo=midnight.tzinfo))
    days = by_day.order_by("day").values_list("day").annotate(n=Sum("inspected"))
    assert [(day.day, n) for day, n in days] == [(2, 2), (3, 3)]
    assert_exact()


@pytest.mark.django_db
def test_a_plant_that_moves_to_another_clock_is_counted_again(settings: Settings) -> None:
    settings.TIME_ZONE = "UTC"
    batch = make_batch()
    unit = Unit.objects.create(product=batch.viewpoint.product, serial_number="1")
    inspection = make_inspection(batch, unit=unit)
    decide(inspection, Verdict.FAILED, Disposition.AUTO, 0.5, [])
    for zone, again in (("Asia/Taipei", False), ("Asia/Kolkata", True), ("UTC", True)):
        settings.TIME_ZONE = zone
        assert tallies.count_if_needed() is again
        assert not tallies.count_if_needed()
        for state in (ReviewState.REJECTED, ReviewState.NOT_VERIFIED):
            change(inspection, review_state=state)
        assert HourlyTally.objects.get().inspected == 1
        assert_exact()


@pytest.mark.django_db
def test_a_recount_since_a_day_is_of_all_where_the_clock_was_another(settings: Settings) -> None:
    settings.TIME_ZONE = "UTC"
    batch = make_batch()
    unit = Unit.objects.create(product=batch.viewpoint.product, serial_number="1")
    decide(make_inspection(batch, unit=unit), Verdict.FAILED, Disposition.AUTO, 0.5, [])
    settings.TIME_ZONE = "Asia/Kolkata"
    tallies.recount(since=timezone.now() + timedelta(days=1))
    assert HourlyTally.objects.get().inspected == 1
    assert not tallies.count_if_needed()
