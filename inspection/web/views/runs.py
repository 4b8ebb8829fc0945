"""Training: starting a run, watching it, deciding on suspicious pictures."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_POST, require_safe

from inspection import policies
from inspection.models import (
    JobState,
    ModelVersion,
    RunLogLine,
    RunSample,
    SnapshotImage,
    TrainingRun,
)
from inspection.services import disk, products, training, weights
from inspection.services.run_curves import curves
from inspection.services.viewpoints import accept_symmetries, proposed_symmetries
from inspection.web import reads, words
from inspection.web.access import Rights, SignedIn, explains, find, wants_json
from inspection.web.choice import choices
from inspection.web.forms import TrainForm

from .products import product_and_viewpoint

PRESETS = (
    ("tiny", _("Tiny"), _("64 px. Shows that everything works. Not for decisions."), 0.5),
    ("compact", _("Compact"), _("128 px. For a computer without, or with a small, GPU."), 10),
    ("paper", _("Paper"), _("256 px, all of the method. Needs a GPU."), 60),
)
SCORING_NETWORK = "squeezenet1_1"
LOG_LINES = 200


@explains
def start(request: SignedIn, key: UUID) -> HttpResponse:
    """Preset, time and what to do with suspicious pictures."""
    product, viewpoint = product_and_viewpoint(request, key)
    policies.check(request.user, policies.MANAGE, product)
    policies.check_in_use(product)
    form = TrainForm(request.POST or None, initial={"viewpoint": viewpoint.code})
    if request.method == "POST" and form.is_valid():
        chosen = {k: v for k, v in form.cleaned_data.items() if k != "viewpoint"}
        with form.refusals():
            return redirect("run", training.start_run(request.user, viewpoint, **chosen).pk)
    counts = reads.dataset_counts(products.good_dataset(viewpoint))
    context = {
        "form": form,
        "product": product,
        "viewpoint": viewpoint,
        "counts": counts,
        "missing": max(0, training.MIN_PICTURES - counts["usable"]),
        "min_pictures": training.MIN_PICTURES,
        "presets": PRESETS,
        "chosen": form["preset"].value(),
        "methods": [(name, *told) for name, told in words.METHODS.items()],
        "symmetries": words.symmetry_words(viewpoint.symmetries),
        "expected": training.expected_seconds("compact", 10),
        "weights": [w for w in weights.installed() if w.network == SCORING_NETWORK],
        "free_gb": disk.free_gb(),
        "disk_low": disk.free_gb() < settings.MIN_FREE_GB,
        "min_free_gb": settings.MIN_FREE_GB,
    }
    return render(request, "runs/start.html", context)


@require_GET
def expected(request: SignedIn) -> JsonResponse:
    """How long a run takes with a preset and a time to learn."""
    try:
        minutes = min(max(float(request.GET.get("minutes", "")), 0.0), training.MAX_MINUTES)
    except ValueError:
        minutes = 0.0
    seconds = training.expected_seconds(request.GET.get("preset", "compact"), minutes)
    return JsonResponse({"seconds": seconds, "words": words.duration(seconds)})


@require_safe
def show(request: SignedIn, key: UUID) -> HttpResponse:
    """Everything about one run, live; a reload at any moment shows the same."""
    run = find(request.user, TrainingRun, key)
    version = ModelVersion.objects.filter(training_run=run).first()
    if version:
        version.viewpoint = run.viewpoint
    snapshot = run.snapshot
    rights = Rights(request.user, run.viewpoint.product)
    suspicious = flagged(run)
    context: dict[str, Any] = {
        "run": run,
        "product": run.viewpoint.product,
        "version": version,
        "snapshot": snapshot,
        "pictures": snapshot.items.count(),
        "stages": stages(run),
        "sample": run.samples.order_by("-id").first(),
        "log": log_tail(run),
        "rights": rights,
        "flagged": suspicious,
        "note": words.run_note(run),
        "undecided": sum(item.decision == SnapshotImage.Decision.OPEN for item in suspicious),
        "preset": next((p[1] for p in PRESETS if p[0] == run.preset), run.preset),
        "symmetries": words.symmetry_words(run.symmetries),
        "choices": choices(version.manifest) if version else [],
        "proposed": words.symmetry_words(proposed_symmetries(version)) if version else [],
    }
    return render(request, "runs/show.html", context)


def stages(run: TrainingRun) -> list[dict[str, Any]]:
    """The steps in the order they run; before a worker has planned them, the usual ones."""
    planned = run.stages or [{"name": name, "state": "waiting"} for name in _usual_stages(run)]
    return [
        {
            "name": stage["name"],
            "word": words.stage_word(stage["name"]),
            "hint": words.STAGES.get(stage["name"], ("", ""))[1],
            "state": stage["state"],
        }
        for stage in planned
    ]


def _usual_stages(run: TrainingRun) -> list[str]:
    there = any(one.network == SCORING_NETWORK for one in weights.installed())
    return words.usual_stages(run.method, stand_in=not there)


def log_tail(run: TrainingRun) -> list[RunLogLine]:
    return list(reversed(run.log_lines.order_by("-id")[:LOG_LINES]))


# --- vetting ---------------------------------------------------------------------------


def flagged(run: TrainingRun) -> list[SnapshotImage]:
    """Suspicious pictures, worst first."""
    found = run.snapshot.items.filter(vet_flagged=True).select_related("image")
    return list(found.order_by("vet_rank"))


@require_POST
@explains
def vetting_decide(request: SignedIn, key: UUID, item: UUID) -> HttpResponse:
    """Keep one suspicious picture, or leave it out."""
    run = find(request.user, TrainingRun, key)
    found = run.snapshot.items.filter(pk=item).first()
    if found is None:
        raise Http404("no such picture")
    training.decide_vetting(request.user, run, found, request.POST.get("keep") == "yes")
    if wants_json(request):
        return JsonResponse({"id": str(found.pk), "decision": found.decision})
    return redirect("run", run.pk)


@require_POST
@explains
def vetting_suggested(request: SignedIn, key: UUID) -> HttpResponse:
    run = find(request.user, TrainingRun, key)
    left_out = training.decide_all_suggested(request.user, run)
    if left_out:
        told = ngettext("{n} picture is left out.", "{n} pictures are left out.", left_out)
        messages.success(request, told.format(n=left_out))
    else:
        told = gettext("Nothing more is suggested to leave out; every picture stays as it was.")
        messages.info(request, told)
    return redirect("run", run.pk)


@require_POST
@explains
def vetting_continue(request: SignedIn, key: UUID) -> HttpResponse:
    run = find(request.user, TrainingRun, key)
    training.continue_after_vetting(request.user, run)
    return redirect("run", run.pk)


# --- what the page asks while it is open -------------------------------------------------


@require_GET
def state(request: SignedIn, key: UUID) -> HttpResponse:
    """The row, for a page that (re)connects."""
    run = find(request.user, TrainingRun, key)
    version = ModelVersion.objects.filter(training_run=run).values_list("pk", flat=True).first()
    sample = run.samples.order_by("-id").first()
    sign = words.job_sign(run)
    body = {
        "state": run.state,
        "sign": {"key": sign.key, "word": sign.word, "icon": sign.icon, "tone": sign.tone},
        "stage": run.stage,
        "stages": stages(run),
        "progress": run.progress if run.state == JobState.RUNNING else {},
        "note": words.run_note(run),
        "error": run.error,
        "model": str(version) if version else None,
        "sample": str(sample.pk) if sample else None,
        "sample_words": f"{words.stage_word(sample.stage)}, step {sample.step}" if sample else "",
        "attempt": run.attempt,
    }
    return JsonResponse(body)


@require_GET
def metrics(request: SignedIn, key: UUID) -> HttpResponse:
    """Loss curves: `{stage: {steps: […], values: {name: […]}}}`, thinned to what a screen shows."""
    run = find(request.user, TrainingRun, key)
    of_stage, step = "", -1
    if after := request.GET.get("after", ""):
        of_stage, _bar, last = after.partition(":")
        if not last.isdecimal():
            raise Http404("no such step")
        step = int(last)
    return JsonResponse(curves(run, of_stage, step))


@require_GET
def log(request: SignedIn, key: UUID) -> HttpResponse:
    run = find(request.user, TrainingRun, key)
    return render(request, "runs/_log.html", {"log": log_tail(run)})


@require_GET
def samples(request: SignedIn, key: UUID) -> HttpResponse:
    """Every strip of restorations so far, for the slider below the newest."""
    run = find(request.user, TrainingRun, key)
    found = RunSample.objects.filter(run=run).values("id", "stage", "step", "columns")
    return JsonResponse({"samples": list(found)})


@require_POST
@explains
def cancel(request: SignedIn, key: UUID) -> HttpResponse:
    run = find(request.user, TrainingRun, key)
    training.cancel_run(request.user, run)
    return redirect((request.POST.get("next") == "jobs" and "jobs") or run_address(run))


@require_POST
@explains
def resume(request: SignedIn, key: UUID) -> HttpResponse:
    run = find(request.user, TrainingRun, key)
    training.resume_run(request.user, run)
    return redirect(run_address(run))


@require_POST
@explains
def accept_proposed(request: SignedIn, key: UUID) -> HttpResponse:
    """Take over the symmetries that the run found in its pictures."""
    run = find(request.user, TrainingRun, key)
    version = get_object_or_404(ModelVersion.objects.filter(training_run=run))
    version.viewpoint = run.viewpoint
    accept_symmetries(request.user, version)
    return redirect(run_address(run))


def run_address(run: TrainingRun) -> str:
    return f"/runs/{run.pk}/"
