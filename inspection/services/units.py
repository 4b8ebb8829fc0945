"""Lots and unit positions as other systems name them: found, or made at first sight.

Who makes both makes the lot first: two transactions that take them in the same order never wait
for each other in a circle.
"""

from typing import NamedTuple

from django.db.models import Q

from inspection.errors import UserError
from inspection.models import Lot, Product, Unit


def lot_of(product: Product, code: str, work_order: str = "") -> Lot | None:
    """The lot of that name; None without one. Raises UserError `other_work_order`."""
    if not code:
        return None
    work_order = work_order[:80]
    lot, _ = Lot.objects.get_or_create(
        product=product, code=code[:80], defaults={"work_order": work_order}
    )
    if work_order and not lot.work_order:
        lot.work_order = work_order
        lot.save(update_fields=["work_order"])
    elif work_order and lot.work_order != work_order:
        raise UserError(
            "other_work_order",
            "Lot {lot} belongs to work order {order}. Correct one of the two.",
            lot=lot.code,
            order=lot.work_order,
            field="work_order",
        )
    return lot


def unit_of(
    product: Product,
    *,
    serial_number: str = "",
    panel_id: str = "",
    position_number: int = 0,
    lot: Lot | None = None,
) -> Unit | None:
    """The unit position; None where neither a serial number nor a panel names it."""
    if not serial_number and not panel_id:
        return None
    unit, _ = Unit.objects.get_or_create(
        product=product,
        serial_number=serial_number[:120],
        panel_id=panel_id[:120],
        position_number=position_number,
        defaults={"lot": lot},
    )
    return unit


class Named(NamedTuple):
    """A unit position as somebody calls it."""

    serial_number: str = ""
    panel_id: str = ""
    position_number: int = 0


def of_unit(named: Named) -> Q:
    """Inspections of that unit position; of none, where neither a serial number nor a panel names
    one."""
    if not named.serial_number and not named.panel_id:
        return Q(unit=None)
    return Q(
        unit__serial_number=named.serial_number[:120],
        unit__panel_id=named.panel_id[:120],
        unit__position_number=named.position_number,
    )
