"""Defects that were found downstream of us, reported by what is on the part: its serial number,
or its panel and position."""

from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from inspection import policies
from inspection.errors import UserError, WrongState
from inspection.models import Escape, Product, ReasonCode, Role, Unit, User, Viewpoint

from .access import require
from .audit import record
from .locking import lock_row
from .reason_codes import check_usable

REASON_LENGTH = 300
SAME_FOR = timedelta(days=1)  # a report that comes again word for word
MOST_NAMED = 20  # places that a refusal names
MANY = 500  # positions of one panel, or of one serial number


def report_escape(user: User, **said: Any) -> Escape:
    """`report_once`, for who need not know whether it was on record already."""
    return report_once(user, **said)[0]


def report_once(
    user: User,
    *,
    serial_number: str = "",
    panel_id: str | None = None,
    position_number: int | None = None,
    product: Product | None = None,
    viewpoint: Viewpoint | None = None,
    found_where: str,
    found_at: datetime | None = None,
    reason_code: ReasonCode | None = None,
    comment: str = "",
    idempotency_key: str = "",
) -> tuple[Escape, bool]:
    """Put on record that a unit left with a defect; False: it was on record already, by the same
    key or word for word. What names the unit: see `unit_named`."""
    unit = unit_named(
        user,
        serial_number=serial_number,
        panel_id=panel_id,
        position_number=position_number,
        product=product,
    )
    require(user, policies.REVIEW, unit.product)
    where, when = found_where.strip(), found_at or timezone.now()
    _check(unit, where, when, viewpoint, reason_code)
    escape = Escape(
        unit=unit,
        viewpoint=viewpoint,
        reason_code=reason_code,
        found_at=when,
        found_where=where,
        comment=comment.strip()[:2000],
        reported_by=user,
        idempotency_key=idempotency_key,
    )
    try:
        with transaction.atomic():
            lock_row(unit)  # two that come at once see each other
            if known := _known(escape, found_at):
                return known, False
            escape.save(force_insert=True)
            _record(user, escape)
    except IntegrityError:  # the same key for another unit was faster
        if known := _known(escape, found_at):
            return known, False
        raise
    return escape, True


def _known(escape: Escape, found_at: datetime | None) -> Escape | None:
    """What says the same already: of the same key, or an open one of the unit by the same
    person, word for word. Raises UserError where the key was sent with other words."""
    rows = Escape.objects.select_related("unit__product", "reason_code", "reported_by")
    if escape.idempotency_key:
        by_key = rows.filter(
            reported_by=escape.reported_by_id, idempotency_key=escape.idempotency_key
        ).first()
        if by_key and not _same(by_key, escape, found_at):
            raise UserError(
                "idempotency_key_reused",
                "This Idempotency-Key was sent before with another report. Use a new key for "
                "another report, and exactly the same request to ask again.",
                field="Idempotency-Key",
            )
        if by_key:
            return by_key
    there = rows.filter(unit=escape.unit_id, withdrawn_at=None).order_by("id")
    if found_at is None:  # not said: later than this the unit has come back once more
        there = there.filter(created_at__gte=timezone.now() - SAME_FOR)
    return next((one for one in there if _same(one, escape, found_at)), None)


def _same(one: Escape, other: Escape, found_at: datetime | None) -> bool:
    """Word for word; a report that did not say when it was found leaves that open."""
    plain = (
        "unit_id",
        "viewpoint_id",
        "reason_code_id",
        "found_where",
        "comment",
        "reported_by_id",
    )
    if found_at is not None and one.found_at != found_at:
        return False
    return all(getattr(one, name) == getattr(other, name) for name in plain)


def _record(user: User, escape: Escape) -> None:
    unit, reason = escape.unit, escape.reason_code
    after = {
        "serial": str(unit),
        "panel": unit.panel_id,
        "position": unit.position_number,
        "found_where": escape.found_where,
        "found_at": escape.found_at.isoformat(),
        "reason": reason.code if reason else None,
    }
    record(user, "escape.reported", escape, product=unit.product, after=after)


