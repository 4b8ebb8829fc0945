"""Reads for the pages about models: lists with their gates, flips of a re-score."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Count, F, Q, QuerySet

from inspection.models import (
    Batch,
    Disposition,
    GateCheck,
    Inspection,
    Lot,
    ModelVersion,
    Product,
    Purpose,
    Verdict,
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


# --- flips of a re-score -------------------------------------------------------------------

_AUTO, _DOUBT = Disposition.AUTO, Disposition.NEEDS_REVIEW
BANDS = ("pass", "review", "fail", "error")


def said(band: str, path: str = "") -> Q:
    """What a machine said in one word, as a condition on an inspection at `path`."""
    verdict, disposition = f"{path}verdict", f"{path}disposition"
    judged = (Verdict.PASSED, Verdict.FAILED)
    if band == "review":
        return Q(**{f"{verdict}__in": judged, disposition: _DOUBT})
    if band == "error":
        return Q(**{f"{verdict}__in": (Verdict.ERROR, Verdict.SKIPPED)})
    wanted = Verdict.PASSED if band == "pass" else Verdict.FAILED
    return Q(**{verdict: wanted, disposition: _AUTO})


@dataclass(frozen=True)
class Move:
    """How many parts went from one word to another."""

    was: str
    will: str
    count: int


def moves(batch: Batch) -> tuple[list[Move], int, int]:
    """(changes, parts judged again, parts in all) of a re-scored lot, in one query."""
    pairs = [(was, will) for was in BANDS for will in BANDS]
    counts: dict[str, Any] = {
        f"{was}_{will}": Count("pk", filter=said(was, "origin__") & said(will))
        for was, will in pairs
    }
    found = _again(batch).aggregate(
        total=Count("pk"), done=Count("pk", filter=~Q(verdict="")), **counts
    )
    changed = [
        Move(was, will, found[f"{was}_{will}"])
        for was, will in pairs
        if was != will and found[f"{was}_{will}"]
    ]
    return changed, found["done"], found["total"]


def _again(batch: Batch) -> QuerySet[Inspection]:
    return Inspection.objects.filter(batch=batch, origin__isnull=False)


def flipped(batch: Batch, was: str = "", will: str = "") -> QuerySet[Inspection]:
    """Parts whose word changed, or those of one change; worst first."""
    rows = _again(batch).exclude(verdict="").select_related("origin", "unit")
    if was in BANDS and will in BANDS:
        rows = rows.filter(said(was, "origin__") & said(will))
    else:
        same = Q()
        for band in BANDS:
            same |= said(band, "origin__") & said(band)
        rows = rows.exclude(same)
    return rows.order_by(F("score").desc(nulls_last=True), "-id")
