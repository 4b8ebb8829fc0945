"""What limits mean, against examples that were worked out by hand or are known from tables."""

import pytest

from inspection.errors import UserError
from inspection.models import AuditEvent, OperatingPoint
from inspection.services import operating
from inspection.services.models import set_operating_point
from inspection.services.operating import Step, rate
from tests.factories.jobs import make_version

NINE = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [
        (0, 5, 0.0, 0.5218),  # 1 - 0.025^(1/5)
        (5, 5, 0.4782, 1.0),
        (3, 10, 0.0667, 0.6525),  # Clopper & Pearson's table
        (50, 100, 0.3983, 0.6017),
        (0, 30, 0.0, 0.1157),
    ],
)
def test_intervals_are_those_of_the_tables(hits: int, of: int, low: float, high: float) -> None:
    found = rate(hits, of)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_nothing_seen_is_unknown_and_never_zero() -> None:
    nothing = rate(0, 0)
    assert nothing.value is None
    assert (nothing.low, nothing.high) == (0.0, 1.0)


def test_fewer_pictures_mean_a_wider_interval() -> None:
    few, many = rate(1, 10), rate(100, 1000)
    assert few.high - few.low > 5 * (many.high - many.low)


def test_a_limit_between_two_calibration_parts_promises_what_the_lower_one_does() -> None:
    assert operating.alpha_at(NINE, 0.9) == pytest.approx(0.1)
    assert operating.alpha_at(NINE, 0.85) == operating.alpha_at(NINE, 0.8) == pytest.approx(0.2)
    assert operating.alpha_at(NINE, 0.0) == pytest.approx(1.0)


def test_steps_go_from_the_tightest_promise_to_half_and_ties_are_one() -> None:
    assert [step.threshold for step in operating.steps(NINE)] == [0.9, 0.8, 0.7, 0.6]
    tied = operating.steps([0.1, 0.2, 0.3, 0.9, 0.9, 0.9])
    assert tied == [Step(pytest.approx(1 / 7), 0.9)]


def test_many_calibration_parts_have_few_enough_steps_for_a_slider() -> None:
    found = operating.steps([n / 5000 for n in range(5000)])
    assert len(found) < 150
    assert found[0].alpha == pytest.approx(1 / 5001)


def test_misses_count_what_nobody_would_look_at() -> None:
    missed = operating.missed([0.2, 0.5, 0.7, 0.9], 0.5)
    assert (missed.hits, missed.of) == (2, 4), "a score on the line is not above it"


def test_the_cost_of_a_worked_example() -> None:
    """99 calibration parts at 1 %: 10 of 1000 good parts fail. 20 of 1000 parts are bad, one
    of four known defects passes: 5 escapes at 100 and 980 · 0.01 = 9.8 false calls at 2."""
    scores = [n / 100 for n in range(1, 100)]
    fail, review = operating.step_for(scores, 0.01), operating.step_for(scores, 0.05)
    found = operating.figures(
        scores,
        [0.5, 2.0, 2.1, 2.2],
        fail,
        review,
        defect_rate=0.02,
        cost_escape=100.0,
        cost_overkill=2.0,
    )
    assert found.calls.expected == pytest.approx(10)
    assert found.calls.low <= 10 <= found.calls.high
    assert found.looks == pytest.approx(0.04)
    assert found.costs is not None
    assert found.costs.escapes == pytest.approx(500)
    assert found.costs.overkill == pytest.approx(19.6)
    assert found.costs.low < 519.6 < found.costs.high


@pytest.mark.parametrize("unknown", ["defect_rate", "cost_escape", "cost_overkill", "defects"])
def test_a_cost_with_anything_unknown_is_unknown(unknown: str) -> None:
    known: dict[str, float | None] = {
        "defect_rate": 0.02,
        "cost_escape": 100.0,
        "cost_overkill": 2.0,
    }
    if unknown in known:
        known[unknown] = None
    defects = [] if unknown == "defects" else [0.5]
    step = operating.step_for(NINE, 0.1)
    assert operating.figures(NINE, defects, step, step, **known).costs is None


def test_every_score_is_in_one_bin_and_far_defects_are_in_the_last() -> None:
    normals, defects = [0.1, 0.2, 0.2, 0.3], [0.25, 50.0, 60.0]
    bins = operating.histogram(normals, defects)
    assert sum(one.normals for one in bins) == 4
    assert sum(one.defects for one in bins) == 3
    assert bins[-1].defects == 2
    assert bins[-1].high == pytest.approx(0.3 + operating.BEYOND * 0.2)


@pytest.mark.django_db
class TestDrawing:
    def test_a_score_is_moved_down_to_the_next_calibration_part(self) -> None:
        point = set_operating_point(
            None, make_version(), threshold_fail=0.985, threshold_review=0.9, reason="customer"
        )
        assert (point.threshold_fail, point.threshold_review) == (0.98, 0.9)
        assert (point.alpha_fail, point.alpha_review) == (0.02, 0.1)
        event = AuditEvent.objects.get(action="model.operating_point")
        assert (event.before["alpha_fail"], event.after["alpha_fail"]) == (0.01, 0.02)

    def test_a_score_above_all_calibration_parts_is_refused_with_how_many_it_takes(self) -> None:
        with pytest.raises(UserError, match=r"199 for 0\.50%") as refusal:
            set_operating_point(
                None, make_version(), threshold_fail=1.5, threshold_review=0.9, reason="x"
            )
        assert (refusal.value.code, refusal.value.field) == ("threshold_too_high", "threshold_fail")
        assert OperatingPoint.objects.count() == 1

    def test_review_above_fail_is_refused(self) -> None:
        with pytest.raises(UserError, match="review rate"):
            set_operating_point(
                None, make_version(), threshold_fail=0.9, threshold_review=0.95, reason="x"
            )
