"""How good the verdicts of a batch are, kind by kind, where it is known what the parts were.

The terminal of `make demo`, the page of a batch and the page of a model show the same figures.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from inspection import ml_adapter
from inspection.models import Batch, Disposition, Inspection, ModelVersion, Purpose, Verdict

GOOD = "good"
LABELLED = (Purpose.TRIAL, Purpose.GOLDEN)  # the only ones whose folder names say the kind


@dataclass(frozen=True)
class Scored:
    """One picture: what it is known to be, and what was said of it. One that failed for sure
    counts as failed, not as review."""

    kind: str
    score: float
    failed: bool
    review: bool

    @property
    def is_defect(self) -> bool:
        return self.kind.lower() != GOOD


@dataclass(frozen=True)
class KindLine:
    """What was said of all pictures of one kind. Shares are None where there are none."""

    kind: str
    pictures: int
    failed: float | None
    caught: float | None
    auroc: float | None

    @property
    def is_good(self) -> bool:
        return self.kind.lower() == GOOD

    @property
    def passed(self) -> float | None:
        return None if self.caught is None else 1.0 - self.caught


@dataclass(frozen=True)
class ByKind:
    """Every kind of defect, the worst found first; all of them; and the good parts."""

    kinds: list[KindLine]
    defects: KindLine
    good: KindLine

    @property
    def auroc(self) -> float | None:
        return self.defects.auroc

    @property
    def lines(self) -> list[KindLine]:
        """Every kind that has pictures, the good parts last."""
        return [*self.kinds, *([self.good] if self.good.pictures else [])]


def scored_pictures(batch: Batch, unlabelled: str = "") -> list[Scored]:
    """Every scored inspection of `batch` whose kind is known; with `unlabelled`, the others too,
    as that kind."""
    rows = Inspection.objects.filter(batch=batch).exclude(score=None).order_by("id")
    if not unlabelled:
        rows = rows.exclude(reference_label="")
    found = rows.values_list("reference_label", "score", "verdict", "disposition")
    return [
        Scored(
            kind=label or unlabelled,
            score=float(score or 0.0),
            failed=verdict == Verdict.FAILED,
            review=verdict != Verdict.FAILED and disposition == Disposition.NEEDS_REVIEW,
        )
        for label, score, verdict, disposition in found
    ]


def by_kind(pictures: Sequence[Scored]) -> ByKind | None:
    """None where no picture's kind is known."""
    if not pictures:
        return None
    groups: dict[str, list[Scored]] = defaultdict(list)
    for picture in pictures:
        groups[picture.kind if picture.is_defect else GOOD].append(picture)
    good = groups.pop(GOOD, [])
    kinds = [_line(kind, found, good) for kind, found in groups.items()]
    kinds.sort(key=lambda line: (line.failed or 0.0, line.caught or 0.0, line.kind))
    defects = [picture for found in groups.values() for picture in found]
    return ByKind(kinds, _line("", defects, good), _line(GOOD, good, []))


def batch_by_kind(batch: Batch) -> ByKind | None:
    """The figures of one batch; None where folder names did not say what the parts are."""
    return by_kind(scored_pictures(batch)) if batch.purpose in LABELLED else None


def latest_labelled(version: ModelVersion) -> Batch | None:
    """The newest batch judged by `version` whose parts are known."""
    known = Inspection.objects.filter(model_version=version, purpose__in=LABELLED)
    known = known.exclude(reference_label="").exclude(score=None).exclude(batch=None)
    last = known.select_related("batch").order_by("-id").first()
    return last.batch if last else None


def image_auroc(pictures: Sequence[Scored]) -> float | None:
    """None where there are not both good and defective pictures."""
    labels = [p.is_defect for p in pictures]
    if all(labels) or not any(labels):
        return None
    return ml_adapter.auroc([p.score for p in pictures], labels)


def _line(kind: str, found: list[Scored], good: list[Scored]) -> KindLine:
    return KindLine(
        kind=kind,
        pictures=len(found),
        failed=share(p.failed for p in found),
        caught=share(p.failed or p.review for p in found),
        auroc=image_auroc([*found, *good]) if good else None,
    )


def share(flags: Iterable[bool]) -> float | None:
    """Of the flags, how many are true; None of none."""
    values = list(flags)
    return sum(values) / len(values) if values else None
