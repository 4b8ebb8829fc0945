"""Agreement between the model and the inspectors, and among the inspectors."""

from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from inspection.models import InspectionImage, ReviewState
from inspection.services import agreement
from inspection.services.agreement import Span
from inspection.web.access import SignedIn
from inspection.web.scope import Scope

LISTED = 24  # disagreements that are shown as pictures
USUAL = "90d"
RATES: dict[str, tuple[str | Promise, str | Promise]] = {
    "kappa": (_("Kappa (κ)"), _("good from 0.75")),
    "effectiveness": (_("Effectiveness"), _("good from 90 %, marginal from 80 %")),
    "miss_rate": (_("Miss rate"), _("good up to 2 %, marginal up to 5 %")),
    "false_alarm_rate": (_("False-alarm rate"), _("good up to 5 %, marginal up to 10 %")),
}
BANDS: dict[str, tuple[str | Promise, str, str]] = {
    agreement.GOOD: (_("good"), "v-pass", "circle-check"),
    agreement.MARGINAL: (_("marginal"), "v-review", "alert-triangle"),
    agreement.POOR: (_("poor"), "v-fail", "circle-x"),
}
WHY: dict[str, str | Promise] = {
    agreement.NOTHING: _("nothing was reviewed"),
    agreement.NONE_OF_THEM: _("there were none"),
    agreement.ONE_KIND: _("every part was called the same"),
    agreement.FEW_AUDITS: _("not enough audits"),
}


@require_safe
def show(request: SignedIn) -> HttpResponse:
    scope = _scope(request)
    span = _span(scope)
    model, people = agreement.model_and_inspectors(span)
    looks, pairs = agreement.between_inspectors(span)
    context = {
        "scope": scope,
        "model": model,
        "model_rates": [_shown(rate) for rate in model.rates()],
        "people": [(one.name, one.table, _cells(one.table)) for one in people],
        "looks": looks,
        "looks_rates": [_shown(rate) for rate in looks.rates()],
        "pairs": [(pair.first, pair.second, pair.table, _cells(pair.table)) for pair in pairs],
        "disagreements": _disagreements(span),
        "enough": agreement.ENOUGH_AUDITS,
    }
    return render(request, "verify/agreement.html", context)


def _scope(request: SignedIn) -> Scope:
    """A week is too short to say much about people: a quarter, unless the address says more."""
    query = request.GET.copy()
    if not any(query.get(name) for name in ("period", "since", "until")):
        query["period"] = USUAL
    return Scope.read(request.user, query)


def _span(scope: Scope) -> Span:
    stations = scope.chosen_stations
    return Span(
        products=tuple(one.pk for one in scope.products),
        since=scope.since,
        until=scope.until,
        stations=None if stations is None else tuple(one.pk for one in stations),
    )


def _shown(rate: agreement.Rate) -> dict[str, Any]:
    word, hint = RATES[rate.name]
    band = BANDS.get(rate.band)
    return {
        "word": word,
        "hint": hint,
        "text": _text(rate),
        "of": rate.of,
        "band": band,
        "why": WHY.get(rate.why, ""),
    }


def _cells(table: agreement.Table) -> list[dict[str, Any]]:
    return [_shown(rate) for rate in table.rates()]


def _text(rate: agreement.Rate) -> str:
    if rate.value is None:
        return ""
    return f"{rate.value:.3f}" if rate.name == "kappa" else f"{rate.value * 100:.1f} %"


def _disagreements(span: Span) -> list[Any]:
    """The newest second looks that say otherwise, with names and a picture each."""
    differ = agreement.differing(span, LISTED)
    pictures = InspectionImage.objects.filter(inspection__in=[one.inspection_id for one in differ])
    thumbs = {one.inspection_id: one.image_id for one in pictures.order_by("-index")}
    states = dict(ReviewState.choices)
    for one in differ:
        one.first_name = one.first_author or "–"
        one.first_word = states.get(one.first_state, "")
        one.thumb = thumbs.get(one.inspection_id)
    return differ
