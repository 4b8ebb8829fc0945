"""How good the verdicts are where it is known what the parts were."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inspection import ml_adapter
from inspection.models import Batch, Disposition, Inspection, TrainingRun, Verdict

from .notebook import Notebook

GOOD = "good"


@dataclass(frozen=True)
class Scored:
    """One picture: what it is known to be, and what was said of it."""

    kind: str
    score: float
    failed: bool
    review: bool

    @property
    def is_defect(self) -> bool:
        return self.kind != GOOD


def scored_pictures(batch: Batch) -> list[Scored]:
    """Every inspection of `batch`. One that failed for sure counts as failed, not as review."""
    rows = Inspection.objects.filter(batch=batch).exclude(score=None).order_by("id")
    return [
        Scored(
            kind=row.reference_label or GOOD,
            score=float(row.score or 0.0),
            failed=row.verdict == Verdict.FAILED,
            review=row.verdict != Verdict.FAILED and row.disposition == Disposition.NEEDS_REVIEW,
        )
        for row in rows
    ]


def summary(
    run: TrainingRun, batch: Batch | None, notebook: Notebook, install_seconds: float
) -> dict[str, Any]:
    """The figures as a program wants them: the last line of `make demo ONCE=1`."""
    pictures = scored_pictures(batch) if batch else []
    seconds = notebook.seconds
    imported = seconds.get("draw", 0.0) + seconds.get("import", 0.0)
    return {
        "product": run.viewpoint.product.code,
        "train_images": run.snapshot.items.count(),
        "scored": len(pictures),
        "verdicts": {
            "pass": sum(not p.failed and not p.review for p in pictures),
            "fail": sum(p.failed for p in pictures),
            "review": sum(p.review for p in pictures),
        },
        "image_auroc": _rounded(image_auroc(pictures)),
        "recall": _rounded(_share(p.failed for p in pictures if p.is_defect)),
        "tnr": _rounded(_share(not p.failed for p in pictures if not p.is_defect)),
        "seconds": {
            "install": round(install_seconds, 1),
            "import": round(imported, 1),
            "train": round(seconds.get("train", 0.0), 1),
            "score": round(seconds.get("score", 0.0), 1),
        },
        "scoring_backbone": run.model_version.scoring_backbone,
    }


def report(pictures: list[Scored], folder: Path) -> list[str]:
    """The same for a person: every kind of defect, and the naive template beside ours."""
    if not pictures:
        return []
    lines = [f"{'kind':<20}{'pictures':>9}{'fail':>8}{'fail or review':>16}"]
    for kind, of_kind in sorted(_by_kind(pictures).items()):
        failed = _share(p.failed for p in of_kind)
        caught = _share(p.failed or p.review for p in of_kind)
        lines.append(f"{kind:<20}{len(of_kind):>9}{_percent(failed):>8}{_percent(caught):>16}")
    return [*lines, *_overall(pictures, folder)]


def _overall(pictures: list[Scored], folder: Path) -> list[str]:
    lines = []
    tnr = _share(not p.failed for p in pictures if not p.is_defect)
    if tnr is not None:
        lines.append(f"Good parts that do not fail (TNR): {_percent(tnr)}")
    ours = image_auroc(pictures)
    if ours is None:
        return [*lines, "AUROC: unknown, it needs both good and defective test pictures"]
    template = ml_adapter.template_auroc(folder)
    scores, labels = [p.score for p in pictures], [p.is_defect for p in pictures]
    recall = ml_adapter.recall_at_tnr(scores, labels, 0.60)
    beside = f"{template:.3f}" if template is not None else "unknown"
    lines.append(f"AUROC: {ours:.3f}  (a naive template on the same pictures: {beside})")
    return [*lines, f"Recall where 60 % of the good parts pass: {_percent(recall)}"]


def image_auroc(pictures: list[Scored]) -> float | None:
    """None where there are not both good and defective pictures."""
    labels = [p.is_defect for p in pictures]
    if all(labels) or not any(labels):
        return None
    return ml_adapter.auroc([p.score for p in pictures], labels)


def _by_kind(pictures: list[Scored]) -> dict[str, list[Scored]]:
    kinds: dict[str, list[Scored]] = defaultdict(list)
    for picture in pictures:
        kinds[picture.kind].append(picture)
    return kinds


def _share(flags: Iterable[bool]) -> float | None:
    values = list(flags)
    return sum(values) / len(values) if values else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"
