"""Flips of a re-score: parts of a lot of which another version says something else."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Count, F, Q, QuerySet

from inspection.models import Batch, Disposition, Inspection, Verdict

from .verdict_facts import FACTS_OF

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


# What `verdict_facts` reads of a part and of what it repeats.
TOLD = tuple(f"{path}{name}" for path in ("", "origin__") for name in FACTS_OF)


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
