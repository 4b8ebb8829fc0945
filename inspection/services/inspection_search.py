"""Which inspections a program asks for, by the names that an MES knows."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from inspection.errors import UserError
from inspection.models import (
    Inspection,
    Lot,
    Product,
    Purpose,
    Station,
    Unit,
    User,
    Viewpoint,
)
from inspection.querysets import Wanted, changed_inspections, wanted_inspections

from .visible import visible

MOST_UNITS = 500  # positions of one panel, or serial numbers that several products share
# Who asks by these decides what becomes of a part. A trial, a golden set or a re-score of it by
# another model says nothing about that, so they are told only where `purpose` asks for them.
OF_PARTS = ("updated_since", "serial_number", "panel_id")


def search(user: User, asked: Mapping[str, Any]) -> QuerySet[Inspection]:
    """What `user` may see of what is asked, newest first; with `updated_since` in the order of
    the changes. Asked by any of OF_PARTS it is production, unless `purpose` says another.
    Raises UserError for a product or station that there is none of."""
    wanted = _wanted(user, asked)
    if since := asked.get("updated_since"):
        return changed_inspections(wanted, since)
    return wanted_inspections(wanted)


def _wanted(user: User, asked: Mapping[str, Any]) -> Wanted:
    products = _products(user, asked.get("product"))
    return Wanted(
        viewpoints=_viewpoints(user, products, asked.get("viewpoint")),
        stations=_stations(asked.get("station")),
        lots=_lots(user, products, asked.get("lot")),
        units=_units(user, products, asked),
        work_order=asked.get("work_order", ""),
        purpose=_purpose(asked),
        result=asked.get("result", ""),
        disposition=asked.get("disposition", ""),
        verdict=asked.get("verdict", ""),
        review=asked.get("verification", ""),
        since=asked.get("since"),
        until=asked.get("until"),
        record=asked.get("decision_of_record"),
    )


def _purpose(asked: Mapping[str, Any]) -> str:
    """Empty: any."""
    usual = Purpose.PRODUCTION.value if any(asked.get(name) for name in OF_PARTS) else ""
    return str(asked.get("purpose") or usual)


def _products(user: User, code: str | None) -> list[UUID] | None:
    """Keys of the product that is asked for, by its code or key; None: any."""
    if code is None:
        return None
    found = [
        row.pk for row in visible(user, Product).filter(_named(code)).only("pk").order_by("pk")
    ]
    if not found:
        raise UserError(
            "no_such_product", "There is no product {code} here.", code=code, field="product"
        )
    return found


def _named(code: str) -> Q:
    key = _key(code)
    return Q(code__iexact=code) | Q(pk=key) if key else Q(code__iexact=code)


def _viewpoints(
    user: User, products: list[UUID] | None, viewpoint: UUID | None
) -> tuple[UUID, ...] | None:
    """None where the person sees every one: then any index may be used."""
    rows = visible(user, Viewpoint).order_by()
    if products is not None:
        rows = rows.filter(product__in=products)
    if viewpoint is not None:
        rows = rows.filter(pk=viewpoint)
    found = tuple(rows.values_list("pk", flat=True))
    everything = products is None and viewpoint is None
    if everything and len(found) == Viewpoint.objects.count():
        return None
    return found


def _stations(code: str | None) -> tuple[UUID, ...] | None:
    if code is None:
        return None
    found = tuple(Station.objects.filter(_named(code)).values_list("pk", flat=True))
    if not found:
        raise UserError(
            "no_such_station", "There is no station {code}.", code=code, field="station"
        )
    return found


def _lots(user: User, products: list[UUID] | None, code: str | None) -> tuple[UUID, ...] | None:
    if code is None:
        return None
    seen: Any = products if products is not None else visible(user, Product).values("pk")
    return tuple(Lot.objects.filter(code=code, product__in=seen).values_list("pk", flat=True))


def _units(
    user: User, products: list[UUID] | None, asked: Mapping[str, Any]
) -> tuple[UUID, ...] | None:
    """By serial number or panel, whole and exact, as a program knows them."""
    said = {"serial_number": asked.get("serial_number"), "panel_id": asked.get("panel_id")}
    by = {name: value for name, value in said.items() if value is not None}
    if not by:
        return None
    seen: Any = products if products is not None else visible(user, Product).values("pk")
    rows = Unit.objects.filter(product__in=seen, **by).order_by()
    return tuple(rows.values_list("pk", flat=True)[:MOST_UNITS])


def _key(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
