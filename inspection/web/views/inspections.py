"""One inspection: the part, what it should look like, where they differ, and by how much."""

import json
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from inspection.models import ImageResult, Inspection, InspectionImage, Symmetry
from inspection.services.nearest import most_alike
from inspection.web import outlines, words
from inspection.web import reads_inspection as reads
from inspection.web.access import Rights, SignedIn, find
from inspection.web.filters import Choices, Filters
from inspection.web.gauge import Gauge
from inspection.web.large import tiles_of

from .batches import chosen_view, in_view

# The colour scale of the heatmaps, for its legend (matplotlib's inferno in eleven steps).
INFERNO = [
    "#000004",
    "#160b39",
    "#420a68",
    "#6a176e",
    "#932667",
    "#bc3754",
    "#dd513a",
    "#f37819",
    "#fca50a",
    "#f6d746",
    "#fcffa4",
]


@require_safe
def show(request: SignedIn, key: UUID) -> HttpResponse:
    inspection = find(request.user, Inspection, key)
    pictures, picture, result = _pictures(request, inspection)
    from_defects = request.GET.get("from") == "defects"
    filters = Filters.of(request.GET, Choices(request.user)) if from_defects else None
    rights = Rights(request.user, inspection.viewpoint.product)
    version, point = inspection.model_version, inspection.operating_point
    view = chosen_view(request)
    calibration = int(version.manifest.get("calibration", {}).get("n", 0))
    context: dict[str, Any] = {
        "inspection": inspection,
        "product": inspection.viewpoint.product,
        "batch": inspection.batch,
        "pictures": pictures,
        "picture": picture,
        "result": result,
        "regions": _regions(result),
        "outlines": outlines.path(_regions(result), 1000, _height(picture)),
        "height": _height(picture),
        "tiles": json.dumps(tiles_of(picture.image)) if picture else "",
        "scores": _scores(result),
        "version": version,
        "snapshot": version.training_run.snapshot,
        "point": point,
        "sign": words.verdict_sign(inspection.verdict, inspection.disposition),
        "gauge": Gauge.of(version, point, result.score if result else None),
        "p_words": words.p_value_words(result.p_value if result else None, calibration),
        "calibration": calibration,
        "inferno": INFERNO,
        "rights": rights,
        "history": reads.history(inspection),
        "escapes": reads.escapes(inspection),
        **reads.judgement(inspection, rights, request.user.pk),
        **reads.came_from(request.GET, inspection, filters),
        **(reads.among_found(inspection, filters) if filters else _around(inspection, view)),
    }
    return render(request, "inspections/show.html", context)


@require_safe
def alike(request: SignedIn, key: UUID) -> HttpResponse:
    """The good parts that look most like this one, for the page to load when it is open."""
    inspection = find(request.user, Inspection, key)
    _, picture, result = _pictures(request, inspection)
    run = inspection.model_version.training_run
    regions = _regions(result)
    found = most_alike(picture.image, run.snapshot, regions) if picture else None
    # Where a good part may lie turned, the same place of the picture is another of the part.
    turned = set(run.symmetries) & MOVING
    height = _height(picture)
    region = regions[0] if regions and not turned else None
    context = {
        "picture": picture,
        "found": found,
        "turned": turned,
        "region": region,
        "height": height,
        "box": _crop(region, height) if region else f"0 0 1000 {height}",
        "outline": outlines.path([region], 1000, height) if region else "",
    }
    return render(request, "inspections/_alike.html", context)


# Symmetries under which a place of the picture is no place of the part.
MOVING = {Symmetry.FREE_ROTATION, Symmetry.QUARTER_TURNS, Symmetry.SHIFT} | {
    Symmetry.MIRROR_LEFT_RIGHT,
    Symmetry.MIRROR_TOP_BOTTOM,
}
SMALLEST_CROP = 160  # thousandths of the picture's width
MARGIN = 1.8  # of a region, so that one sees where on the part it is


def _pictures(
    request: SignedIn, inspection: Inspection
) -> tuple[list[InspectionImage], InspectionImage | None, ImageResult | None]:
    """All of them, the one that is shown, and its result."""
    pictures = list(inspection.pictures.select_related("image", "result").order_by("index"))
    picture = _chosen(pictures, request.GET.get("picture", ""))
    return pictures, picture, getattr(picture, "result", None)


def _height(picture: InspectionImage | None) -> int:
    """How high the picture is, if it is a thousand wide."""
    return round(1000 * picture.image.height / picture.image.width) if picture else 1000


def _crop(region: dict[str, Any], height: int) -> str:
    """A square around a region, inside the picture, as the viewBox of an SVG."""
    wide, tall = region["width"] * 1000, region["height"] * height
    side = min(max(wide * MARGIN, tall * MARGIN, SMALLEST_CROP), 1000, height)
    x = (region["x"] * 1000) + wide / 2 - side / 2
    y = (region["y"] * height) + tall / 2 - side / 2
    left, top = min(max(0.0, x), 1000 - side), min(max(0.0, y), height - side)
    return f"{left:.1f} {top:.1f} {side:.1f} {side:.1f}"


def _chosen(pictures: list[InspectionImage], index: str) -> InspectionImage | None:
    """The picture that the address names, or the one that decided."""
    if index.isdecimal() and int(index) < len(pictures):
        return pictures[int(index)]
    scored = [(p.result.score, -n) for n, p in enumerate(pictures) if _score(p) is not None]
    if scored:
        return pictures[-max(scored)[1]]
    return pictures[0] if pictures else None


def _score(picture: InspectionImage) -> float | None:
    return getattr(getattr(picture, "result", None), "score", None)


def _scores(result: ImageResult | None) -> list[tuple[str, str, float | None]]:
    """Name, what it is, and value of each score beside the one that decides: the paper's
    always, others where the model has them."""
    if result is None:
        return []
    known = {**result.scores, "eq7": result.paper_score}
    return [
        (str(word), str(what), known[name])
        for name, (word, what) in words.SCORES.items()
        if name in known
    ]


def _regions(result: ImageResult | None) -> list[dict[str, Any]]:
    """Where the picture differs, strongest first, numbered as on the picture."""
    found = sorted(result.regions if result else [], key=lambda r: -float(r.get("peak") or 0))
    height = _height(result.picture) if result else 1000
    return [
        {**region, "number": number, "crop": _crop(region, height)}
        for number, region in enumerate(found, start=1)
    ]


def _around(inspection: Inspection, view: dict[str, str]) -> dict[str, Any]:
    """The neighbours in the batch, in the filter and order that the person came with."""
    if inspection.batch is None:
        return {"before": None, "after": None}
    rows, order = in_view(inspection.batch, view), view["order"]
    pk, score = inspection.pk, inspection.score
    if order in ("worst", "best") and score is not None:
        higher = Q(score__gt=score) | Q(score=score, pk__gt=pk)
        lower = Q(score__lt=score) | Q(score=score, pk__lt=pk)
    else:
        higher, lower = Q(pk__gt=pk), Q(pk__lt=pk)
    ahead, behind = (lower, higher) if order in ("worst", "new") else (higher, lower)
    keys = rows.values_list("pk", flat=True)
    return {"after": keys.filter(ahead).first(), "before": keys.filter(behind).reverse().first()}
