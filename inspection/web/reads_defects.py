"""A page of inspections, dressed for the Defects page: a fixed number of questions."""

from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db.models import F, QuerySet
from django.urls import reverse

from inspection.models import Inspection, InspectionImage, Station, Viewpoint
from inspection.querysets import bounded_count, wanted_inspections

from . import outlines, words
from .filters import Choices, Filters

PER_PAGE = 60
MOST_COUNTED = 1000
NO_KEY = UUID(int=0)
# What a tile or a line shows, as flat rows: whole objects of sixty inspections with everything
# around them take longer to make than all else on the page.
SHOWN = (
    "pk",
    "viewpoint_id",
    "station_id",
    "unit_id",
    "verdict",
    "disposition",
    "review_state",
    "score",
    "is_record",
    "completed_at",
)
BESIDE = {
    "serial": F("unit__serial_number"),
    "panel": F("unit__panel_id"),
    "position": F("unit__position_number"),
    "lot_code": F("lot__code"),
}
PICTURED = ("inspection_id", "file_name", "image_id")
SCORED = {
    "width": F("image__width"),
    "height": F("image__height"),
    "result_key": F("result__pk"),
    "score": F("result__score"),
    "regions": F("result__regions"),
    "heatmap_key": F("result__heatmap_key"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One inspection as a tile or a line of the table shows it."""

    inspection: Any  # a flat row of `SHOWN`
    sign: words.Sign
    reviewed: words.Sign | None
    product: Any
    station: Any
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
) -> tuple[list[Any], bool]:
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
    rows = shown.annotate(**BESIDE).values_list(*SHOWN, *BESIDE, named=True)
    return list(rows), len(found) > PER_PAGE


def _worst_pictures(inspections: list[Any]) -> dict[UUID, Any]:
    """By inspection, the picture that decided, or the first one while nothing has: with what a
    tile needs of its result, in one question."""
    pictures = InspectionImage.objects.filter(inspection__in=[one.pk for one in inspections])
    told = pictures.annotate(**SCORED).order_by("inspection_id", "index")
    rows = told.values_list(*PICTURED, *SCORED, named=True)
    found: dict[UUID, list[Any]] = defaultdict(list)
    for row in rows:
        found[row.inspection_id].append(row)
    return {key: max(pictures, key=_score) for key, pictures in found.items()}


def _score(picture: Any) -> float:
    return float("-inf") if picture.score is None else float(picture.score)


def dressed(inspections: list[Any], filters: Filters) -> list[Row]:
    """Flat rows with all that a page shows of them."""
    query, choices = filters.query(), filters.choices
    viewpoints = {one.pk: one for one in choices.viewpoints}
    stations: dict[UUID | None, Station] = {one.pk: one for one in choices.stations}
    pictures = _worst_pictures(inspections) if inspections else {}
    return [
        _row(
            one,
            viewpoints[one.viewpoint_id],
            stations.get(one.station_id),
            pictures.get(one.pk),
            query,
        )
        for one in inspections
        if one.viewpoint_id in viewpoints
    ]


def _row(one: Any, viewpoint: Viewpoint, station: Any, shown: Any, query: str) -> Row:
    sign = words.verdict_sign(one.verdict, one.disposition)
    reviewed = words.review_sign(one.review_state)
    width, height = (shown.width, shown.height) if shown else (1, 1)
    outline = ""
    if shown and shown.regions and sign is not words.PASS:
        few = outlines.strongest(shown.regions, outlines.ON_A_TILE)
        outline = outlines.path(few, width, height)
    return Row(
        inspection=one,
        sign=sign,
        reviewed=None if reviewed is words.NOT_VERIFIED else reviewed,
        product=viewpoint.product,
        station=station,
        name=_name(one, shown),
        address=f"{_place('inspection', one.pk)}?from=defects&{query}",
        thumb=_place("thumb", shown.image_id) if shown else "",
        heat=_place("layer", shown.result_key, "heatmap") if shown and shown.heatmap_key else "",
        outline=outline,
        width=width,
        height=height,
    )


def _name(one: Any, shown: Any) -> str:
    """As `str(unit)`; the file where no unit is known."""
    if one.unit_id is None:
        return shown.file_name if shown else ""
    return one.serial or f"{one.panel}/{one.position}"


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
