"""Who judges which part next, alone and with others at the same moment."""

from collections import Counter
from datetime import timedelta
from uuid import UUID

import pytest
from django.utils import timezone

from inspection.models import (
    Disposition,
    Inspection,
    Look,
    Purpose,
    ReviewClaim,
    ReviewState,
    Role,
    User,
    Verdict,
)
from inspection.services import review_queue, reviews
from inspection.services.review_queue import Queue, counts, next_for, release, renew
from inspection.services.reviews import record_review, undo_and_hold, undo_review
from tests.factories.batch import BatchFactory
from tests.factories.inspection import InspectionFactory
from tests.factories.membership import MembershipFactory
from tests.factories.station import StationFactory
from tests.factories.user import UserFactory
from tests.threads import at_once

ALL = Queue()
SECOND = Queue(look=Look.SECOND)


@pytest.fixture
def ines(db: None) -> User:
    return UserFactory(username="ines", role=Role.INSPECTOR)


@pytest.fixture
def egon(db: None) -> User:
    return UserFactory(username="egon", role=Role.INSPECTOR)


def parts(how_many: int, **fields: object) -> list[Inspection]:
    return InspectionFactory.create_batch(how_many, batch=BatchFactory(), **fields)


def test_fails_doubts_and_audits_wait_and_nothing_else(ines: User) -> None:
    batch = BatchFactory()
    fail = InspectionFactory(batch=batch)
    doubt = InspectionFactory(
        batch=batch, verdict=Verdict.PASSED, disposition=Disposition.NEEDS_REVIEW
    )
    audit = InspectionFactory(batch=batch, verdict=Verdict.PASSED, audit_rate=0.1)
    close = InspectionFactory(batch=batch, disposition=Disposition.NEEDS_REVIEW)
    InspectionFactory(batch=batch, verdict=Verdict.PASSED)
    InspectionFactory(batch=batch, waiting=True)
    InspectionFactory(batch=batch, verdict=Verdict.ERROR, disposition=Disposition.NEEDS_REVIEW)
    InspectionFactory(batch=batch, review_state=ReviewState.CONFIRMED)
    InspectionFactory(batch=BatchFactory(purpose=Purpose.TRIAL))
    assert next_for(ines, ALL, count=20) == [fail, doubt, audit, close]
    assert next_for(ines, Queue(kind="fail"), count=20) == [fail]
    assert next_for(ines, Queue(kind="review"), count=20) == [doubt, close]
    assert next_for(ines, Queue(kind="audit"), count=20) == [audit]
    found = counts(ines, ALL)
    assert {k: found[k] for k in ("all", "fail", "review", "audit")} == {
        "all": 4,
        "fail": 1,
        "review": 2,
        "audit": 1,
    }


def test_only_what_one_may_review_and_works_on(ines: User) -> None:
    station = StationFactory(line="SMT 2")
    mine, other = parts(1, station=station)[0], parts(1)[0]
    product = mine.viewpoint.product
    member = MembershipFactory(product=product, role=Role.INSPECTOR).user
    viewer = MembershipFactory(product=product, role=Role.VIEWER).user
    assert next_for(viewer, ALL, count=9) == []
    assert next_for(member, ALL, count=9) == [mine]
    release(member, [mine.pk])
    assert next_for(member, Queue(products=(other.viewpoint.product_id,)), count=9) == []
    assert next_for(ines, Queue(line="SMT 2"), count=9) == [mine]
    assert next_for(ines, Queue(station=station.pk), count=9) == [mine]
    assert next_for(ines, Queue(line="SMT 3"), count=9) == []


def test_what_one_holds_another_does_not_get_until_it_is_put_back_or_expires(
    ines: User, egon: User
) -> None:
    first, second, third = parts(3)
    assert next_for(ines, ALL, count=2) == [first, second]
    assert next_for(egon, ALL, count=3) == [third]
    assert next_for(ines, ALL, count=2) == [first, second], "a reload shows the same"
    assert next_for(ines, ALL, count=2, held=[first.pk, second.pk]) == []
    release(ines, [first.pk])
    assert next_for(egon, ALL, count=3) == [first, third]
    ReviewClaim.objects.filter(inspection=second).update(expires_at=timezone.now())
    assert next_for(egon, ALL, count=3) == [first, second, third]
    assert renew(ines, [first.pk, second.pk]) == set(), "it is another's now"
    release(ines, [second.pk])
    assert ReviewClaim.objects.filter(holder=egon).count() == 3


def test_renewing_holds_on(ines: User, egon: User) -> None:
    (part,) = parts(1)
    next_for(ines, ALL)
    soon = timezone.now() + timedelta(seconds=2)
    ReviewClaim.objects.update(expires_at=soon)
    assert renew(ines, [part.pk]) == {part.pk}
    assert ReviewClaim.objects.get().expires_at > soon + timedelta(seconds=60)
    assert renew(egon, [part.pk]) == set()


def test_what_is_judged_is_on_nobodys_desk(ines: User, egon: User) -> None:
    (part,) = parts(1)
    next_for(ines, ALL)
    review = record_review(ines, part, state=ReviewState.CONFIRMED)
    assert not ReviewClaim.objects.exists()
    assert next_for(ines, ALL) == []
    assert counts(ines, ALL)["today"] == 1
    undo_review(ines, review)
    assert counts(ines, ALL)["today"] == 0
    assert next_for(egon, ALL) == [part]


