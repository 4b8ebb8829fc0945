"""Model versions: which one judges, what it learned from, how well it does."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from inspection.models import AuditEvent, ModelVersion, SnapshotImage, Viewpoint
from inspection.services import models
from inspection.web import reads, words
from inspection.web.access import Rights, SignedIn, explains, find, visible

PER_PAGE = 100


@require_safe
def index(request: SignedIn) -> HttpResponse:
    """The models that judge, then the others, newest first."""
    viewpoints = visible(request.user, Viewpoint).values("pk")
    versions = reads.models_of(viewpoints, PER_PAGE)
    return render(request, "models/index.html", {"versions": versions})


@require_safe
def show(request: SignedIn, key: UUID) -> HttpResponse:
    version = find(request.user, ModelVersion, key)
    points = list(version.operating_points.select_related("author"))
    snapshot = version.training_run.snapshot
    manifest = version.manifest
    context: dict[str, Any] = {
        "version": version,
        "product": version.viewpoint.product,
        "point": next((point for point in points if point.in_force), None),
        "points": points,
        "run": version.training_run,
        "snapshot": snapshot,
        "excluded": snapshot.items.filter(decision=SnapshotImage.Decision.EXCLUDED).count(),
        "metrics": figures(manifest.get("metrics", {})),
        "images": manifest.get("images", {}),
        "calibration": manifest.get("calibration", {}),
        "files": manifest.get("files", {}),
        "plain": {k: v for k, v in manifest.items() if isinstance(v, (str, int, float))},
        "history": AuditEvent.objects.filter(
            object_type="modelversion", object_id=version.pk
        ).order_by("-id")[:10],
        "rights": Rights(request.user, version.viewpoint.product),
    }
    return render(request, "models/show.html", context)


def figures(metrics: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Plain numbers of nested metrics, with names that a person can read."""
    found: list[tuple[str, Any]] = []
    for name, value in metrics.items():
        word = prefix + words.figure_word(name)
        if isinstance(value, dict):
            found += figures(value, f"{word} › ")
        elif isinstance(value, (int, float, str)) and not isinstance(value, bool):
            found.append((word, value))
    return found


@require_POST
@explains
def promote(request: SignedIn, key: UUID) -> HttpResponse:
    """Let this model judge from now on, with a reason that stays on record."""
    version = find(request.user, ModelVersion, key)
    models.promote(request.user, version, request.POST.get("reason", "")[:300])
    return redirect("model", version.pk)
