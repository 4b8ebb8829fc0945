"""The lot report: every picture once, totals that add up, and nobody's formula."""

import csv
import hashlib
import io
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from inspection.errors import UserError
from inspection.models import Disposition, Lot, Purpose, UploadReceipt, Verdict
from inspection.services import lot_csv, lot_facts
from inspection.services.lot_facts import LotFacts
from tests.factories.batch import BatchFactory
from tests.factories.inspection import (
    ImageResultFactory,
    InspectionFactory,
    InspectionImageFactory,
)
from tests.factories.report import LotFactory
from tests.factories.upload import UploadFactory, UploadReceiptFactory

pytestmark = pytest.mark.django_db
AUTO, REVIEW = Disposition.AUTO, Disposition.NEEDS_REVIEW


def judged(lot: Lot, verdict: str, disposition: str = AUTO, **fields: Any) -> Any:
    batch = fields.pop("batch", None) or BatchFactory(lot=lot)
    inspection = InspectionFactory(
        batch=batch, lot=lot, verdict=verdict, disposition=disposition, **fields
    )
    return ImageResultFactory(picture__inspection=inspection)


def rows(lot: Lot) -> list[dict[str, str]]:
    sink = io.BytesIO()
    lot_csv.write(LotFacts.of(lot), sink, lambda n, p: None)
    return list(csv.DictReader(io.StringIO(sink.getvalue().decode(), newline="")))


def totals(lot: Lot) -> dict[str, int]:
    return {row["file"]: int(row["outcome"]) for row in rows(lot) if row["row"] == "total"}


@pytest.fixture
def lot(db: None) -> Lot:
    """Two passed, one of each other kind, and one that waits."""
    lot = LotFactory()
    for _ in range(2):
        judged(lot, Verdict.PASSED)
    judged(lot, Verdict.FAILED)
    judged(lot, Verdict.FAILED, REVIEW)
    judged(lot, Verdict.PASSED, REVIEW)
    judged(lot, Verdict.ERROR, REVIEW, score=None)
    batch = BatchFactory(lot=lot)
    skipped = InspectionFactory(batch=batch, lot=lot, verdict=Verdict.SKIPPED, score=None)
    waiting = InspectionFactory(batch=batch, lot=lot, waiting=True)
    for inspection in (skipped, waiting):
        InspectionImageFactory(inspection=inspection)
    return lot


def test_the_totals_add_up_to_what_was_received(lot: Lot) -> None:
    found = totals(lot)
    outcomes = {name: found[name] for name in lot_facts.OUTCOMES}
    assert outcomes == {
        "passed": 2,
        "failed": 1,
        "review": 2,
        "error": 1,
        "skipped": 1,
        "waiting": 1,
    }
    assert found["received"] == sum(outcomes.values()) == 8
    assert len([row for row in rows(lot) if row["row"] == "picture"]) == 8


def test_other_lots_re_scores_and_golden_sets_are_not_counted(lot: Lot) -> None:
    judged(LotFactory(product=lot.product), Verdict.FAILED)
    origin = lot.inspections.first()
    judged(lot, Verdict.FAILED, purpose=Purpose.RESCORE, origin=origin)
    judged(lot, Verdict.FAILED, purpose=Purpose.GOLDEN)
    judged(lot, Verdict.FAILED, purpose=Purpose.TRIAL)
    found = totals(lot)
    assert (found["received"], found["failed"], found["not_counted"]) == (9, 2, 2)


def test_an_inspection_of_several_pictures_counts_each(lot: Lot) -> None:
    result = judged(lot, Verdict.FAILED)
    other = InspectionImageFactory(inspection=result.inspection, index=1)
    ImageResultFactory(picture=other, verdict=Verdict.PASSED)
    found = totals(lot)
    assert (found["received"], found["failed"], found["passed"]) == (10, 2, 3)


def test_refused_files_are_listed_with_the_reason(lot: Lot) -> None:
    upload = UploadFactory(dataset=None, batch=lot.batches.first())
    UploadReceiptFactory(upload=upload)
    UploadReceiptFactory(
        upload=upload,
        outcome=UploadReceipt.Outcome.REFUSED,
        file_name="=cmd.png",
        message="=cmd.png is cut off.",
    )
    [refused] = [row for row in rows(lot) if row["row"] == "refused"]
    assert (refused["file"], refused["error"]) == ("'=cmd.png", "'=cmd.png is cut off.")
    found = totals(lot)
    assert (found["files_accepted"], found["files_refused"]) == (1, 1)


def test_the_last_line_is_the_hash_of_all_above(lot: Lot) -> None:
    sink = io.BytesIO()
    contents = lot_csv.write(LotFacts.of(lot), sink, lambda n, p: None)
    above, last = sink.getvalue().rsplit(b"sha256,", 1)
    assert contents == hashlib.sha256(above).hexdigest()
    assert last.startswith(contents.encode())
    assert contents == lot_csv.write(LotFacts.of(lot), None, lambda n, p: None)


def test_what_comes_while_it_is_made_is_not_half_in_it(lot: Lot) -> None:
    facts = LotFacts.of(lot)
    judged(lot, Verdict.FAILED)
    lot_csv.write(facts, None, lambda n, p: None)
    assert sum(facts.totals.values()) == facts.received == 8


def test_a_report_that_does_not_add_up_is_not_made(lot: Lot) -> None:
    facts = LotFacts.of(lot)
    facts.received += 1
    with pytest.raises(UserError, match="8 pictures of 9"):
        lot_csv.write(facts, None, lambda n, p: None)


def test_an_empty_lot_has_a_report_of_nothing(db: None) -> None:
    assert totals(LotFactory())["received"] == 0


def test_more_pictures_are_not_more_questions_each(
    lot: Lot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lot_facts, "PIECE", 4)
    with CaptureQueriesContext(connection) as asked:
        listed = [picture.file for picture in LotFacts.of(lot).pictures()]
    assert len(listed) == len(set(listed)) == 8
    assert len(asked) == 2 + 3


def test_who_judged_and_who_looked(lot: Lot) -> None:
    judges = LotFacts.of(lot).judges()
    assert sum(judge["pictures"] for judge in judges) == 8
    assert {judge["fail_above"] for judge in judges} == {0.99}
