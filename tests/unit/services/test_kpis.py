"""The figures against the worked example of docs/kpis.md, done by hand, and its edges."""

from dataclasses import replace

import pytest

from inspection.models import HourlyTally, Inspection, ReviewState, Unit, Verdict
from inspection.services import kpis, tallies
from inspection.services.kpis import Sums, Why
from tests.factories.jobs import make_batch, make_inspection

EXAMPLE = Sums(
    inspected=1000,
    passed=940,
    failed=40,
    review=20,
    confirmed=16,  # 15 of the called parts, 1 of the audited passes
    rejected=35,
    accepted=2,
    repaired=4,
    waiting=4,
    missed=1,
    audited=50,
    audited_bad=1,
    audit_weight=50 * 2000,
    audit_weight_bad=2000,
    audit_weight_squares=50 * 2000**2,
    opportunities=4000,
)
NOTHING = Sums()


def test_the_example_adds_up() -> None:
    called = EXAMPLE.caught + EXAMPLE.rejected + EXAMPLE.waiting
    assert EXAMPLE.called == called == 60
    assert EXAMPLE.passed + EXAMPLE.called == EXAMPLE.inspected


@pytest.mark.parametrize(
    ("figure", "numerator", "denominator", "value"),
    [
        (kpis.fpy_raw, 940, 1000, 0.94),
        (kpis.fpy_verified, 976, 1000, 0.976),
        (kpis.false_call_ppm, 35, 4000, 8750),
        (kpis.false_called_units, 35, 1000, 0.035),
        (kpis.overkill, 35, 974, 35 / 974),
        (kpis.dpmo, 22, 4000, 5500),
        (kpis.bad_among_passed, 1, 50, 0.02),
        (kpis.underkill, 18.8, 39.8, 18.8 / 39.8),
    ],
)
def test_figures(figure, numerator: float, denominator: float, value: float) -> None:  # type: ignore[no-untyped-def]
    found = figure(EXAMPLE)
    assert found.value == pytest.approx(value)
    assert (found.numerator, found.denominator) == pytest.approx((numerator, denominator))
    assert found.why is None


def test_escapes_are_unknown_until_one_was_reported() -> None:
    assert kpis.escape_rate(EXAMPLE, 3).value == pytest.approx(3 / 25)
    assert kpis.escape_rate(EXAMPLE, 0).value == 0
    unknown = kpis.escape_rate(EXAMPLE, None)
    assert (unknown.value, unknown.why) == (None, Why.UNKNOWN)


def test_the_interval_of_the_audits() -> None:
    found = kpis.bad_among_passed(EXAMPLE)
    # Wilson for 1 of 50 (e.g. Newcombe 1998): 0.35 % to 10.5 %
    assert found.low == pytest.approx(0.00354, abs=5e-5)
    assert found.high == pytest.approx(0.10495, abs=5e-5)
    rate = kpis.underkill(EXAMPLE)
    assert 0 < (rate.low or 0) < (rate.value or 0) < (rate.high or 0) < 1


def test_audits_are_weighed_by_how_rarely_they_were_drawn() -> None:
    """40 good parts drawn at 0.5 stand for 80, 10 drawn at 0.1 (2 bad) for 100."""
    mixed = replace(
        EXAMPLE,
        audited_bad=2,
        audit_weight=40 * 200 + 10 * 1000,
        audit_weight_bad=2 * 1000,
        audit_weight_squares=40 * 200**2 + 10 * 1000**2,
    )
    found = kpis.bad_among_passed(mixed)
    assert found.value == pytest.approx(20 / 180), "and not 2 / 50"
    effective = 180**2 / (40 * 2**2 + 10 * 10**2)
    assert (found.low, found.high) == kpis.wilson(20 / 180 * effective, effective)


def test_too_few_audits_say_so() -> None:
    few = replace(EXAMPLE, audited=29, audited_bad=0)
    for figure in (kpis.bad_among_passed, kpis.underkill):
        assert (figure(few).value, figure(few).why) == (None, Why.FEW_AUDITS)


def test_what_differs_by_more_than_chance() -> None:
    """95 of 100 against 85 of 100: z = 2.36; against 90 of 100: z = 1.34."""
    best, middle, worst = (kpis.ratio(n, 100) for n in (95, 90, 85))
    assert kpis.differ(best, worst)
    assert not kpis.differ(best, middle)
    assert not kpis.differ(best, kpis.ratio(0, 0))
    assert not kpis.differ(kpis.ratio(5, 5), kpis.ratio(9, 9))


def test_nothing_is_not_zero() -> None:
    for figure in (
        kpis.fpy_raw,
        kpis.fpy_verified,
        kpis.false_call_ppm,
        kpis.false_called_units,
        kpis.overkill,
        kpis.dpmo,
    ):
        assert (figure(NOTHING).value, figure(NOTHING).why) == (None, Why.NOTHING)
    assert kpis.escape_rate(NOTHING, 0).value is None
    clean = replace(NOTHING, inspected=100, passed=100, audited=40, audit_weight=8000)
    clean = replace(clean, audit_weight_squares=40 * 200**2)
    assert kpis.bad_among_passed(clean).value == 0
    assert kpis.underkill(clean).why == Why.NOTHING, "no bad part is known, passed or not"


def test_sums_add_up_field_by_field() -> None:
    both = kpis.total([EXAMPLE, EXAMPLE])
    assert both.inspected == 2000
    assert kpis.fpy_raw(both).value == kpis.fpy_raw(EXAMPLE).value


def test_p_chart() -> None:
    """p̄ = 20/400 = 0.05; n = 100 → ± 3·√(0.05·0.95/100) = ± 0.06538."""
    centre, groups = kpis.p_chart([(100, 2), (100, 3), (100, 12), (0, 0), (100, 3)])
    assert centre == pytest.approx(0.05)
    assert groups[0].high == pytest.approx(0.11538, abs=1e-5)
    assert groups[0].low == 0
    assert [group.outside for group in groups] == [False, False, True, False, False]
    assert groups[3].share is None
    assert kpis.p_chart([(0, 0)]) == (None, [kpis.Limits(0, 0, None, None, None)])


@pytest.mark.django_db
def test_retests_and_rescores_change_no_figure() -> None:
    batch = make_batch()
    unit = Unit.objects.create(product=batch.viewpoint.product, serial_number="S1")
    done = {"verdict": Verdict.FAILED, "disposition": "auto", "completed_at": batch.created_at}
    make_inspection(batch, unit=unit, is_record=True, **done)
    make_inspection(batch, unit=unit, **{**done, "verdict": Verdict.PASSED})
    make_inspection(batch, unit=unit, purpose="rescore", review_state=ReviewState.REJECTED, **done)
    tallies.recount()
    tally = HourlyTally.objects.values(*Sums.__dataclass_fields__.keys() - {"opportunities"}).get()
    sums = Sums(**tally, opportunities=1)
    assert Inspection.objects.count() == 3
    assert (kpis.fpy_raw(sums).value, kpis.fpy_raw(sums).denominator) == (0, 1)
    assert kpis.false_call_ppm(sums).value == 0
