"""What is known of a lot: every picture that was received and what became of it.

The totals are counted from the lines themselves, and compared with a count that the database
makes on its own; a report whose totals do not add up is not made.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Count, OuterRef, Q, QuerySet, Subquery

from inspection.errors import UserError
from inspection.models import (
    Batch,
    Disposition,
    Escape,
    Inspection,
    InspectionImage,
    Look,
    Lot,
    Purpose,
    Review,
    UploadReceipt,
    Verdict,
)

OUTCOMES = ("passed", "failed", "review", "error", "skipped", "waiting")
COUNTED = (Purpose.PRODUCTION, Purpose.TRIAL)
PIECE = 500


@dataclass(frozen=True)
class Picture:
    """One picture of the lot, as a line of the report says it."""

    inspection: Any
    file: str
    serial: str
    panel: str
    position: int
    purpose: str
    received_at: datetime
    outcome: str
    verdict: str
    disposition: str
    score: float | None
    p_value: float | None
    fail_above: float
    review_above: float
    model: int
    operating_point: int
    snapshot: int
    completed_at: datetime | None
    record: bool
    review_state: str
    reason_code: str
    reviewer: str
    reviewed_at: datetime | None
    comment: str
    sha256: str
    error: str


COLUMNS = tuple(Picture.__dataclass_fields__)[1:]

# Where each field of a Picture comes from, seen from an InspectionImage.
SOURCES = {
    "inspection": "inspection_id",
    "file": "file_name",
    "serial": "inspection__unit__serial_number",
    "panel": "inspection__unit__panel_id",
    "position": "inspection__unit__position_number",
    "purpose": "inspection__purpose",
    "received_at": "inspection__created_at",
    "verdict": "inspection__verdict",
    "result_verdict": "result__verdict",
    "disposition": "inspection__disposition",
    "result_disposition": "result__disposition",
    "score": "result__score",
    "p_value": "result__p_value",
    "fail_above": "inspection__operating_point__threshold_fail",
    "review_above": "inspection__operating_point__threshold_review",
    "model": "inspection__model_version__number",
    "operating_point": "inspection__operating_point__number",
    "snapshot": "inspection__model_version__training_run__snapshot__number",
    "completed_at": "inspection__completed_at",
    "record": "inspection__is_record",
    "review_state": "inspection__review_state",
    "reason_code": "inspection__review_reason__code",
    "reviewer": "inspection__reviewed_by__username",
    "reviewed_at": "inspection__reviewed_at",
    "sha256": "image__sha256",
    "error": "result__error",
}


@dataclass
class LotFacts:
    """A lot as it was when somebody looked; `pictures()` may be walked once more."""

    lot: Lot
    until: Any  # the newest picture when the report began: later ones are not part of it
    received: int
    totals: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, lot: Lot) -> "LotFacts":
        rows = _pictures_of(lot)
        newest = rows.order_by("-pk").values_list("pk", flat=True).first()
        return cls(lot, newest, rows.filter(pk__lte=newest).count() if newest else 0)

    def pictures(self) -> Iterator[Picture]:
        """Every picture, oldest first, in pieces of PIECE, so that memory stays bounded."""
        self.totals = Counter()
        last = None
        while self.until is not None:
            rows = _pictures_of(self.lot).filter(pk__lte=self.until)
            if last is not None:
                rows = rows.filter(pk__gt=last)
            found = list(rows.order_by("pk").values_list("pk", "note", *SOURCES.values())[:PIECE])
            for pk, note, *values in found:
                last = pk
                picture = _picture(dict(zip(SOURCES, values, strict=True)), note)
                self.totals[picture.outcome] += 1
                yield picture
            if len(found) < PIECE:
                return

    def check(self) -> None:
        """Raise unless what was walked adds up to what the database counted."""
        if sum(self.totals.values()) != self.received:
            raise UserError(
                "does_not_add_up",
                "The report would list {n} pictures of {received} received. Nothing was written; "
                "make it again.",
                n=sum(self.totals.values()),
                received=self.received,
            )

    def numbers(self) -> dict[str, int]:
        """Received, then what became of them, then what is not among them."""
        return {
            "received": self.received,
            **{name: self.totals[name] for name in OUTCOMES},
            **self.files(),
            "not_counted": self.not_counted(),
        }

    def files(self) -> dict[str, int]:
        """What the senders were answered, by receipts."""
        kinds = UploadReceipt.Outcome
        counts: dict[str, int] = self._receipts().aggregate(
            files_accepted=Count("pk", filter=Q(outcome=kinds.ACCEPTED)),
            files_already_there=Count("pk", filter=Q(outcome=kinds.DUPLICATE)),
            files_refused=Count("pk", filter=Q(outcome=kinds.REFUSED)),
        )
        return counts

    def refused(self) -> QuerySet[UploadReceipt]:
        """Files that were sent and not taken, with the reason that the sender was told."""
        return self._receipts().filter(outcome=UploadReceipt.Outcome.REFUSED).order_by("pk")

    def _receipts(self) -> QuerySet[UploadReceipt]:
        return UploadReceipt.objects.filter(
            upload__batch__in=Batch.objects.filter(lot=self.lot, purpose__in=COUNTED)
        )

    def not_counted(self) -> int:
        """Re-scores and golden sets: judged pictures of the lot that were received before."""
        return (
            InspectionImage.objects.filter(inspection__lot=self.lot).count()
            - _pictures_of(self.lot).count()
        )

    def escapes(self) -> QuerySet[Escape]:
        """Defects of the lot's units that were found downstream."""
        found = Escape.objects.filter(unit__lot=self.lot, withdrawn_at=None)
        return found.select_related("unit", "reason_code", "reported_by").order_by("found_at", "pk")

    def judges(self) -> list[dict[str, Any]]:
        """Which models, with which limits, judged how many pictures."""
        fields = {
            "model": "inspection__model_version__number",
            "viewpoint": "inspection__viewpoint__name",
            "method": "inspection__model_version__method",
            "stand_in": "inspection__model_version__backbone_is_stand_in",
            "manifest_sha256": "inspection__model_version__manifest_sha256",
            "snapshot": "inspection__model_version__training_run__snapshot__number",
            "operating_point": "inspection__operating_point__number",
            "fail_above": "inspection__operating_point__threshold_fail",
            "review_above": "inspection__operating_point__threshold_review",
            "alpha_fail": "inspection__operating_point__alpha_fail",
        }
        rows = _pictures_of(self.lot).order_by().values(*fields.values())
        counted = rows.annotate(n=Count("pk")).order_by(
            "inspection__model_version__number", "inspection__operating_point__number"
        )
        return [
            {**{name: row[path] for name, path in fields.items()}, "pictures": row["n"]}
            for row in counted
        ]

    def reviewers(self) -> list[dict[str, Any]]:
        """Who judged how many parts of the lot, by the review that holds."""
        rows: Any = (
            Inspection.objects.filter(
                lot=self.lot, purpose__in=COUNTED, origin=None, reviewed_by__isnull=False
            )
            .order_by()
            .values("reviewed_by__username", "review_state")
        )
        return list(rows.annotate(n=Count("pk")).order_by("reviewed_by__username", "review_state"))


