"""Which parts count as known, and which verdicts of the last lots other limits would change."""

import pytest
from django.utils import timezone

from inspection.models import (
    Escape,
    Inspection,
    ModelVersion,
    OperatingPoint,
    Purpose,
    ReviewState,
    Unit,
    User,
    Verdict,
)
from inspection.services.score_sources import changed_parts, judged_parts, known_parts, what_if
from inspection.services.verdicts import judge
from tests.factories.batch import BatchFactory
from tests.factories.inspection import InspectionFactory, InspectionImageFactory
from tests.factories.jobs import make_version

pytestmark = pytest.mark.django_db


def scored(
    version: ModelVersion, score: float, purpose: str = "production", **fields: object
) -> Inspection:
    batch = BatchFactory(model_version=version, purpose=purpose)
    inspection = InspectionFactory(batch=batch, score=score, **fields)
    InspectionImageFactory(inspection=inspection)
    return inspection


def by_source(version: ModelVersion) -> dict[str, list[float]]:
    return {source.key: source.scores for source in known_parts(version).defects}


def test_defects_come_from_labels_reviews_and_escapes_each_picture_once() -> None:
    version = make_version()
    golden = scored(version, 1.1, Purpose.GOLDEN, reference_label="scratch")
    scored(version, 0.3, Purpose.GOLDEN, reference_label="good")
    again = InspectionFactory(
        batch=BatchFactory(model_version=version, purpose=Purpose.TRIAL),
        score=1.1,
        reference_label="scratch",
    )
    InspectionImageFactory(inspection=again, image=golden.pictures.get().image)
    scored(version, 1.2, review_state=ReviewState.CONFIRMED)
    scored(version, 1.3, review_state=ReviewState.REJECTED)
    unit = Unit.objects.create(product=version.viewpoint.product, serial_number="S1")
    scored(version, 0.4, unit=unit, is_record=True, verdict=Verdict.PASSED)
    Escape.objects.create(
        unit=unit,
        found_at=timezone.now(),
        found_where="customer",
        reported_by=User.objects.create(username="q"),
    )
    assert by_source(version) == {"golden": [1.1], "reviews": [1.2], "escapes": [0.4]}
    normals = {source.key: len(source.scores) for source in known_parts(version).normals}
    assert normals == {"calibration": 99, "golden": 1}


def test_scores_of_another_version_are_never_mixed_in() -> None:
    version = make_version()
    scored(make_version(), 1.1, Purpose.GOLDEN, reference_label="scratch")
    assert by_source(version) == {}


@pytest.mark.parametrize("fail", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("review", [0.3, 0.5])
def test_what_would_be_is_exactly_what_judging_again_says(fail: float, review: float) -> None:
    version = make_version()
    old = version.operating_points.get()
    batch = BatchFactory(model_version=version)
    scores = [0.1, 0.3, 0.31, 0.4999, 0.5, 0.5004, 0.6, 0.8995, 0.9, 0.9005, 0.96, 0.99, 1.4]
    for score in scores:
        said = judge(score, old)
        InspectionFactory(
            batch=batch, score=score, verdict=said.verdict, disposition=said.disposition
        )
    new = OperatingPoint(threshold_fail=fail, threshold_review=review)

    def band(point: OperatingPoint, score: float) -> str:
        said = judge(score, point)
        if said.disposition != "auto":
            return "review"
        return "pass" if said.verdict == Verdict.PASSED else "fail"

    (change,) = what_if(version, fail, review, 5)
    expected: dict[tuple[str, str], int] = {}
    for score in scores:
        move = band(old, score), band(new, score)
        expected[move] = expected.get(move, 0) + 1
    assert {move: n for move, n in change.moved.items() if n} == expected
    assert change.total == len(scores)
    for (was, will), n in expected.items():
        assert changed_parts(version, fail, review, was=was, new=will).count() == n


def test_lots_come_before_batches_newest_first_and_retests_do_not_count() -> None:
    version = make_version()
    product = version.viewpoint.product
    lots = [product.lots.create(code=f"L{n}") for n in range(3)]
    for lot in lots:
        batch = BatchFactory(model_version=version, lot=lot)
        unit = Unit.objects.create(product=product, serial_number=lot.code)
        InspectionFactory(batch=batch, lot=lot, unit=unit, is_record=True)
        InspectionFactory(batch=batch, lot=lot, unit=unit)
    found = what_if(version, 0.9, 0.5, 2)
    assert [(change.kind, change.name, change.total) for change in found] == [
        ("lot", "L2", 1),
        ("lot", "L1", 1),
    ]
    assert judged_parts(version).count() == 3
    assert Inspection.objects.count() == 6


def test_a_model_without_production_has_no_what_if() -> None:
    assert what_if(make_version(), 0.9, 0.5, 10) == []