def withdraw_escape(user: User, escape: Escape, *, reason: str) -> Escape:
    """Take back a report that was a mistake: one's own, or, as an engineer, anybody's. It stays
    on record and counts nowhere any more."""
    product = escape.unit.product
    require(user, role_to_withdraw(user, escape), product)
    if not (why := reason.strip()):
        raise UserError("reason_missing", "Say why this report is withdrawn.", field="reason")
    if len(why) > REASON_LENGTH:
        raise UserError(
            "reason_too_long", "At most {most} characters.", most=REASON_LENGTH, field="reason"
        )
    with transaction.atomic():
        open_ = Escape.objects.filter(pk=escape.pk, withdrawn_at=None)
        if not open_.update(withdrawn_at=timezone.now(), withdrawn_by=user, withdrawn_reason=why):
            raise WrongState("already_withdrawn", "This report is withdrawn already.")
        before = {"serial": str(escape.unit), "found_where": escape.found_where}
        record(user, "escape.withdrawn", escape, product=product, before=before, reason=why)
    escape.refresh_from_db()
    return escape


def role_to_withdraw(user: User, escape: Escape) -> Role:
    """The role that it takes `user` to withdraw it."""
    return policies.REVIEW if escape.reported_by_id == user.pk else policies.MANAGE


def unit_named(
    user: User,
    *,
    serial_number: str = "",
    panel_id: str | None = None,
    position_number: int | None = None,
    product: Product | None = None,
) -> Unit:
    """The one unit of that serial number, panel and position among what the person may see; what
    they may not see is not found, so that nobody learns which serial numbers exist.

    None: not said; an empty panel and position 0 say that it was on none. Raises UserError where
    there is none, or more than one: then the sentence names what there is to choose from.
    """
    serial = serial_number.strip()
    panel = None if panel_id is None else panel_id.strip()
    if not serial and not panel:
        raise UserError(
            "no_such_unit",
            "Give the serial number of the unit, or its panel and position.",
            field="serial_number",
        )
    by: dict[str, Any] = {"serial_number": serial} if serial else {}
    if panel is not None:
        by["panel_id"] = panel
    if position_number is not None:
        by["position_number"] = position_number
    if product is not None:
        by["product"] = product
    units = Unit.objects.filter(product__in=policies.visible_products(user), **by)
    found = list(
        units.select_related("product").order_by("panel_id", "position_number", "id")[:MANY]
    )
    if not found:
        raise _no_such_unit(serial, panel, position_number)
    codes = sorted({unit.product.code for unit in found})
    if len(codes) > 1:
        raise UserError(
            "ambiguous_serial",
            "More than one product has the serial number {serial}: {codes}. Choose the product.",
            serial=serial or panel,
            codes=", ".join(codes),
            field="product",
        )
    if len(found) > 1:
        raise _ambiguous(serial or panel or "", panel, found)
    return found[0]


def _no_such_unit(serial: str, panel: str | None, position: int | None) -> UserError:
    if not panel and position is None:
        return UserError(
            "no_such_unit",
            "No unit with the serial number “{serial}” was ever inspected here. "
            "Check the number on the part.",
            serial=serial,
            field="serial_number",
        )
    return UserError(
        "no_such_unit",
        "No unit {unit} was ever inspected here. Check serial number, panel and position.",
        unit=", ".join(str(one) for one in (serial, panel, position) if one not in ("", None)),
        field="serial_number" if serial else "panel_id",
    )


def _ambiguous(name: str, panel: str | None, found: list[Unit]) -> UserError:
    """Several positions, perhaps of several panels, or several serial numbers of one position."""
    places = [_place(unit, panel) for unit in found[:MOST_NAMED]]
    if len(found) > MOST_NAMED:
        places.append("…")
    if len({(unit.panel_id, unit.position_number) for unit in found}) == 1:
        return UserError(
            "ambiguous_unit",
            "More than one unit is at {name}: {serials}. Give the serial number.",
            name=name,
            serials=", ".join(unit.serial_number or "–" for unit in found[:MOST_NAMED]),
            field="serial_number",
        )
    one_panel = len({unit.panel_id for unit in found}) == 1
    return UserError(
        "ambiguous_unit",
        "{name} was inspected at more than one position: {places}. Give the panel and the "
        "position of the one that is meant.",
        name=name,
        places=", ".join(places),
        field="position_number" if one_panel else "panel_id",
    )


def _place(unit: Unit, said: str | None) -> str:
    """`panel/position`, or the position alone where there is no panel or it was said."""
    if unit.panel_id and unit.panel_id != said:
        return f"{unit.panel_id}/{unit.position_number}"
    return str(unit.position_number)


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
