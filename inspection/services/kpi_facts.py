"""The figures of the page Today for programs: sums of decisions of record, and what they say."""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Count, F, Sum

from inspection.models import Escape, HourlyTally, Station

from . import kpis
from .kpis import Sums

OPPORTUNITIES = F("inspected") * F("viewpoint__product__opportunities_per_unit")


def kpi_facts(
    products: Iterable[UUID], since: datetime, until: datetime, station: Station | None = None
) -> dict[str, Any]:
    """`{sums, figures}` of whole hours from `since` until `until` (not included)."""
    keys = list(products)
    rows = HourlyTally.objects.filter(hour__gte=since, hour__lt=until, viewpoint__product__in=keys)
    if station:
        rows = rows.filter(station=station)
    summed = {
        f"sum_{name}": Sum(OPPORTUNITIES if name == "opportunities" else name)
        for name in Sums.__dataclass_fields__
    }
    sums = Sums(*(int(value or 0) for value in rows.aggregate(**summed).values()))
    return {"sums": _told(sums), "figures": _figures(sums, _downstream(keys, since, until))}


def _told(sums: Sums) -> dict[str, int]:
    return {name: n for name, n in asdict(sums).items() if not name.startswith("audit_weight")}


def _downstream(products: list[UUID], since: datetime, until: datetime) -> int | None:
    """None where nobody ever reported an escape: then nobody knows."""
    escapes = Escape.objects.filter(unit__product__in=products, withdrawn_at=None)
    if not escapes.exists():
        return None
    period = escapes.filter(found_at__gte=since, found_at__lt=until)
    return period.aggregate(n=Count("unit", distinct=True))["n"] or 0


def _figures(sums: Sums, downstream: int | None) -> dict[str, dict[str, Any]]:
    found = {
        "fpy_raw": kpis.fpy_raw(sums),
        "fpy_verified": kpis.fpy_verified(sums),
        "false_call_ppm": kpis.false_call_ppm(sums),
        "false_called_units": kpis.false_called_units(sums),
        "overkill": kpis.overkill(sums),
        "underkill": kpis.underkill(sums),
        "dpmo": kpis.dpmo(sums),
        "escape_rate": kpis.escape_rate(sums, downstream),
    }
    return {name: asdict(figure) for name, figure in found.items()}
