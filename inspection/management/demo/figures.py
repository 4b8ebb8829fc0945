"""How good the verdicts are where it is known what the parts were, as the terminal says it."""

from pathlib import Path
from typing import Any

from inspection import ml_adapter
from inspection.models import Batch, TrainingRun
from inspection.services.by_kind import (
    GOOD,
    Scored,
    by_kind,
    image_auroc,
    scored_pictures,
    share,
)

from .notebook import Notebook


def summary(
    run: TrainingRun, batch: Batch | None, notebook: Notebook, install_seconds: float
) -> dict[str, Any]:
    """The figures as a program wants them: the last line of `make demo ONCE=1`."""
    pictures = pictures_of(batch)
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
        "recall": _rounded(share(p.failed for p in pictures if p.is_defect)),
        "tnr": _rounded(share(not p.failed for p in pictures if not p.is_defect)),
        "seconds": {
            "install": round(install_seconds, 1),
            "import": round(imported, 1),
            "train": round(seconds.get("train", 0.0), 1),
            "score": round(seconds.get("score", 0.0), 1),
        },
        "scoring_backbone": run.model_version.scoring_backbone,
    }


def pictures_of(batch: Batch | None) -> list[Scored]:
    """Every inspection of `batch`; what lies in no folder of a kind is taken for good."""
    return scored_pictures(batch, unlabelled=GOOD) if batch else []


def report(pictures: list[Scored], folder: Path) -> list[str]:
    """The same for a person: every kind of defect, and the naive template beside ours."""
    found = by_kind(pictures)
    if found is None:
        return []
    head = f"{'kind':<20}{'pictures':>9}{'fail':>8}{'fail or review':>16}{'AUROC':>8}"
    lines = [
        f"{line.kind:<20}{line.pictures:>9}{_percent(line.failed):>8}"
        f"{_percent(line.caught):>16}{_three(line.auroc):>8}".rstrip()
        for line in found.lines
    ]
    return [head, *lines, *_overall(pictures, folder)]


def _overall(pictures: list[Scored], folder: Path) -> list[str]:
    lines = []
    tnr = share(not p.failed for p in pictures if not p.is_defect)
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


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"


def _three(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
