"""What people say of a part: states, undo, two at once, roles, second looks."""

import json

import pytest

from inspection import policies
from inspection.errors import NotAllowed, UserError, WrongState
from inspection.live.push import group_name
from inspection.models import (
    AuditEvent,
    Disposition,
    Inspection,
    Look,
    Purpose,
    Review,
    ReviewState,
    Role,
    User,
    Verdict,
)
from inspection.services import reviews
from inspection.services.reviews import record_review, undo_review
from tests.factories.inspection import InspectionFactory
from tests.factories.review import ReasonCodeFactory, UnitFactory
from tests.factories.user import UserFactory
from tests.threads import at_once

State = ReviewState


@pytest.fixture
def part(db: None) -> Inspection:
    return InspectionFactory()


@pytest.fixture
def inspector(db: None) -> User:
    return UserFactory(username="ines", role=Role.INSPECTOR)


@pytest.fixture
def engineer(db: None) -> User:
    return UserFactory(username="egon", role=Role.ENGINEER)


def on_record(part: Inspection) -> tuple[str, str | None, str | None]:
    fresh = Inspection.objects.get(pk=part.pk)
    reason, by = fresh.review_reason, fresh.reviewed_by
    return fresh.review_state, reason.code if reason else None, by.username if by else None


def test_a_review_is_a_row_and_what_the_inspection_carries(
    part: Inspection, inspector: User
) -> None:
    reason = ReasonCodeFactory(product=part.viewpoint.product, code="BRIDGE")
    review = record_review(
        inspector, part, state=State.CONFIRMED, reason_code=reason, comment=" on R22 "
    )
    assert on_record(part) == (State.CONFIRMED, "BRIDGE", "ines")
    assert Inspection.objects.get(pk=part.pk).reviewed_at == review.created_at
    assert (review.comment, review.look, review.author) == ("on R22", Look.FIRST, inspector)
    event = AuditEvent.objects.get(action="review.recorded")
    assert (event.object_id, event.product) == (part.pk, part.viewpoint.product)
    assert event.before == {"state": "NotVerifiedYet", "reason": None, "by": None}
    assert event.after == {"state": "DefectConfirmed", "reason": "BRIDGE", "by": "ines"}
    assert event.reason == "on R22"


@pytest.mark.parametrize("now", list(State))
@pytest.mark.parametrize("then", list(State))
def test_states_follow_each_other_as_the_policy_says(
    part: Inspection, inspector: User, now: State, then: State
) -> None:
    Inspection.objects.filter(pk=part.pk).update(review_state=now)
    part.refresh_from_db()
    if then in policies.NEXT_STATES[now]:
        record_review(inspector, part, state=then)
        assert on_record(part)[0] == then
    else:
        with pytest.raises(WrongState, match=str(State(now).label)):
            record_review(inspector, part, state=then)
        assert on_record(part)[0] == now
        assert not Review.objects.exists()


def test_the_policy_names_every_state_and_no_way_back_to_unverified() -> None:
    assert set(policies.NEXT_STATES) == set(State)
    assert all(State.NOT_VERIFIED not in allowed for allowed in policies.NEXT_STATES.values())
    assert policies.NEXT_STATES[State.CLOSED] == ()


@pytest.mark.parametrize("state", ["", "Confirmed", "<script>"])
def test_what_is_no_state_is_refused(part: Inspection, inspector: User, state: str) -> None:
    with pytest.raises(UserError) as refused:
        record_review(inspector, part, state=state)
    assert (refused.value.code, refused.value.field) == ("bad_state", "state")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"waiting": True}, "no_verdict"),
        ({"verdict": Verdict.ERROR, "disposition": Disposition.NEEDS_REVIEW}, "no_verdict"),
        ({"verdict": Verdict.SKIPPED}, "no_verdict"),
        ({"purpose": Purpose.RESCORE}, "rescore"),
    ],
)
def test_only_what_the_machine_judged_is_reviewed(
    inspector: User, fields: dict[str, object], code: str
) -> None:
    with pytest.raises(WrongState) as refused:
        record_review(inspector, InspectionFactory(**fields), state=State.CONFIRMED)
    assert refused.value.code == code


def test_a_reason_is_one_of_the_product_and_not_retired(part: Inspection, inspector: User) -> None:
    from django.utils import timezone

    retired = ReasonCodeFactory(product=part.viewpoint.product, retired_at=timezone.now())
    for reason, code in ((ReasonCodeFactory(), "foreign_reason"), (retired, "retired_reason")):
        with pytest.raises(UserError) as refused:
            record_review(inspector, part, state=State.CONFIRMED, reason_code=reason)
        assert (refused.value.code, refused.value.field) == (code, "reason_code")
    with pytest.raises(UserError, match="at most 2000 characters; this one has 2001"):
        record_review(inspector, part, state=State.CONFIRMED, comment="x" * 2001)
    assert on_record(part)[0] == State.NOT_VERIFIED


