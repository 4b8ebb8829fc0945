"""The operating point of a model: where pass, review and fail part, and what that costs."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST, require_safe

from inspection.errors import UserError
from inspection.models import Batch, Lot, ModelVersion, OperatingPoint
from inspection.services import models, score_sources
from inspection.services.models import calibration_scores
from inspection.web import limits, words
from inspection.web.access import Rights, SignedIn, explains, find

from .batches import dressed, with_pictures
from .products import product_and_viewpoint

TILES = 240


@require_safe
def show(request: SignedIn, key: UUID) -> HttpResponse:
    """Histogram, lines and sliders; without a script the same by a form."""
    version, point, asked = _asked(request, key)
    facts = limits.facts(version, point, asked)
    product = version.viewpoint.product
    context: dict[str, Any] = {
        **facts,
        "version": version,
        "product": product,
        "point": point,
        "chart": limits.chart(version, facts["known"], asked),
        "rights": Rights(request.user, product),
        "query": _query(asked),
    }
    return render(request, "models/limits.html", context)


@require_GET
def figures(request: SignedIn, key: UUID) -> HttpResponse:
    """What the asked limits mean, for the page that is open."""
    version, point, asked = _asked(request, key)
    facts = limits.facts(version, point, asked)
    context = {**facts, "version": version, "point": point, "query": _query(asked)}
    context["product"] = version.viewpoint.product
    return render(request, "models/_limit_figures.html", context)


@require_safe
def changes(request: SignedIn, key: UUID) -> HttpResponse:
    """The parts whose verdict would change, as tiles."""
    version, _point, asked = _asked(request, key)
    was, will = request.GET.get("was", ""), request.GET.get("will", "")
    if was not in score_sources.BANDS or will not in score_sources.BANDS:
        raise Http404("no such change")
    found = score_sources.changed_parts(
        version, asked.fail.threshold, asked.review.threshold, was=was, new=will
    )
    place = _place(request, version)
    if place is None:
        kind, names = score_sources.last_lots(version, asked.lots)
        found = found.filter(**{f"{kind}__in": list(names)})
    else:
        found = found.filter(**{"lot" if isinstance(place, Lot) else "batch": place})
    tiles = list(with_pictures(found.order_by("-score", "-id"))[: TILES + 1])
    context = {
        "version": version,
        "product": version.viewpoint.product,
        "tiles": dressed(tiles[:TILES]),
        "more": len(tiles) > TILES,
        "place": place,
        "was": words.BY_KEY[was],
        "will": words.BY_KEY[will],
        "asked": asked,
        "view": {"verdict": "", "order": "worst"},
        "query": _query(asked),
    }
    return render(request, "models/limit_changes.html", context)


def _place(request: SignedIn, version: ModelVersion) -> Lot | Batch | None:
    """The lot or batch that the address names; of this product, or it is not there."""
    lots = Lot.objects.filter(product_id=version.viewpoint.product_id)
    batches = Batch.objects.filter(viewpoint_id=version.viewpoint_id)
    try:
        if lot := request.GET.get("lot", ""):
            return get_object_or_404(lots, pk=UUID(lot))
        if batch := request.GET.get("batch", ""):
            return get_object_or_404(batches, pk=UUID(batch))
    except ValueError as error:
        raise Http404("no such lot") from error
    return None


@require_POST
@explains
def save(request: SignedIn, key: UUID) -> HttpResponse:
    """Put the chosen limits in force, with the reason that stays on record."""
    version = find(request.user, ModelVersion, key)
    alphas = [_per_cent(request, name) for name in ("fail", "review")]
    point = models.set_operating_point(
        request.user,
        version,
        alpha_fail=alphas[0],
        alpha_review=alphas[1],
        reason=request.POST.get("reason", "")[:300],
    )
    said = _("Operating point {number} is in force. Batches that are open keep theirs.")
    messages.success(request, said.format(number=point.number))
    return redirect("model_limits", version.pk)


def _per_cent(request: SignedIn, name: str) -> float:
    try:
        return float(request.POST.get(name, "").replace(",", ".")) / 100
    except ValueError:
        raise UserError("bad_alpha", _("Give both rates in per cent."), field=name) from None


@require_safe
def of_product(request: SignedIn, key: UUID) -> HttpResponse:
    """The limits of the model that judges this product."""
    product, viewpoint = product_and_viewpoint(request, key)
    active = viewpoint.model_versions.filter(state=ModelVersion.State.ACTIVE).first()
    if active is None:
        messages.info(request, _("There is no model yet whose limits could be drawn."))
        return redirect("product", product.pk)
    return redirect("model_limits", active.pk)


def _asked(request: SignedIn, key: UUID) -> tuple[ModelVersion, OperatingPoint, limits.Asked]:
    version = find(request.user, ModelVersion, key)
    points = OperatingPoint.objects.filter(model_version=version, in_force=True)
    point = get_object_or_404(points.select_related("author"))
    asked = limits.Asked.of(request.GET.dict(), calibration_scores(version), point)
    return version, point, asked


def _query(asked: limits.Asked) -> str:
    """The asked limits as an address carries them on."""
    values: dict[str, Any] = {
        "fail": limits.per_cent(asked.fail.alpha),
        "review": limits.per_cent(asked.review.alpha),
        "lots": asked.lots,
    }
    if asked.defects is not None:
        values["defects"] = f"{asked.defects * 1000:.6g}"
    return urlencode(values)
