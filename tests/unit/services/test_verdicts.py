"""What a score means, and which inspection of a unit counts."""

import math

import pytest

from inspection.models import (
    Disposition,
    Image,
    ImageResult,
    Inspection,
    InspectionImage,
    OperatingPoint,
    Purpose,
    Unit,
    Verdict,
)
from inspection.services.verdicts import complete, judge, strongest_cell
from tests.factories.jobs import make_batch, make_image, make_inspection

POINT = OperatingPoint(threshold_fail=0.9, threshold_review=0.5)
AUTO, REVIEW = Disposition.AUTO, Disposition.NEEDS_REVIEW


@pytest.mark.parametrize(
    ("score", "verdict", "disposition"),
    [
        (0.2, Verdict.PASSED, AUTO),
        (0.5, Verdict.PASSED, AUTO),
        (0.6, Verdict.PASSED, REVIEW),
        (0.8999, Verdict.PASSED, REVIEW),
        (0.9, Verdict.PASSED, REVIEW),
        (0.9005, Verdict.FAILED, REVIEW),
        (0.95, Verdict.FAILED, AUTO),
    ],
)
def test_a_score_is_judged_by_its_place(
    score: float, verdict: Verdict, disposition: Disposition
) -> None:
    judgement = judge(score, POINT)
    assert (judgement.verdict, judgement.disposition) == (verdict, disposition)


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_never_passes(score: float) -> None:
    assert judge(score, POINT).verdict == Verdict.ERROR


def result(
    inspection: Inspection, verdict: Verdict, score: float | None, disposition: Disposition = AUTO
) -> ImageResult:
    picture = InspectionImage.objects.create(
        inspection=inspection,
        image=make_image(),
        index=inspection.pictures.count(),
        file_name="p.png",
    )
    return ImageResult.objects.create(
        inspection=inspection,
        picture=picture,
        model_version=inspection.model_version,
        operating_point=inspection.operating_point,
        verdict=verdict,
        disposition=disposition,
        score=score,
        p_value=None if score is None else 0.5,
    )


@pytest.mark.parametrize(
    ("middle", "cell"),
    [((0.0, 0.0), 0), ((0.99, 0.0), 7), ((0.13, 0.0), 1), ((0.0, 0.13), 8), ((1.0, 1.0), 63)],
)
def test_the_place_on_the_part_is_that_of_the_strongest_region(
    middle: tuple[float, float], cell: int
) -> None:
    x, y = middle
    weak = {"x": 0.4, "y": 0.4, "width": 0.2, "height": 0.2, "peak": 1.0}
    strong = {"x": x - 0.05, "y": y - 0.05, "width": 0.1, "height": 0.1, "peak": 2.0}
    results = [ImageResult(regions=[weak]), ImageResult(regions=[strong])]
    assert strongest_cell(results) == cell
    assert strongest_cell([ImageResult(regions=[])]) is None


@pytest.mark.django_db
class TestInspection:
    def test_the_worst_picture_decides(self) -> None:
        inspection = make_inspection(make_batch())
        results = [
            result(inspection, Verdict.PASSED, 0.2),
            result(inspection, Verdict.FAILED, 0.99),
            result(inspection, Verdict.PASSED, 0.6, REVIEW),
        ]
        assert complete(inspection, results)
        inspection.refresh_from_db()
        assert (inspection.verdict, inspection.disposition) == (Verdict.FAILED, AUTO)
        assert inspection.score == 0.99

    def test_a_picture_that_cannot_be_read_is_never_outvoted(self) -> None:
        inspection = make_inspection(make_batch())
        results = [
            result(inspection, Verdict.PASSED, 0.2),
            result(inspection, Verdict.ERROR, None, REVIEW),
        ]
        complete(inspection, results)
        inspection.refresh_from_db()
        assert inspection.verdict == Verdict.ERROR

    def test_a_verdict_is_written_once(self) -> None:
        inspection = make_inspection(make_batch())
        assert complete(inspection, [result(inspection, Verdict.PASSED, 0.2)])
        assert not complete(inspection, [result(inspection, Verdict.FAILED, 0.99)])
        inspection.refresh_from_db()
        assert inspection.verdict == Verdict.PASSED

    def decide(self, unit: Unit, verdict: Verdict = Verdict.PASSED, **fields: object) -> bool:
        batch = fields.pop("batch")
        inspection = make_inspection(batch, unit=unit, **fields)  # type: ignore[arg-type]
        complete(inspection, [result(inspection, verdict, 0.2)])
        inspection.refresh_from_db()
        return inspection.is_record

    def test_the_first_production_inspection_counts_and_later_ones_do_not(self) -> None:
        batch = make_batch()
        unit = Unit.objects.create(product=batch.viewpoint.product, serial_number="S1")
        assert not self.decide(unit, batch=batch, purpose=Purpose.TRIAL)
        assert not self.decide(unit, Verdict.ERROR, batch=batch), "an error decides nothing"
        assert self.decide(unit, Verdict.FAILED, batch=batch)
        assert not self.decide(unit, batch=batch), "a retest is listed, never counted"

    def test_without_a_serial_number_the_picture_is_the_part(self) -> None:
        batch, image = make_batch(), make_image()

        def counts(image: Image, **fields: object) -> bool:
            inspection = make_inspection(batch, image, **fields)
            complete(inspection, [result(inspection, Verdict.PASSED, 0.2)])
            inspection.refresh_from_db()
            return inspection.is_record

        assert not counts(image, purpose=Purpose.TRIAL)
        assert counts(image)
        assert not counts(image), "the same picture again is the same part"
        assert counts(make_image())
