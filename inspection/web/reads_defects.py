"""A page of inspections, dressed for the Defects page: a fixed number of questions."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db.models import Prefetch, QuerySet
from django.urls import reverse

from inspection.models import Inspection, InspectionImage, Lot, Station, Unit, Viewpoint
from inspection.querysets import bounded_count, wanted_inspections

from . import outlines, words
from .filters import Choices, Filters

PER_PAGE = 60
MOST_COUNTED = 1000
NO_KEY = UUID(int=0)


@dataclass(frozen=True)
class Row:
    """One inspection as a tile or a line of the table shows it."""

    inspection: Inspection
    sign: words.Sign
    reviewed: words.Sign | None
    product: Any
    station: Any
    unit: Unit | None
    lot: Lot | None
    name: str
    address: str
    thumb: str
    heat: str
    outline: str
    width: int
    height: int


@dataclass(frozen=True)
class Page:
    """`newer` and `older` are keys to page from, empty where there is nothing."""

    rows: list[Row]
    newer: str
    older: str
    count: int
    more: bool


def page_of(filters: Filters, after: UUID | None, before: UUID | None) -> Page:
    """The newest, or those next to the key that was seen last. Never an offset."""
    if filters.problems:
        return Page([], "", "", 0, False)
    every = wanted_inspections(filters.wanted, below=after)
    shown, beyond = _slice(every, after, before)
    first, last = (str(shown[0].pk), str(shown[-1].pk)) if shown else ("", "")
    newer = first if (beyond if before else after) else ""
    older = last if (before or beyond) else ""
    whole = not (after or before or beyond)
    count = len(shown) if whole else bounded_count(every, MOST_COUNTED)
    rows = dressed(shown, filters)
    return Page(rows, newer, older, min(count, MOST_COUNTED), count > MOST_COUNTED)


def _slice(
    every: QuerySet[Inspection], after: UUID | None, before: UUID | None
) -> tuple[list[Inspection], bool]:
    """At most PER_PAGE, newest first, and whether more lie beyond in that direction.

    The keys first: what is joined to a row must not be joined to all that were looked at.
    """
    keys = every.values_list("pk", flat=True)
    if before is not None:
        keys = keys.filter(id__gt=before).reverse()
    elif after is not None:
        keys = keys.filter(id__lt=after)
    found = list(keys[: PER_PAGE + 1])
    shown = Inspection.objects.filter(pk__in=found[:PER_PAGE]).order_by("-id")
    whole = shown.select_related("unit", "lot").prefetch_related(pictures())
    return list(whole), len(found) > PER_PAGE


def pictures() -> "Prefetch[str]":
    """The pictures with what a tile needs of their results, in one question."""
    needed = InspectionImage.objects.select_related("image", "result").only(
        "inspection",
        "index",
        "file_name",
        "image__width",
        "image__height",
        "result__score",
        "result__regions",
        "result__heatmap_key",
    )
    return Prefetch("pictures", needed)


def dressed(inspections: Iterable[Inspection], filters: Filters) -> list[Row]:
    """With `pictures`, `unit` and `lot` fetched before."""
    query, choices = filters.query(), filters.choices
    viewpoints = {one.pk: one for one in choices.viewpoints}
    stations: dict[UUID | None, Station] = {one.pk: one for one in choices.stations}
    return [
        _row(one, viewpoints[one.viewpoint_id], stations.get(one.station_id), query)
        for one in inspections
        if one.viewpoint_id in viewpoints
    ]


def _row(inspection: Inspection, viewpoint: Viewpoint, station: Any, query: str) -> Row:
    shown = worst_picture(inspection)
    result = getattr(shown, "result", None)
    sign = words.verdict_sign(inspection.verdict, inspection.disposition)
    reviewed = words.review_sign(inspection.review_state)
    image = shown.image if shown else None
    width, height = (image.width, image.height) if image else (1, 1)
    outline = ""
    if result and result.regions and sign is not words.PASS:
        few = outlines.strongest(result.regions, outlines.ON_A_TILE)
        outline = outlines.path(few, width, height)
    return Row(
        inspection=inspection,
        sign=sign,
        reviewed=None if reviewed is words.NOT_VERIFIED else reviewed,
        product=viewpoint.product,
        station=station,
        unit=inspection.unit,
        lot=inspection.lot,
        name=str(inspection.unit or (shown.file_name if shown else "")),
        address=f"{_place('inspection', inspection.pk)}?from=defects&{query}",
        thumb=_place("thumb", shown.image_id) if shown else "",
        heat=_place("layer", result.pk, "heatmap") if result and result.heatmap_key else "",
        outline=outline,
        width=width,
        height=height,
    )


def worst_picture(inspection: Inspection) -> InspectionImage | None:
    """The picture that decided, or the first one while nothing has."""
    pictures = sorted(inspection.pictures.all(), key=lambda one: one.index)
    return max(pictures, key=lambda one: _score(one), default=None)


def _score(picture: InspectionImage) -> float:
    score = getattr(getattr(picture, "result", None), "score", None)
    return float("-inf") if score is None else float(score)


@lru_cache(maxsize=64)
def _pattern(name: str, *more: str) -> str:
    """An address with a gap for the key: a page of sixty tiles needs many of the same."""
    return reverse(name, args=[NO_KEY, *more]).replace(str(NO_KEY), "{}")


def _place(name: str, key: UUID, *more: str) -> str:
    return _pattern(name, *more).format(key)


def place_picture(filters: Filters, rows: list[Row], choices: Choices) -> dict[str, Any] | None:
    """A picture of the part to point at places on: one that is on the page anyway, if it can be
    of a part that passed, of the product that is asked for or the only one that one may see."""
    product = filters.product or (choices.products[0] if len(choices.products) == 1 else None)
    fitting = [row for row in rows if product and row.product.pk == product.pk and row.thumb]
    row = min(fitting, key=lambda one: one.sign is not words.PASS, default=None)
    return {"thumb": row.thumb, "width": row.width, "height": row.height} if row else None
