"""Settings of a viewpoint: where to restore, and what a good part may do."""

import math
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_POST, require_safe

from inspection.errors import UserError
from inspection.models import ModelVersion, Symmetry, Viewpoint
from inspection.services import products, viewpoints
from inspection.web import words
from inspection.web.access import Rights, SignedIn, explains

from .products import product_and_viewpoint

SIDES = ("x", "y", "width", "height")


@require_safe
def show(request: SignedIn, key: UUID) -> HttpResponse:
    """Zones over the first good picture, and the symmetries with what a run proposes."""
    product, viewpoint = product_and_viewpoint(request, key)
    usable = products.good_dataset(viewpoint).items.filter(label="", excluded_at=None)
    newest = (
        ModelVersion.objects.filter(viewpoint=viewpoint)
        .select_related("training_run")
        .order_by("-number")
        .first()
    )
    if newest:
        newest.viewpoint = viewpoint
    proposed = viewpoints.proposed_symmetries(newest) if newest else []
    context: dict[str, Any] = {
        "product": product,
        "viewpoint": viewpoint,
        "item": usable.select_related("image").order_by("id").first(),
        "zones": [_in_per_cent(zone) for zone in viewpoint.repair_zones],
        "most_zones": viewpoints.MAX_ZONES,
        "symmetries": [
            (name, label, words.SYMMETRIES.get(name, ""), name in viewpoint.symmetries)
            for name, label in Symmetry.choices
        ],
        "proposed": words.symmetry_words(proposed),
        "version": newest,
        "rights": Rights(request.user, product),
    }
    return render(request, "products/viewpoint.html", context)


def _in_per_cent(zone: dict[str, float]) -> dict[str, float]:
    return {side: round(zone[side] * 100, 2) for side in SIDES}


@require_POST
@explains
def zones(request: SignedIn, key: UUID) -> HttpResponse:
    """All zones at once: the fields `x`, `y`, `width`, `height` of each, in per cent. A row with
    nothing in it is no zone."""
    _, viewpoint = product_and_viewpoint(request, key)
    sent = [request.POST.getlist(side) for side in SIDES]
    if len({len(values) for values in sent}) > 1:
        raise UserError("bad_zone", "A zone needs all four sides.", field="zones")
    rows = [row for row in zip(*sent, strict=True) if any(value.strip() for value in row)]
    found = [_zone(number, row) for number, row in enumerate(rows, start=1)]
    viewpoints.set_repair_zones(request.user, viewpoint, found)
    return redirect(_address(viewpoint))


def _zone(number: int, row: tuple[str, ...]) -> dict[str, float]:
    try:
        values = [float(value.replace(",", ".")) / 100 for value in row]
    except ValueError:
        values = [math.nan]
    if len(values) < len(SIDES):
        raise UserError(
            "bad_zone",
            "Zone {number}: fill in all four sides, in per cent.",
            number=number,
            field="zones",
        )
    return dict(zip(SIDES, values, strict=True))


@require_POST
@explains
def symmetries(request: SignedIn, key: UUID) -> HttpResponse:
    _, viewpoint = product_and_viewpoint(request, key)
    viewpoints.set_symmetries(request.user, viewpoint, request.POST.getlist("symmetry"))
    return redirect(_address(viewpoint))


def _address(viewpoint: Viewpoint) -> str:
    query = "" if viewpoint.code == "main" else "?" + urlencode({"viewpoint": viewpoint.code})
    return reverse("viewpoint", args=[viewpoint.product_id]) + query
