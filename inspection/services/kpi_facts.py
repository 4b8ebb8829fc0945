"""The figures of the page Today for programs: sums of decisions of record, and what they say."""

from collections.abc import Collection, Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Count, F, Q, QuerySet, Sum

from inspection.models import Escape, HourlyTally, Inspection, Product, Station

from . import kpis
from .kpis import Sums

OPPORTUNITIES = F("inspected") * F("viewpoint__product__opportunities_per_unit")
# In the order of the fields of `Sums`.
SUMMED = {
    f"sum_{name}": Sum(OPPORTUNITIES if name == "opportunities" else name)
    for name in Sums.__dataclass_fields__
}


def kpi_facts(
    products: Iterable[UUID],
    since: datetime,
    until: datetime,
    stations: Collection[Station] | None = None,
) -> dict[str, Any]:
    """`{sums, figures}` of whole hours from `since` until `until` (not included). `stations` None:
    any, and pictures from none."""
    keys = list(products)
    rows = HourlyTally.objects.filter(hour__gte=since, hour__lt=until, viewpoint__product__in=keys)
    if stations is not None:
        rows = rows.filter(station__in=stations)
    sums = Sums(*(int(value or 0) for value in rows.aggregate(**SUMMED).values()))
    found = downstream(keys, since, until, stations)
    return {"sums": told(sums), "figures": _figures(sums, found)}


def downstream(
    products: Collection[UUID] | Collection[Product],
    since: datetime,
    until: datetime,
    stations: Collection[Station] | None = None,
) -> int | None:
    """How many units were found downstream in the period, of those whose decision of record was
    made at one of the stations; None where nobody ever reported one: then nobody knows."""
    period = Q(found_at__gte=since, found_at__lt=until)
    units = Count("unit", filter=period, distinct=True)
    standing = reported(products, stations).filter(withdrawn_at=None)
    counts = standing.aggregate(ever=Count("pk"), now=units)
    return counts["now"] if counts["ever"] else None


def reported(
    products: Collection[UUID] | Collection[Product], stations: Collection[Station] | None = None
) -> QuerySet[Escape]:
    """Escapes of these products, withdrawn ones too; of the stations: of units whose decision of
    record was made there."""
    found = Escape.objects.filter(unit__product__in=products)
    if stations is None:
        return found
    here = Inspection.objects.filter(is_record=True, station__in=stations)
    return found.filter(unit__in=here.values("unit"))


def told(sums: Sums) -> dict[str, int]:
    """By name, but for what only weighs audits."""
    return {name: n for name, n in asdict(sums).items() if not name.startswith("audit_weight")}


def _figures(sums: Sums, escaped: int | None) -> dict[str, dict[str, Any]]:
    found = {
        "fpy_raw": kpis.fpy_raw(sums),
        "fpy_verified": kpis.fpy_verified(sums),
        "false_call_ppm": kpis.false_call_ppm(sums),
        "false_called_units": kpis.false_called_units(sums),
        "overkill": kpis.overkill(sums),
        "underkill": kpis.underkill(sums),
        "dpmo": kpis.dpmo(sums),
        "escape_rate": kpis.escape_rate(sums, escaped),
    }
    return {name: asdict(figure) for name, figure in found.items()}
