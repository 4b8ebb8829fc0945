"""What the database itself refuses, whoever writes."""

import pytest
from django.db import IntegrityError, transaction

from inspection.ids import new_id
from inspection.models import Product, Station, Unit, Viewpoint

pytestmark = pytest.mark.django_db


def test_keys_sort_by_time_and_are_version_7():
    keys = [new_id() for _ in range(200)]
    assert keys == sorted(keys)
    assert {key.version for key in keys} == {7}


def refused(make) -> bool:
    try:
        with transaction.atomic():
            make()
    except IntegrityError:
        return True
    return False


def test_part_numbers_are_unique_whatever_their_case():
    Product.objects.create(code="pcb-1", name="Board")
    assert refused(lambda: Product.objects.create(code="PCB-1", name="Again"))


def test_viewpoint_and_station_codes_are_unique():
    board = Product.objects.create(code="PCB-1", name="Board")
    Viewpoint.objects.create(product=board)
    assert refused(lambda: Viewpoint.objects.create(product=board))
    Station.objects.create(code="AOI-1", name="AOI")
    assert refused(lambda: Station.objects.create(code="AOI-1", name="Twin"))


def test_a_unit_has_a_name_and_its_position_once():
    board = Product.objects.create(code="PCB-1", name="Board")
    assert refused(lambda: Unit.objects.create(product=board))
    Unit.objects.create(product=board, panel_id="P1", position_number=1)
    Unit.objects.create(product=board, panel_id="P1", position_number=2)
    assert refused(lambda: Unit.objects.create(product=board, panel_id="P1", position_number=2))