def test_who_saw_an_older_state_is_told_and_writes_nothing(
    part: Inspection, inspector: User, engineer: User
) -> None:
    seen_by_engineer = Inspection.objects.get(pk=part.pk)
    record_review(inspector, part, state=State.REJECTED)
    with pytest.raises(WrongState, match="“False call” by ines") as refused:
        record_review(engineer, seen_by_engineer, state=State.CONFIRMED)
    assert refused.value.code == "changed_meanwhile"
    assert on_record(part) == (State.REJECTED, None, "ines")
    assert Review.objects.count() == 1
    assert AuditEvent.objects.filter(action__startswith="review").count() == 1


def test_the_same_state_by_another_in_between_is_noticed_too(
    part: Inspection, inspector: User, engineer: User
) -> None:
    first = record_review(inspector, part, state=State.CONFIRMED)
    seen = Inspection.objects.get(pk=part.pk)
    undo_review(inspector, first)
    record_review(inspector, Inspection.objects.get(pk=part.pk), state=State.CONFIRMED)
    with pytest.raises(WrongState):
        record_review(engineer, seen, state=State.REJECTED)


@pytest.mark.django_db(transaction=True)
def test_of_eight_who_judge_at_once_one_wins() -> None:
    part = InspectionFactory()
    people = [UserFactory(role=Role.INSPECTOR) for _ in range(8)]

    def judge(n: int) -> str:
        seen = Inspection.objects.get(pk=part.pk)
        seen.review_state, seen.reviewed_at = State.NOT_VERIFIED, None
        state = State.CONFIRMED if n % 2 else State.REJECTED
        try:
            record_review(people[n], seen, state=state)
        except WrongState as error:
            return error.code
        return people[n].username

    got = at_once([lambda n=n: judge(n) for n in range(8)])
    winners = [name for name in got if name != "changed_meanwhile"]
    assert len(winners) == 1
    assert on_record(part)[2] == winners[0]
    assert Review.objects.count() == AuditEvent.objects.count() == 1


class TestUndo:
    def test_brings_back_the_state_before_with_who_and_why(
        self, part: Inspection, inspector: User, engineer: User
    ) -> None:
        reason = ReasonCodeFactory(product=part.viewpoint.product, code="BRIDGE")
        first = record_review(inspector, part, state=State.CONFIRMED, reason_code=reason)
        second = record_review(engineer, part, state=State.REJECTED)
        undo = undo_review(engineer, second)
        assert on_record(part) == (State.CONFIRMED, "BRIDGE", "ines")
        assert Inspection.objects.get(pk=part.pk).reviewed_at == first.created_at
        assert (undo.undoes, undo.state, undo.author) == (second, State.CONFIRMED, engineer)
        undo_review(inspector, Review.objects.get(pk=first.pk))
        assert on_record(part) == (State.NOT_VERIFIED, None, None)
        assert Inspection.objects.get(pk=part.pk).reviewed_at is None
        assert Review.objects.count() == 4, "an undo is a row too; nothing is deleted"
        event = AuditEvent.objects.filter(action="review.undone").first()
        assert event is not None
        assert event.before == {"state": "DefectConfirmed", "reason": "BRIDGE", "by": "ines"}
        assert event.after == {"state": "NotVerifiedYet", "reason": None, "by": None}

    def test_is_possible_once_and_only_of_the_newest(
        self, part: Inspection, inspector: User
    ) -> None:
        first = record_review(inspector, part, state=State.CONFIRMED)
        second = record_review(inspector, part, state=State.ACCEPTED)
        with pytest.raises(WrongState, match="Only the newest"):
            undo_review(inspector, first)
        undo = undo_review(inspector, second)
        for not_again in (second, undo):
            with pytest.raises(WrongState, match="Only the newest"):
                undo_review(inspector, not_again)
        assert on_record(part)[0] == State.CONFIRMED

    def test_of_somebody_elses_review_needs_an_engineer(
        self, part: Inspection, inspector: User, engineer: User
    ) -> None:
        review = record_review(inspector, part, state=State.CONFIRMED)
        with pytest.raises(NotAllowed, match="needs the role Engineer"):
            undo_review(UserFactory(role=Role.INSPECTOR), review)
        assert on_record(part)[0] == State.CONFIRMED
        undo_review(engineer, review)
        assert on_record(part)[0] == State.NOT_VERIFIED

    def test_a_closed_part_is_reopened_only_so(self, part: Inspection, inspector: User) -> None:
        record_review(inspector, part, state=State.CONFIRMED)
        closed = record_review(inspector, part, state=State.CLOSED)
        undo_review(inspector, closed)
        assert on_record(part)[0] == State.CONFIRMED


@pytest.mark.parametrize("role", [None, *Role])
def test_reviewing_needs_an_inspector(part: Inspection, role: Role | None) -> None:
    user = UserFactory(role=role)
    if role in (None, Role.VIEWER):
        with pytest.raises(NotAllowed, match="needs the role Inspector"):
            record_review(user, part, state=State.CONFIRMED)
        assert not Review.objects.exists()
    else:
        record_review(user, part, state=State.CONFIRMED)


