"""Which known good and bad parts a model version has scored, and what its last lots would say
under other limits. Only scores of one version can be compared with each other."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from inspection.models import (
    DEFECT_STATES,
    Batch,
    Disposition,
    Escape,
    Inspection,
    Lot,
    ModelVersion,
    Purpose,
    ReviewState,
    Verdict,
)

from .models import calibration_scores
from .verdicts import DEVICE_MARGIN

GOOD = "good"
MOST = 5000  # of one source, the newest; more would not narrow any interval that matters
JUDGED = (Verdict.PASSED, Verdict.FAILED)


@dataclass
class Source:
    """Scores of parts that somebody knows the truth about, and from where it is known."""

    key: str
    scores: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Known:
    """`normals` begins with the calibration, which alone sets limits."""

    normals: list[Source]
    defects: list[Source]

    @property
    def normal_scores(self) -> list[float]:
        return [score for source in self.normals for score in source.scores]

    @property
    def defect_scores(self) -> list[float]:
        return [score for source in self.defects for score in source.scores]


def known_parts(version: ModelVersion) -> Known:
    """Every part whose truth is known, each picture once: golden set, then what inspectors
    confirmed, then escapes, then labelled trials.

    False calls that inspectors rejected are no sample of good parts (the model chose them), so
    they are not among the normals.
    """
    seen: set[UUID] = set()
    labelled = _labelled(version)
    golden = _split(labelled, Purpose.GOLDEN, seen)
    confirmed = Source("reviews", _fresh(_scored(version, **_PRODUCTION, **_CONFIRMED), seen))
    escaped = Source("escapes", _fresh(_escaped(version), seen))
    trials = _split(labelled, Purpose.TRIAL, seen)
    calibration = Source("calibration", calibration_scores(version))
    normals = [calibration, Source("golden", golden[0]), Source("trials", trials[0])]
    defects = [Source("golden", golden[1]), confirmed, escaped, Source("trials", trials[1])]
    return Known(
        [source for source in normals if source.scores or source is calibration],
        [source for source in defects if source.scores],
    )


_PRODUCTION: dict[str, Any] = {"purpose": Purpose.PRODUCTION}
_CONFIRMED: dict[str, Any] = {"review_state__in": DEFECT_STATES}


def _scored(version: ModelVersion, **which: Any) -> QuerySet[Inspection]:
    found = Inspection.objects.filter(model_version=version, score__isnull=False, **which)
    return found.filter(pictures__index=0).order_by("-id")


def _escaped(version: ModelVersion) -> QuerySet[Inspection]:
    """Records of units that came back: what the model said when it let them pass."""
    here = Q(viewpoint=OuterRef("viewpoint")) | Q(viewpoint=None)
    reported = Escape.objects.filter(here, unit=OuterRef("unit"), withdrawn_at=None)
    return _scored(version, is_record=True).filter(Exists(reported))


Labelled = tuple[UUID, float | None, str, str]


def _labelled(version: ModelVersion) -> list[Labelled]:
    """(picture, score, purpose, label) of parts that were known before they were scored."""
    rows = _scored(version, purpose__in=(Purpose.GOLDEN, Purpose.TRIAL))
    known = rows.exclude(reference_label="")
    return list(
        known.values_list("pictures__image", "score", "purpose", "reference_label")[: 2 * MOST]
    )


def _split(
    rows: list[Labelled], purpose: Purpose, seen: set[UUID]
) -> tuple[list[float], list[float]]:
    """(good, bad) scores of one purpose."""
    found: tuple[list[float], list[float]] = ([], [])
    for image, score, of, label in rows:
        if of == purpose and image not in seen:
            seen.add(image)
            found[label.lower() != GOOD].append(float(score or 0.0))
    return found


def _fresh(rows: QuerySet[Inspection], seen: set[UUID]) -> list[float]:
    """Scores of pictures that were not counted yet, newest scoring first."""
    scores = []
    for image, score in rows.values_list("pictures__image", "score")[:MOST]:
        if image not in seen:
            seen.add(image)
            scores.append(float(score or 0.0))
    return scores


# --- what the last lots would say ---------------------------------------------------------

PASS, FAIL, REVIEW = "pass", "fail", "review"
BANDS = (PASS, REVIEW, FAIL)
# A retest of a unit is listed, never counted; a part without a serial number has no retests.
COUNTED = Q(is_record=True) | Q(unit=None)
_AUTO, _DOUBT = Q(disposition=Disposition.AUTO), Q(disposition=Disposition.NEEDS_REVIEW)
WAS = {
    PASS: Q(verdict=Verdict.PASSED) & _AUTO,
    FAIL: Q(verdict=Verdict.FAILED) & _AUTO,
    REVIEW: Q(verdict__in=JUDGED) & _DOUBT,
}


def would_be(threshold_fail: float, threshold_review: float) -> dict[str, Q]:
    """`verdicts.judge` as conditions on a unit's score, which is its worst picture's."""
    margin = DEVICE_MARGIN * abs(threshold_fail)
    fails = Q(score__gt=threshold_fail + margin)
    doubtful = Q(score__gt=threshold_review) | Q(score__gte=threshold_fail - margin)
    return {FAIL: fails, REVIEW: ~fails & doubtful, PASS: ~fails & ~doubtful}


@dataclass
class LotChange:
    """One lot (or, of parts without a lot, one batch) under other limits."""

    kind: str
    key: UUID
    name: str
    total: int
    moved: dict[tuple[str, str], int]
    confirmed: int
    verified: int

    @property
    def changed(self) -> int:
        return sum(n for (was, will), n in self.moved.items() if was != will)

    def will(self, band: str) -> int:
        return sum(n for (_, will), n in self.moved.items() if will == band)

    def was(self, band: str) -> int:
        return sum(n for (was, _), n in self.moved.items() if was == band)

    @property
    def moves(self) -> list[tuple[str, str, int]]:
        """Only what changes: (was, would be, how many)."""
        return [(was, will, n) for (was, will), n in self.moved.items() if was != will and n]


def judged_parts(version: ModelVersion) -> QuerySet[Inspection]:
    """Production parts with a verdict and a score by this version, each unit once."""
    return Inspection.objects.filter(
        COUNTED,
        model_version=version,
        purpose=Purpose.PRODUCTION,
        verdict__in=JUDGED,
        score__isnull=False,
    )


def last_lots(version: ModelVersion, how_many: int) -> tuple[str, dict[UUID, str]]:
    """The newest lots that this version judged, or its newest batches where no lot is named:
    ("lot" | "batch", {key: name})."""
    lots = Lot.objects.filter(product_id=version.viewpoint.product_id)
    of_lots = _with_parts(lots.order_by("-id"), "lot", version, how_many)
    if of_lots:
        return "lot", of_lots
    batches = Batch.objects.filter(model_version=version, purpose=Purpose.PRODUCTION)
    return "batch", _with_parts(batches.order_by("-id"), "batch", version, how_many)


def _with_parts(
    rows: QuerySet[Any], name: str, version: ModelVersion, how_many: int
) -> dict[UUID, str]:
    """The first few of `rows` that hold parts which count."""
    has = Exists(judged_parts(version).filter(**{name: OuterRef("pk")}).order_by())
    return {row.pk: str(row) for row in rows.filter(has)[:how_many]}


def what_if(
    version: ModelVersion, threshold_fail: float, threshold_review: float, how_many: int
) -> list[LotChange]:
    """How the verdicts of the last lots would change, newest lot first, in three queries."""
    kind, names = last_lots(version, how_many)
    if not names:
        return []
    will = would_be(threshold_fail, threshold_review)
    pairs = [(was, new) for was in BANDS for new in BANDS]
    counts: dict[str, Any] = {
        f"{was}_{new}": Count("pk", filter=WAS[was] & will[new]) for was, new in pairs
    }
    verified = ~Q(review_state=ReviewState.NOT_VERIFIED)
    rows: Iterable[Any] = (
        judged_parts(version)
        .filter(**{f"{kind}__in": list(names)})
        .order_by()
        .values(kind)
        .annotate(
            total=Count("pk"),
            confirmed=Count("pk", filter=Q(review_state__in=DEFECT_STATES)),
            verified=Count("pk", filter=verified),
            **counts,
        )
    )
    found = {row[kind]: row for row in rows}
    return [
        LotChange(
            kind,
            key,
            name,
            found[key]["total"],
            {(was, new): found[key][f"{was}_{new}"] for was, new in pairs},
            found[key]["confirmed"],
            found[key]["verified"],
        )
        for key, name in names.items()
        if key in found
    ]


def changed_parts(
    version: ModelVersion, threshold_fail: float, threshold_review: float, *, was: str, new: str
) -> QuerySet[Inspection]:
    """Parts that move from one verdict to another under other limits."""
    moves = WAS[was] & would_be(threshold_fail, threshold_review)[new]
    return judged_parts(version).filter(moves)
