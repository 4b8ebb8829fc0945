"""The lot report as PDF: totals, who and what judged, and every defect with its pictures."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.utils import timezone

from inspection.models import ImageResult, Review, ReviewState, User

from . import lot_csv, report_pictures
from .lot_facts import LotFacts, Picture
from .report_pdf import Pdf, in_parts

PICTURED = 1000  # defects with pictures; more are listed in the CSV, and the report says so
IN_A_PART = 20
REFUSED_SHOWN = 200
CONFIRMED = (
    ReviewState.CONFIRMED,
    ReviewState.ACCEPTED,
    ReviewState.REPAIRED,
    ReviewState.CLOSED,
)
Step = Callable[[str, int, int], None]
"""Told what is done, how much of it, and of how much; raises to stop."""


def write(facts: LotFacts, target: Path, step: Step, title: str, by: User | None) -> str:
    """Write the report; returns the SHA-256 of the contents, that of the CSV of the same facts."""
    defects: list[Picture] = []

    def seen(number: int, picture: Picture) -> None:
        if is_defect(picture):
            defects.append(picture)
        step("list", number, facts.received)

    contents = lot_csv.write(facts, None, seen)
    document = Pdf(title)
    document.add("reports/pdf/lot.html", _cover(facts, defects, contents, by))
    done = 0
    for some in in_parts(defects[:PICTURED], IN_A_PART):
        step("pictures", done, min(len(defects), PICTURED))
        _add_defects(document, some, done)
        done += len(some)
    step("write", 0, 1)
    document.write(target)
    return contents


def is_defect(picture: Picture) -> bool:
    """What the report shows: failed or in doubt by the machine, or a defect to a person."""
    return picture.outcome in ("failed", "review") or picture.review_state in CONFIRMED


def _cover(
    facts: LotFacts, defects: list[Picture], contents: str, by: User | None
) -> dict[str, Any]:
    numbers = facts.numbers()
    return {
        "lot": facts.lot,
        "numbers": numbers,
        "judges": facts.judges(),
        "reviewers": _reviewers(facts),
        "escapes": list(facts.escapes()),
        "refused": list(facts.refused()[:REFUSED_SHOWN]),
        "refused_more": max(0, numbers["files_refused"] - REFUSED_SHOWN),
        "defects": len(defects),
        "pictured": min(len(defects), PICTURED),
        "contents_sha256": contents,
        "made_at": timezone.now(),
        "by": by,
    }


def _reviewers(facts: LotFacts) -> list[dict[str, Any]]:
    return [
        {
            "name": row["reviewed_by__username"],
            "state": ReviewState(row["review_state"]).label,
            "n": row["n"],
        }
        for row in facts.reviewers()
    ]


def _add_defects(document: Pdf, defects: list[Picture], before: int) -> None:
    ids = [picture.inspection for picture in defects]
    found = ImageResult.objects.filter(inspection__in=ids).select_related("picture")
    results = {(one.inspection_id, one.picture.file_name): one for one in found}
    reviews: dict[Any, list[Review]] = {}
    said = Review.objects.filter(inspection__in=ids, undoes=None, undone_by=None)
    for review in said.select_related("author", "reason_code").order_by("pk"):
        reviews.setdefault(review.inspection_id, []).append(review)
    pictures: dict[str, Callable[[], bytes]] = {}
    lines = []
    for number, defect in enumerate(defects, start=before + 1):
        result = results.get((defect.inspection, defect.file))
        kept = report_pictures.of_result(result) if result else {}
        pictures |= kept
        lines.append(
            {
                "number": number,
                "defect": defect,
                "result": result,
                "kept": list(kept),
                "reviews": reviews.get(defect.inspection, []),
            }
        )
    document.add("reports/pdf/defects.html", {"lines": lines}, pictures)
