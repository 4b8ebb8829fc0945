"""Training again: what would be new, starting it now, and when it starts by itself."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from inspection.errors import UserError
from inspection.models import RetrainingPlan, TrainingRun, Viewpoint
from inspection.services import retraining, retraining_plans
from inspection.services.retraining import Settings
from inspection.services.training import expected_seconds
from inspection.web import reads_models, words
from inspection.web.access import Rights, SignedIn, explains

from .products import product_and_viewpoint

TILES = 60
RUNS = 10


@require_safe
def show(request: SignedIn, key: UUID) -> HttpResponse:
    """What the next run would learn that the last model did not, and how it is started."""
    product, viewpoint = product_and_viewpoint(request, key)
    found = retraining.changes(viewpoint)
    settings = retraining.usual_settings(viewpoint)
    runs = list(
        TrainingRun.objects.filter(viewpoint=viewpoint)
        .select_related("model_version", "started_by")
        .order_by("-id")[:RUNS]
    )
    made = [run.model_version for run in runs if hasattr(run, "model_version")]
    reads_models.with_gates(made)
    context: dict[str, Any] = {
        "product": product,
        "viewpoint": viewpoint,
        "changes": found,
        "added": _tiles(found.added.order_by("-id")),
        "left_out": _tiles(found.left_out.order_by("-id")),
        "gone": _tiles(found.gone.order_by("-id")),
        "missing": found.missing,
        "settings": settings,
        "expected": expected_seconds(settings.preset, settings.budget_minutes),
        "presets": TrainingRun.Preset.choices,
        "methods": [(name, told[0]) for name, told in words.METHODS.items()],
        "plan": RetrainingPlan.objects.filter(viewpoint=viewpoint)
        .select_related("last_run", "changed_by")
        .first(),
        "runs": runs,
        "rights": Rights(request.user, product),
    }
    return render(request, "models/retraining.html", context)


def _tiles(rows: Any) -> dict[str, Any]:
    """How many there are, and the first few."""
    items = list(rows[: TILES + 1])
    return {"count": rows.count() if len(items) > TILES else len(items), "items": items[:TILES]}


@require_POST
@explains
def start(request: SignedIn, key: UUID) -> HttpResponse:
    """Train now on everything that is good now."""
    _product, viewpoint = product_and_viewpoint(request, key)
    vetting = request.POST.get("vetting", TrainingRun.Vetting.PAUSE)
    run = retraining.retrain(request.user, viewpoint, _settings(request), vetting=vetting)
    return redirect("run", run.pk)


@require_POST
@explains
def plan(request: SignedIn, key: UUID) -> HttpResponse:
    """When this viewpoint learns by itself."""
    _product, viewpoint = product_and_viewpoint(request, key)
    every = request.POST.get("every_days", "").strip()
    retraining_plans.set_plan(
        request.user,
        viewpoint,
        every_days=_whole(every, "every_days") if every else None,
        on_drift=request.POST.get("on_drift") == "yes",
        least_new=_whole(request.POST.get("least_new", "0"), "least_new"),
        settings=_settings(request),
    )
    messages.success(request, _("The plan is saved."))
    return redirect(address(viewpoint))


@require_POST
@explains
def good_parts(request: SignedIn) -> HttpResponse:
    """A selection of inspections that are good parts: their pictures join the good parts, and
    the page of their product says what would be learned."""
    keys = request.POST.getlist("inspection")[: retraining.MOST_SELECTED + 1]
    try:
        wanted = {UUID(key) for key in keys}
    except ValueError:
        raise UserError("no_such_part", _("A chosen part is not there any more.")) from None
    chosen = retraining.parts_named(request.user, wanted)
    proposed = retraining.propose_good_parts(request.user, chosen)
    said = _("{n} pictures joined the good parts; {already} were there already.")
    messages.success(request, said.format(n=len(proposed.added), already=proposed.already))
    return redirect(address(proposed.viewpoints[0]))


def _settings(request: SignedIn) -> Settings:
    try:
        minutes = float(request.POST.get("budget_minutes", "").replace(",", "."))
    except ValueError:
        raise UserError(
            "bad_budget", _("Give the time to learn in minutes."), field="budget_minutes"
        ) from None
    return Settings(request.POST.get("preset", ""), request.POST.get("method", ""), minutes)


def _whole(text: str, field: str) -> int:
    if not text.strip().isdecimal() or len(text) > 9:
        raise UserError("bad_number", _("Give a whole number."), field=field)
    return int(text)


def address(viewpoint: Viewpoint) -> str:
    query = "" if viewpoint.code == "main" else "?" + urlencode({"viewpoint": viewpoint.code})
    return reverse("retraining", args=[viewpoint.product_id]) + query
