"""The made-up history is one that the product itself could have written."""

import pytest
from django.core.management import CommandError, call_command
from django.db.models import Q
from django.utils import timezone

from inspection.models import (
    DefectTally,
    Escape,
    HourlyTally,
    ImageResult,
    Inspection,
    Review,
    ReviewState,
    Unit,
)
from inspection.services import tallies

pytestmark = pytest.mark.django_db


def test_a_small_history() -> None:
    call_command("make_history", inspections=1200, months=2, products=2, verbosity=0)
    records = Inspection.objects.filter(is_record=True)
    assert 1100 < records.count() <= 1200
    assert records.count() == Unit.objects.count()
    assert ImageResult.objects.count() == Inspection.objects.count()
    assert not Inspection.objects.filter(Q(verdict="") | Q(completed_at=None)).exists()
    reviewed = Inspection.objects.exclude(review_state=ReviewState.NOT_VERIFIED)
    assert reviewed.count() == Review.objects.count() > 10
    assert not Escape.objects.filter(found_at__gt=timezone.now()).exists()
    assert sum(HourlyTally.objects.values_list("inspected", flat=True)) == records.count()
    before = HourlyTally.objects.count(), DefectTally.objects.count()
    assert tuple(tallies.recount().values()) == before
    with pytest.raises(CommandError):
        call_command("make_history", inspections=10)


def test_keys_are_in_the_order_of_time() -> None:
    call_command("make_history", inspections=600, months=1, products=1, verbosity=0)
    times = list(Inspection.objects.order_by("id").values_list("completed_at", flat=True))
    assert [int(t.timestamp() * 1000) for t in times] == sorted(
        int(t.timestamp() * 1000) for t in times
    )
