"""How good verdicts are by kind: worst first, none hidden, nothing made up."""

from typing import Any

import pytest
from django.utils import timezone

from inspection.models import Batch, Disposition, Inspection, Purpose, Verdict
from inspection.services.by_kind import batch_by_kind, latest_labelled
from tests.factories.jobs import make_batch
from tests.factories.jobs import make_inspection as make_waiting

pytestmark = pytest.mark.django_db

FAIL = {"verdict": Verdict.FAILED, "disposition": Disposition.AUTO}
REVIEW = {"verdict": Verdict.PASSED, "disposition": Disposition.NEEDS_REVIEW}
PASS = {"verdict": Verdict.PASSED, "disposition": Disposition.AUTO}


def make_inspection(batch: Batch, **fields: Any) -> Inspection:
    return make_waiting(batch, completed_at=timezone.now(), **fields)


@pytest.fixture
def batch() -> Batch:
    made = make_batch(purpose=Purpose.TRIAL)
    for label, score, said in (
        ("good", 0.1, PASS), ("Good", 0.2, PASS), ("good", 0.6, REVIEW), ("good", 0.3, PASS),
        ("scratch", 0.9, FAIL), ("scratch", 0.5, REVIEW),
        ("stain", 0.25, PASS),
        ("", 0.99, FAIL),
    ):  # fmt: skip
        make_inspection(made, score=score, reference_label=label, **said)
    make_inspection(made, reference_label="bridge", score=None, verdict=Verdict.ERROR)
    return made


def test_kinds_stand_worst_first_with_their_shares(batch: Batch) -> None:
    found = batch_by_kind(batch)
    assert found
    assert [line.kind for line in found.kinds] == ["stain", "scratch"]
    stain, scratch = found.kinds
    assert (stain.pictures, stain.failed, stain.caught) == (1, 0.0, 0.0)
    assert (scratch.pictures, scratch.failed, scratch.caught) == (2, 0.5, 1.0)
    assert (found.defects.pictures, found.defects.failed) == (3, pytest.approx(1 / 3))
    assert (found.good.pictures, found.good.passed) == (4, 0.75), "“Good” is good"
    assert stain.auroc == pytest.approx(2 / 4)
    assert scratch.auroc == pytest.approx((4 + 3) / 8)
    assert found.auroc == pytest.approx((2 + 4 + 3) / 12)


def test_what_is_not_known_makes_no_figures() -> None:
    production = make_batch(purpose=Purpose.PRODUCTION)
    make_inspection(production, score=1.0, reference_label="scratch", **FAIL)
    assert batch_by_kind(production) is None
    unlabelled = make_batch(purpose=Purpose.TRIAL)
    make_inspection(unlabelled, score=1.0, **FAIL)
    assert batch_by_kind(unlabelled) is None
    make_inspection(unlabelled, score=1.0, reference_label="scratch", **FAIL)
    only_bad = batch_by_kind(unlabelled)
    assert only_bad
    assert only_bad.auroc is None
    assert only_bad.good.passed is None


def test_the_latest_labelled_batch_of_a_model(batch: Batch) -> None:
    version = batch.model_version
    later = make_batch(version, purpose=Purpose.TRIAL)
    make_inspection(later, score=0.4, **PASS)
    assert latest_labelled(version) == batch
    make_inspection(later, score=0.4, reference_label="good", **PASS)
    assert latest_labelled(version) == later