def _pictures_of(lot: Lot) -> QuerySet[Any]:
    """Pictures that came with the lot: not those of a re-score, which were here before."""
    newest = Review.objects.filter(
        inspection=OuterRef("inspection_id"), look=Look.FIRST, undoes=None, undone_by=None
    ).order_by("-pk")
    return InspectionImage.objects.filter(
        inspection__lot=lot, inspection__origin=None, inspection__purpose__in=COUNTED
    ).annotate(note=Subquery(newest.values("comment")[:1]))


def _picture(values: dict[str, Any], note: str | None) -> Picture:
    verdict = values.pop("result_verdict") or values["verdict"] or ""
    disposition = values.pop("result_disposition") or values["disposition"] or ""
    values.update(verdict=verdict, disposition=disposition)
    texts = ("serial", "panel", "reason_code", "reviewer", "error")
    values.update({name: values[name] or "" for name in texts}, position=values["position"] or 0)
    return Picture(**values, outcome=outcome(verdict, disposition), comment=note or "")


def outcome(verdict: str, disposition: str) -> str:
    """One of OUTCOMES: they exclude each other and leave nothing out."""
    if verdict == Verdict.ERROR:
        return "error"
    if verdict == Verdict.SKIPPED:
        return "skipped"
    if verdict not in (Verdict.PASSED, Verdict.FAILED):
        return "waiting"
    if disposition == Disposition.NEEDS_REVIEW:
        return "review"
    return "passed" if verdict == Verdict.PASSED else "failed"
