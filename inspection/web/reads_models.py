"""Reads for the pages about models: lists with their gates."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from inspection.models import (
    GateCheck,
    Inspection,
    Lot,
    ModelVersion,
    Product,
    Purpose,
)

SHOWN_METRICS = ("synthetic_auroc", "auroc")
LOTS = 60


def with_gates(versions: Sequence[ModelVersion]) -> Sequence[ModelVersion]:
    """Each with its newest check as `gate`, in one query."""
    newest: dict[UUID, GateCheck] = {}
    for check in GateCheck.objects.filter(candidate__in=versions).order_by("id"):
        newest[check.candidate_id] = check
    for version in versions:
        version.gate = newest.get(version.pk)  # type: ignore[attr-defined]
        version.auroc = _auroc(version)  # type: ignore[attr-defined]
    return versions


def _auroc(version: ModelVersion) -> float | None:
    metrics = version.manifest.get("metrics") or {}
    found = [metrics[name] for name in SHOWN_METRICS if isinstance(metrics.get(name), float)]
    return found[0] if found else None


def side_by_side(
    version: ModelVersion, other: ModelVersion, figures: Any
) -> list[tuple[str, Any, Any]]:
    """(figure, of this model, of the other) for every figure that either run wrote down."""
    ours = dict(figures(version.manifest.get("metrics") or {}))
    theirs = dict(figures(other.manifest.get("metrics") or {}))
    return [(name, ours.get(name), theirs.get(name)) for name in {**ours, **theirs}]


def judged_lots(product: Product, viewpoint: UUID) -> list[Lot]:
    """The newest lots with production parts, for a choice."""
    parts = Inspection.objects.filter(
        viewpoint=viewpoint, purpose=Purpose.PRODUCTION, lot__isnull=False
    )
    recent = Lot.objects.filter(product=product, pk__in=parts.order_by().values("lot"))
    return list(recent.order_by("-id")[:LOTS])