def test_what_is_undone_at_the_station_stays_on_that_desk(ines: User, egon: User) -> None:
    part, other = parts(2)
    next_for(ines, ALL, count=2)
    undone, held = undo_and_hold(ines, record_review(ines, part, state=ReviewState.CONFIRMED))
    assert (undone.state, held) == (ReviewState.NOT_VERIFIED, True)
    assert next_for(egon, ALL, count=2) == [], "both are on the desk of ines"
    assert renew(ines, [part.pk]) == {part.pk}
    assert next_for(ines, ALL, count=2, held=[part.pk]) == [other]


def test_an_undo_does_not_take_a_part_from_another(ines: User, egon: User) -> None:
    (part,) = parts(1)
    review = record_review(ines, part, state=ReviewState.CONFIRMED)
    ReviewClaim.objects.create(
        inspection=part, holder=egon, expires_at=timezone.now() + timedelta(minutes=1)
    )
    _undone, held = undo_and_hold(ines, review)
    assert not held
    assert ReviewClaim.objects.get().holder == egon
    assert next_for(ines, ALL) == []


@pytest.mark.django_db(transaction=True)
def test_seven_who_wait_do_not_get_what_is_being_undone() -> None:
    (part,) = parts(1)
    people = [UserFactory(role=Role.INSPECTOR) for _ in range(8)]
    review = record_review(people[0], part, state=ReviewState.CONFIRMED)
    waiting = [lambda who=who: next_for(who, ALL) for who in people[1:]]
    held, *handed = at_once([lambda: undo_and_hold(people[0], review)[1], *waiting])
    assert (held, sum(map(len, handed))) == (True, 0)
    assert ReviewClaim.objects.get().holder == people[0]


def test_a_part_that_was_judged_meanwhile_is_not_handed_out(
    ines: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged, open_ = parts(2)
    real = review_queue._claim

    def slow(user: User, keys: list[UUID], look: str) -> list[UUID]:
        Inspection.objects.filter(pk=judged.pk).update(review_state=ReviewState.REJECTED)
        return real(user, keys, look)

    monkeypatch.setattr(review_queue, "_claim", slow)
    assert next_for(ines, ALL, count=2) == [open_]
    assert ReviewClaim.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_eight_people_at_once_are_never_handed_the_same_part() -> None:
    parts(60)
    people = [UserFactory(role=Role.INSPECTOR) for _ in range(8)]
    turns = [lambda who=who: (who.pk, next_for(who, ALL, count=5)) for who in people]
    got = at_once(turns)
    handed = Counter(part.pk for _, given in got for part in given)
    assert len(handed) == 40
    assert set(handed.values()) == {1}
    assert ReviewClaim.objects.count() == 40
    for who, given in got:
        assert ReviewClaim.objects.filter(holder=who).count() == len(given) == 5


@pytest.mark.django_db(transaction=True)
def test_an_expired_claim_is_taken_over_by_one_of_eight() -> None:
    (part,) = parts(1)
    gone = UserFactory(role=Role.INSPECTOR)
    next_for(gone, ALL)
    ReviewClaim.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    people = [UserFactory(role=Role.INSPECTOR) for _ in range(8)]
    got = at_once([lambda who=who: next_for(who, ALL) for who in people])
    assert sorted(len(given) for given in got) == [0] * 7 + [1]
    assert ReviewClaim.objects.get(inspection=part).holder in people


class TestSecondLooks:
    @pytest.fixture
    def drawn(self, ines: User) -> Inspection:
        part = parts(1)[0]
        product = part.viewpoint.product
        product.second_look_rate = 1.0
        product.save()
        record_review(ines, part, state=ReviewState.CONFIRMED)
        return part

    def test_go_to_somebody_else_and_once(self, drawn: Inspection, ines: User, egon: User) -> None:
        assert next_for(ines, SECOND) == []
        assert next_for(egon, SECOND) == [drawn]
        assert counts(egon, ALL)["second"] == counts(egon, SECOND)["left"] == 1
        third = UserFactory(role=Role.INSPECTOR)
        assert next_for(third, SECOND) == [], "egon has it"
        record_review(egon, drawn, state=ReviewState.REJECTED, look=Look.SECOND)
        assert next_for(third, SECOND) == next_for(egon, SECOND) == []

    def test_an_undone_first_look_is_not_looked_at_again(
        self, drawn: Inspection, ines: User, egon: User
    ) -> None:
        undo_review(ines, reviews.standing_reviews(drawn, Look.FIRST)[0])
        assert next_for(egon, SECOND) == []
        assert next_for(egon, ALL) == [drawn]

    def test_an_undone_second_look_stays_with_who_undid_it(
        self, drawn: Inspection, egon: User
    ) -> None:
        second = record_review(egon, drawn, state=ReviewState.REJECTED, look=Look.SECOND)
        assert undo_and_hold(egon, second)[1]
        assert ReviewClaim.objects.get().look == Look.SECOND
        assert next_for(UserFactory(role=Role.INSPECTOR), SECOND) == []
        assert next_for(egon, SECOND) == [drawn]

    def test_chance_draws_them_at_the_first_judgement(
        self, ines: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one, two = parts(2)
        product = one.viewpoint.product
        product.second_look_rate = 0.3
        product.save()
        chances = iter([0.29, 0.31])
        monkeypatch.setattr(reviews._chance, "random", lambda: next(chances))
        fresh = [Inspection.objects.get(pk=part.pk) for part in (one, two)]
        kept = [record_review(ines, part, state=ReviewState.CONFIRMED) for part in fresh]
        again = record_review(ines, fresh[0], state=ReviewState.ACCEPTED)
        assert [review.second_look_rate for review in (*kept, again)] == [0.3, None, None]
