"""Which inspections a program asks for, by the names that an MES knows."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from inspection.models import Inspection, Product, Purpose, Unit, User
from inspection.querysets import changed_inspections, wanted_inspections

from .inspection_choices import Choices
from .inspection_wishes import Wish

MOST_UNITS = 500  # positions of one panel, or serial numbers that several products share
ANY = "any"  # purpose
# Who asks by these decides what becomes of a part. A trial, a golden set or a re-score of it by
# another model says nothing about that, so they are told only where `purpose` asks for them.
OF_PARTS = ("updated_since", "serial_number", "panel_id")
# What a program asks by another name than the pages.
CALLED = {"verification": "review", "decision_of_record": "record"}
BY_UNIT = ("serial_number", "panel_id")


def search(user: User, asked: Mapping[str, Any], below: UUID | None = None) -> QuerySet[Inspection]:
    """What `user` may see of what is asked, newest first, for who reads on `below` a key; with
    `updated_since` in the order of the changes. Asked by any of OF_PARTS it is production, unless
    `purpose` says another. Raises UserError for what there is none of, at its name."""
    choices = Choices(user)
    wishes = {CALLED.get(n, n): v for n, v in asked.items() if n not in OF_PARTS and v is not None}
    if model := asked.get("model"):
        wishes["model"] = str(model)
    wishes["purpose"] = _purpose(asked)
    wish = Wish(wishes, choices)
    if wish.refused:
        raise next(iter(wish.refused.values()))
    wanted = replace(wish.wanted, units=_units(wish.product, choices, asked))
    if since := asked.get("updated_since"):
        return changed_inspections(wanted, since)
    return wanted_inspections(wanted, below)


def _purpose(asked: Mapping[str, Any]) -> str:
    """Empty: any."""
    usual = Purpose.PRODUCTION.value if any(asked.get(name) for name in OF_PARTS) else ANY
    said = str(asked.get("purpose") or usual)
    return "" if said == ANY else said


def _units(
    product: Product | None, choices: Choices, asked: Mapping[str, Any]
) -> tuple[UUID, ...] | None:
    """By serial number or panel, whole and exact, as a program knows them."""
    by = {name: asked[name] for name in BY_UNIT if asked.get(name) is not None}
    if not by:
        return None
    rows = Unit.objects.filter(**by).order_by()
    rows = rows.filter(product=product) if product else choices.of_seen(rows)
    return tuple(rows.values_list("pk", flat=True)[:MOST_UNITS])
