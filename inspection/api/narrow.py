"""Filters that several nouns have: by product, by viewpoint."""

from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet
from rest_framework import serializers

from inspection.errors import UserError
from inspection.models import Product, Station, User
from inspection.services.inspection_choices import named
from inspection.services.visible import visible

from .fields import Strict


class OfProduct(Strict):
    product = serializers.CharField(
        required=False, max_length=60, help_text="part number, or the product's id"
    )


class OfViewpoint(OfProduct):
    viewpoint = serializers.UUIDField(required=False)


def product_named(user: User, said: str) -> Product:
    """The product that a query or body names by code or key; 422 where there is none to see."""
    found = visible(user, Product).filter(named(said)).first()
    if found is None:
        raise UserError(
            "no_such_product", "There is no product {code} here.", code=said, field="product"
        )
    return found


def station_named(code: str | None) -> Station | None:
    """The station that a query or body names by its code; 422 where there is none."""
    if not code:
        return None
    found = Station.objects.filter(code__iexact=code).first()
    if found is None:
        raise UserError(
            "no_such_station", "There is no station {code}.", code=code, field="station"
        )
    return found


def stations_named(asked: Mapping[str, Any]) -> list[Station] | None:
    """Those of the `line` and `station` (its code or id) that a query names; None where it names
    neither. 422 where there is none of the name."""
    found = Station.objects.order_by("line", "code")
    if line := asked.get("line"):
        found = found.filter(line=line)
        if not found.exists():
            raise UserError("no_such_line", "There is no such line.", field="line")
    if said := asked.get("station"):
        if not Station.objects.filter(named(said)).exists():
            raise UserError(
                "no_such_station", "There is no station {code}.", code=said, field="station"
            )
        found = found.filter(named(said))
        if not found.exists():
            raise UserError("not_of_line", "The station is none of that line.", field="station")
    return list(found) if line or said else None


def of_product(
    rows: QuerySet[Any], user: User, asked: Mapping[str, Any], path: str
) -> QuerySet[Any]:
    """Rows whose product, at `path`, is the one that was asked for, if one was."""
    if said := asked.get("product"):
        rows = rows.filter(**{path: product_named(user, said)})
    return rows


def of_viewpoint(
    rows: QuerySet[Any], user: User, asked: Mapping[str, Any], path: str
) -> QuerySet[Any]:
    """Rows whose viewpoint, at `path`, is the one that was asked for, or of the product."""
    if viewpoint := asked.get("viewpoint"):
        rows = rows.filter(**{path: viewpoint})
    return of_product(rows, user, asked, f"{path}__product")
