"""Model versions: which one judges, what it learned from, how well it does."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST, require_safe

from inspection.models import (
    AuditEvent,
    Batch,
    GateCheck,
    ModelVersion,
    Purpose,
    SnapshotImage,
    Viewpoint,
)
from inspection.services import by_kind, gate, models
from inspection.web import reads, reads_models, words
from inspection.web.access import Rights, SignedIn, explains, find, visible

PER_PAGE = 100
SPEED = "images_per_second"


@require_safe
def index(request: SignedIn) -> HttpResponse:
    """The models that judge, then the others, newest first."""
    viewpoints = visible(request.user, Viewpoint).values("pk")
    versions = reads_models.with_gates(reads.models_of(viewpoints, PER_PAGE))
    return render(request, "models/index.html", {"versions": versions})


@require_safe
def show(request: SignedIn, key: UUID) -> HttpResponse:
    version = find(request.user, ModelVersion, key)
    points = list(version.operating_points.select_related("author"))
    snapshot = version.training_run.snapshot
    manifest = version.manifest
    product = version.viewpoint.product
    viewpoint = version.viewpoint
    active = None
    if version.state != ModelVersion.State.ACTIVE:
        active = viewpoint.model_versions.filter(state=ModelVersion.State.ACTIVE).first()
    before = models.version_before(version)
    context: dict[str, Any] = {
        "version": version,
        "product": product,
        "viewpoint": viewpoint,
        "active": active,
        "before": before,
        "compared": reads_models.side_by_side(version, active, figures) if active else [],
        "standing": None if version.state == ModelVersion.State.ACTIVE else gate.standing(version),
        "checks": GateCheck.objects.filter(candidate=version).select_related("baseline")[:5],
        "lots": reads_models.judged_lots(product, viewpoint.pk),
        "rescores": Batch.objects.filter(
            model_version=version, purpose=Purpose.RESCORE
        ).select_related("lot", "created_by")[:5],
        "point": next((point for point in points if point.in_force), None),
        "points": points,
        "run": version.training_run,
        "snapshot": snapshot,
        "excluded": snapshot.items.filter(decision=SnapshotImage.Decision.EXCLUDED).count(),
        "metrics": figures(manifest.get("metrics", {})),
        "images": manifest.get("images", {}),
        "calibration": manifest.get("calibration", {}),
        "files": manifest.get("files", {}),
        "plain": {
            k: v for k, v in manifest.items() if isinstance(v, (str, int, float)) and k != SPEED
        },
        "history": AuditEvent.objects.filter(
            object_type="modelversion", object_id=version.pk
        ).order_by("-id")[:10],
        "rights": Rights(request.user, product),
    }
    return render(request, "models/show.html", context)


@require_GET
def kinds(request: SignedIn, key: UUID) -> HttpResponse:
    """The result by kind of the newest batch whose parts are known, for the page to load."""
    version = find(request.user, ModelVersion, key)
    labelled = by_kind.latest_labelled(version)
    found = by_kind.batch_by_kind(labelled) if labelled else None
    return render(request, "batches/_by_kind.html", {"by_kind": found, "labelled": labelled})


def figures(metrics: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Plain numbers of nested metrics, with names that a person can read."""
    found: list[tuple[str, Any]] = []
    for name, value in metrics.items():
        if name == SPEED:
            continue  # said once, with what it is, where the model comes from
        word = prefix + words.figure_word(name)
        if isinstance(value, dict):
            found += figures(value, f"{word} › ")
        elif isinstance(value, (int, float, str)) and not isinstance(value, bool):
            found.append((word, value))
    return found


@require_POST
@explains
def promote(request: SignedIn, key: UUID) -> HttpResponse:
    """Let this model judge from now on, with a reason that stays on record. `override` is why
    the gate is passed over."""
    version = find(request.user, ModelVersion, key)
    reason, override = (request.POST.get(name, "")[:300] for name in ("reason", "override"))
    models.promote(request.user, version, reason or override, override=override)
    return redirect("model", version.pk)
