"""One inspection: the part, what it should look like, where they differ, and by how much."""

from typing import Any
from uuid import UUID

from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from inspection.models import ImageResult, Inspection, InspectionImage
from inspection.web import words
from inspection.web.access import SignedIn, find
from inspection.web.gauge import Gauge

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
    pictures = list(inspection.pictures.select_related("image", "result").order_by("index"))
    picture = _chosen(pictures, request.GET.get("picture", ""))
    result = getattr(picture, "result", None)
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
        "scores": _scores(result),
        "version": version,
        "snapshot": version.training_run.snapshot,
        "point": point,
        "sign": words.verdict_sign(inspection.verdict, inspection.disposition),
        "gauge": Gauge.of(version, point, result.score if result else None),
        "p_words": words.p_value_words(result.p_value if result else None, calibration),
        "calibration": calibration,
        "inferno": INFERNO,
        "view": view,
        **_around(inspection, view),
    }
    return render(request, "inspections/show.html", context)


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
    return [(*told, known[name]) for name, told in words.SCORES.items() if name in known]


def _regions(result: ImageResult | None) -> list[dict[str, Any]]:
    """Where the picture differs, strongest first, numbered as on the picture."""
    found = sorted(result.regions if result else [], key=lambda r: -float(r.get("peak") or 0))
    return [{**region, "number": number} for number, region in enumerate(found, start=1)]


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