def test_a_role_for_another_product_does_not_help(part: Inspection) -> None:
    from tests.factories.membership import MembershipFactory

    stranger = MembershipFactory(role=Role.ADMINISTRATOR).user
    with pytest.raises(NotAllowed):
        record_review(stranger, part, state=State.CONFIRMED)


class TestSecondLook:
    def test_is_kept_and_changes_nothing(
        self, part: Inspection, inspector: User, engineer: User
    ) -> None:
        record_review(inspector, part, state=State.CONFIRMED)
        again = record_review(engineer, part, state=State.REJECTED, look=Look.SECOND)
        assert on_record(part) == (State.CONFIRMED, None, "ines")
        assert [one.pk for one in reviews.standing_reviews(part, Look.SECOND)] == [again.pk]
        undo_review(engineer, again)
        assert on_record(part) == (State.CONFIRMED, None, "ines")
        assert reviews.standing_reviews(part, Look.SECOND) == []

    def test_is_somebody_elses_and_comes_once(
        self, part: Inspection, inspector: User, engineer: User
    ) -> None:
        with pytest.raises(WrongState, match="no first look"):
            record_review(engineer, part, state=State.REJECTED, look=Look.SECOND)
        record_review(inspector, part, state=State.CONFIRMED)
        with pytest.raises(WrongState, match="You judged this part yourself"):
            record_review(inspector, part, state=State.REJECTED, look=Look.SECOND)
        record_review(engineer, part, state=State.REJECTED, look=Look.SECOND)
        with pytest.raises(WrongState, match="second look already"):
            record_review(
                UserFactory(role=Role.INSPECTOR), part, state=State.REJECTED, look=Look.SECOND
            )


def test_who_watches_the_batch_hears_of_it(
    part: Inspection,
    inspector: User,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: object,
) -> None:
    sent: list[tuple[str, dict[str, object]]] = []
    monkeypatch.setattr(
        "inspection.live.push._send", lambda topic, text, *_: sent.append((topic, json.loads(text)))
    )
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        record_review(inspector, part, state=State.CONFIRMED)
    topic = f"batch:{part.batch_id}"
    assert group_name(topic) == f"batch.{part.batch_id}"
    wanted = {"topic": topic, "type": "review", "inspection_ids": [str(part.pk)]}
    assert sent == [(topic, {**wanted, "review_state": "DefectConfirmed"})]


class TestAudit:
    def passed(self, rate: float, **fields: object) -> Inspection:
        part = InspectionFactory(verdict=Verdict.PASSED, **{"is_record": True, **fields})
        product = part.viewpoint.product
        product.audit_rate = rate
        product.save()
        return Inspection.objects.get(pk=part.pk)

    @pytest.mark.parametrize(("chance", "drawn"), [(0.0, True), (0.19, True), (0.2, False)])
    def test_chance_draws_and_the_rate_is_kept(
        self, db: None, monkeypatch: pytest.MonkeyPatch, chance: float, drawn: bool
    ) -> None:
        monkeypatch.setattr(reviews._chance, "random", lambda: chance)
        part = self.passed(0.2)
        assert reviews.draw_audit(part) is drawn
        part.refresh_from_db()
        assert part.audit_rate == (0.2 if drawn else None)

    def test_no_rate_draws_nothing_and_a_rate_of_one_everything(self, db: None) -> None:
        assert not any(reviews.draw_audit(self.passed(0.0)) for _ in range(20))
        assert all(reviews.draw_audit(self.passed(1.0)) for _ in range(20))

    @pytest.mark.parametrize(
        "fields",
        [
            {"verdict": Verdict.FAILED},
            {"disposition": Disposition.NEEDS_REVIEW},
            {"is_record": False},
        ],
    )
    def test_only_passed_decisions_of_record_are_drawn(
        self, db: None, fields: dict[str, object]
    ) -> None:
        part = InspectionFactory(**{"verdict": Verdict.PASSED, "is_record": True, **fields})
        product = part.viewpoint.product
        product.audit_rate = 1.0
        product.save()
        assert not reviews.draw_audit(part)

    def test_a_verdict_draws(self, db: None) -> None:
        from inspection.services.verdicts import complete
        from tests.factories.inspection import ImageResultFactory

        part = InspectionFactory(waiting=True)
        product = part.viewpoint.product
        product.audit_rate = 1.0
        product.save()
        part.unit = UnitFactory(product=product)
        part.save()
        result = ImageResultFactory(
            picture__inspection=part,
            verdict=Verdict.PASSED,
            disposition=Disposition.AUTO,
            score=0.1,
        )
        complete(part, [result])
        part.refresh_from_db()
        assert (part.is_record, part.audit_rate) == (True, 1.0)
