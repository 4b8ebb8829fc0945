"""Agreement against an example that was worked out by hand, and what cannot be said."""

from datetime import timedelta

import pytest
from django.utils import timezone

from inspection.models import (
    Disposition,
    Inspection,
    Look,
    Product,
    Review,
    ReviewState,
    Role,
    User,
    Verdict,
)
from inspection.services.agreement import (
    FEW_AUDITS,
    NONE_OF_THEM,
    NOTHING,
    ONE_KIND,
    Rate,
    Span,
    Table,
    between_inspectors,
    model_and_inspectors,
    second_looks,
)
from tests.factories.batch import BatchFactory
from tests.factories.inspection import InspectionFactory
from tests.factories.product import ProductFactory
from tests.factories.station import StationFactory
from tests.factories.user import UserFactory

State = ReviewState


def figures(table: Table) -> list[float | None]:
    return [None if rate.value is None else round(rate.value, 6) for rate in table.rates()]


def table(both_bad: int, alarms: int, misses: int, both_good: int) -> Table:
    made = Table()
    made.add(True, True, both_bad)
    made.add(True, False, alarms)
    made.add(False, True, misses)
    made.add(False, False, both_good)
    return made


def test_the_worked_example() -> None:
    """Po = 85/100; Pe = (45·50 + 55·50)/100² = 0.5; κ = 0.35/0.5 = 0.7."""
    found = table(40, 5, 10, 45)
    assert figures(found) == [0.7, 0.85, 0.2, 0.1]
    assert [rate.of for rate in found.rates()] == [100, 100, 50, 50]
    assert [rate.band for rate in found.rates()] == ["marginal", "marginal", "poor", "marginal"]
    assert found.rows() == [
        {"said": True, "bad": 40, "good": 5},
        {"said": False, "bad": 10, "good": 45},
    ]


@pytest.mark.parametrize(
    ("counts", "wanted", "why"),
    [
        ((0, 0, 0, 0), [None] * 4, [NOTHING] * 4),
        ((7, 0, 0, 0), [None, 1.0, 0.0, None], [ONE_KIND, "", "", NONE_OF_THEM]),
        ((0, 0, 0, 7), [None, 1.0, None, 0.0], [ONE_KIND, "", NONE_OF_THEM, ""]),
        ((0, 3, 3, 0), [-1.0, 0.0, 1.0, 1.0], [""] * 4),
        ((5, 5, 0, 0), [0.0, 0.5, 0.0, 1.0], [""] * 4),
    ],
)
def test_what_cannot_be_divided_says_why(
    counts: tuple[int, int, int, int], wanted: list[float | None], why: list[str]
) -> None:
    found = table(*counts)
    assert figures(found) == wanted
    assert [rate.why for rate in found.rates()] == why


@pytest.mark.parametrize(
    ("name", "value", "band"),
    [
        ("kappa", 0.75, "good"),
        ("kappa", 0.7499, "marginal"),
        ("kappa", 0.3999, "poor"),
        ("effectiveness", 0.9, "good"),
        ("effectiveness", 0.8, "marginal"),
        ("effectiveness", 0.7999, "poor"),
        ("miss_rate", 0.02, "good"),
        ("miss_rate", 0.05, "marginal"),
        ("miss_rate", 0.0501, "poor"),
        ("false_alarm_rate", 0.05, "good"),
        ("false_alarm_rate", 0.1, "marginal"),
        ("false_alarm_rate", 0.1001, "poor"),
        ("miss_rate", None, ""),
    ],
)
def test_the_bands_are_those_of_an_msa(name: str, value: float | None, band: str) -> None:
    assert Rate(name, value, 1).band == band


