"""Defects that were found downstream of us, reported by the serial number on the part."""

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from inspection import policies
from inspection.errors import UserError
from inspection.models import Escape, Product, ReasonCode, Unit, User, Viewpoint

from .access import require
from .audit import record
from .reason_codes import check_usable


def report_escape(
    user: User,
    *,
    serial_number: str,
    product: Product | None = None,
    viewpoint: Viewpoint | None = None,
    found_where: str,
    found_at: datetime | None = None,
    reason_code: ReasonCode | None = None,
    comment: str = "",
) -> Escape:
    """Put on record that a unit left with a defect. `product` is needed only where two
    products that the person sees have the same serial number."""
    unit = _unit(user, serial_number.strip(), product)
    require(user, policies.REVIEW, unit.product)
    where, when = found_where.strip(), found_at or timezone.now()
    _check(unit, where, when, viewpoint, reason_code)
    with transaction.atomic():
        escape = Escape.objects.create(
            unit=unit,
            viewpoint=viewpoint,
            reason_code=reason_code,
            found_at=when,
            found_where=where,
            comment=comment.strip()[:2000],
            reported_by=user,
        )
        after = {
            "serial": str(unit),
            "found_where": where,
            "found_at": when.isoformat(),
            "reason": reason_code.code if reason_code else None,
        }
        record(user, "escape.reported", escape, product=unit.product, after=after)
    return escape


def product_of(user: User, serial_number: str) -> Product:
    """The product of the one unit of that serial number; raises UserError as a report would."""
    return _unit(user, serial_number.strip(), None).product


def _unit(user: User, serial: str, product: Product | None) -> Unit:
    """The one unit of that serial number among what the person may see; what they may not
    see is not found, so that nobody learns which serial numbers exist."""
    seen = policies.visible_products(user)
    units = Unit.objects.filter(serial_number=serial, product__in=seen).exclude(serial_number="")
    if product is not None:
        units = units.filter(product=product)
    found = list(units.select_related("product").order_by("id")[:20])
    if not found:
        raise UserError(
            "no_such_unit",
            "No unit with the serial number “{serial}” was ever inspected here. "
            "Check the number on the part.",
            serial=serial,
            field="serial_number",
        )
    if len({unit.product_id for unit in found}) > 1:
        codes = ", ".join(sorted({unit.product.code for unit in found}))
        raise UserError(
            "ambiguous_serial",
            "More than one product has the serial number {serial}: {codes}. Choose the product.",
            serial=serial,
            codes=codes,
            field="product",
        )
    return found[0]


def _check(
    unit: Unit,
    where: str,
    when: datetime,
    viewpoint: Viewpoint | None,
    reason_code: ReasonCode | None,
) -> None:
    if not where:
        raise UserError("where_missing", "Say where it was found.", field="found_where")
    if len(where) > 120:
        raise UserError("where_too_long", "At most 120 characters.", field="found_where")
    if when > timezone.now():
        raise UserError("in_the_future", "It cannot have been found yet.", field="found_at")
    if viewpoint is not None and viewpoint.product_id != unit.product_id:
        raise UserError(
            "foreign_viewpoint", "This view belongs to another product.", field="viewpoint"
        )
    if reason_code is not None:
        check_usable(reason_code, unit.product)