@pytest.mark.django_db
class TestFromReviews:
    @pytest.fixture(autouse=True)
    def product_and_people(self) -> None:
        self.batch = BatchFactory()
        self.product: Product = self.batch.viewpoint.product
        self.ines: User = UserFactory(username="ines", role=Role.INSPECTOR)
        self.egon: User = UserFactory(username="egon", role=Role.INSPECTOR)

    @property
    def span(self) -> Span:
        now = timezone.now()
        return Span((self.product.pk,), now - timedelta(days=1), now + timedelta(days=1))

    def parts(self, n: int, state: ReviewState, **fields: object) -> list[Inspection]:
        by = {"batch": self.batch, "is_record": True, "reviewed_by": self.ines}
        return InspectionFactory.create_batch(n, **{**by, "review_state": state, **fields})

    def passed(self, n: int, state: ReviewState, rate: float | None = 0.1, **more: object) -> None:
        self.parts(n, state, verdict=Verdict.PASSED, audit_rate=rate, **more)

    def test_each_audited_pass_stands_for_as_many_as_its_chance_says(self) -> None:
        """Cells 18, 2, 1·10, 29·10 of 320; κ = (0.9625 − 0.8609375)/0.1390625."""
        self.parts(10, State.CONFIRMED)
        self.parts(6, State.ACCEPTED)
        self.parts(2, State.REPAIRED)
        self.parts(2, State.REJECTED)
        self.passed(1, State.CLOSED)
        self.passed(29, State.REJECTED)
        found, people = model_and_inspectors(self.span)
        assert figures(found) == [0.730337, 0.9625, 0.357143, 0.006849]
        assert [rate.of for rate in found.rates()] == [50, 50, 19, 31]
        assert [one.name for one in people] == ["ines"]
        assert figures(people[0].table) == figures(found)

    def test_doubts_are_reviewed_all_and_stand_for_themselves(self) -> None:
        self.parts(10, State.CONFIRMED)
        doubt = {"rate": None, "disposition": Disposition.NEEDS_REVIEW}
        self.passed(4, State.CONFIRMED, **doubt)  # type: ignore[arg-type]
        self.passed(30, State.REJECTED, rate=0.5)
        found, _ = model_and_inspectors(self.span)
        assert found.weights[False, True] == 4
        assert found.miss_rate().value == pytest.approx(4 / 14)

    def test_below_thirty_audits_nothing_is_said(self) -> None:
        self.parts(10, State.CONFIRMED)
        self.passed(29, State.REJECTED)
        found, _ = model_and_inspectors(self.span)
        assert {rate.why for rate in found.rates()} == {FEW_AUDITS}
        assert figures(found) == [None] * 4
        assert found.audits == 29

    def test_what_does_not_count_is_left_out(self) -> None:
        self.parts(3, State.CONFIRMED, is_record=False)  # a retest
        self.parts(3, State.NOT_VERIFIED)
        self.passed(3, State.REJECTED, rate=None)  # picked by hand, not by chance
        self.parts(3, State.CONFIRMED, completed_at=timezone.now() - timedelta(days=2))
        InspectionFactory(is_record=True, review_state=State.CONFIRMED)  # another product
        assert model_and_inspectors(self.span)[0].n == 0
        station = StationFactory()
        self.parts(2, State.CONFIRMED, station=station)
        on_line = Span(self.span.products, self.span.since, self.span.until, (station.pk,))
        assert model_and_inspectors(on_line)[0].n == model_and_inspectors(self.span)[0].n == 2
        nothing = Span((ProductFactory().pk,), self.span.since, self.span.until)
        assert model_and_inspectors(nothing)[0].n == 0

    def look_twice(self, first: ReviewState, second: ReviewState) -> Inspection:
        part = self.parts(1, first)[0]
        Review.objects.create(inspection=part, state=first, author=self.ines, second_look_rate=0.5)
        Review.objects.create(inspection=part, state=second, author=self.egon, look=Look.SECOND)
        return part

    def test_second_looks_against_first_ones(self) -> None:
        """40, 5, 10, 45 in tenths: the worked example again."""
        for first, second, n in (
            (State.CONFIRMED, State.CONFIRMED, 7),
            (State.REPAIRED, State.ACCEPTED, 1),
            (State.REJECTED, State.CONFIRMED, 1),
            (State.CONFIRMED, State.REJECTED, 2),
            (State.REJECTED, State.REJECTED, 9),
        ):
            for _ in range(n):
                self.look_twice(first, second)
        found, pairs = between_inspectors(self.span)
        assert figures(found) == [0.7, 0.85, 0.2, 0.1]
        assert [(pair.first, pair.second, pair.table.n) for pair in pairs] == [("ines", "egon", 20)]

    def test_undone_looks_and_later_changes_do_not_count(self) -> None:
        part = self.look_twice(State.CONFIRMED, State.REJECTED)
        Review.objects.create(inspection=part, state=State.REJECTED, author=self.ines)
        assert [one.first_state for one in second_looks(self.span)] == [State.CONFIRMED]
        second = Review.objects.get(look=Look.SECOND)
        Review.objects.create(
            inspection=part,
            state=State.CONFIRMED,
            author=self.egon,
            look=Look.SECOND,
            undoes=second,
        )
        assert between_inspectors(self.span)[0].n == 0
