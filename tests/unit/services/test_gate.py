"""A candidate is held against the golden set, and waits there until it may judge."""

from collections.abc import Callable

import pytest
from django.utils import timezone

from inspection.errors import NotAllowed, UserError, WrongState
from inspection.models import (
    AuditEvent,
    Batch,
    Dataset,
    DatasetImage,
    GateCheck,
    Inspection,
    ModelVersion,
    Notification,
    Purpose,
    Role,
    SnapshotImage,
    Viewpoint,
)
from inspection.services import batches, gate, golden, models
from tests.factories.jobs import make_image, make_version
from tests.factories.membership import MembershipFactory
from tests.threads import at_once

pytestmark = pytest.mark.django_db
State = ModelVersion.State


@pytest.fixture
def active() -> ModelVersion:
    return make_version()


@pytest.fixture
def candidate(active: ModelVersion) -> ModelVersion:
    return make_version(active.viewpoint, state=State.CANDIDATE)


def add_golden(viewpoint: Viewpoint, *labels: str, must: bool = False) -> list[DatasetImage]:
    dataset = golden.golden_set(viewpoint)
    items = [
        DatasetImage.objects.create(
            dataset=dataset, image=make_image(), file_name=f"{n}.png", label=label
        )
        for n, label in enumerate(labels)
    ]
    for item in items:
        golden.describe(None, dataset, [item.pk], label=item.label, must=must)
    return items


def score(batch: Batch, verdict_of: Callable[[str], str]) -> None:
    """What a worker would do, with verdicts by what the part is."""
    for inspection in Inspection.objects.filter(batch=batch):
        Inspection.objects.filter(pk=inspection.pk).update(
            verdict=verdict_of(inspection.reference_label),
            disposition="auto",
            score=0.5 if inspection.reference_label == "good" else 2.0,
            completed_at=timezone.now(),
        )
    gate.settle(batch)


def right(label: str) -> str:
    return "Passed" if label == "good" else "Failed"


def all_pass(label: str) -> str:
    return "Passed"


def run(
    candidate: ModelVersion,
    ours: Callable[[str], str] = right,
    theirs: Callable[[str], str] = right,
) -> GateCheck:
    check = gate.start(None, candidate)
    assert check.baseline_batch is not None
    score(check.candidate_batch, ours)
    score(check.baseline_batch, theirs)
    check.refresh_from_db()
    return check


def test_both_models_score_the_golden_set_and_the_second_to_be_done_settles_it(
    candidate: ModelVersion, active: ModelVersion
) -> None:
    add_golden(candidate.viewpoint, "", "scratch")
    engineer = MembershipFactory(product=active.viewpoint.product, role=Role.ENGINEER).user
    type(engineer).objects.filter(pk=engineer.pk).update(language="en")
    check = gate.start(None, candidate)
    assert check.baseline_batch is not None
    assert (check.candidate_batch.purpose, check.baseline_batch.model_version) == (
        Purpose.GOLDEN,
        active,
    )
    assert check.candidate_batch.sealed_at is not None
    score(check.candidate_batch, right)
    check.refresh_from_db()
    assert check.state == GateCheck.State.RUNNING
    score(check.baseline_batch, all_pass)
    check.refresh_from_db()
    assert (check.state, check.passed) == (GateCheck.State.DONE, True)
    (flip,) = check.outcome["flips"]
    assert (flip["label"], flip["was"], flip["will"], flip["better"]) == (
        "scratch",
        "pass",
        "fail",
        True,
    )
    assert (
        Notification.objects.get(user=engineer).title == f"Model {candidate.number} passed the gate"
    )


def test_it_is_settled_once(candidate: ModelVersion) -> None:
    add_golden(candidate.viewpoint, "", "scratch")
    check = run(candidate)
    stale = GateCheck.objects.get(pk=check.pk)
    assert not gate.finish_if_scored(stale)
    assert AuditEvent.objects.filter(action="gate.finished").count() == 1


def test_without_a_golden_set_nothing_is_in_the_way(candidate: ModelVersion) -> None:
    golden.golden_set(candidate.viewpoint)  # begun, and still empty
    with pytest.raises(UserError, match="no golden set"):
        gate.start(None, candidate)
    models.promote(None, candidate, "better")
    assert candidate.state == State.ACTIVE


def test_a_candidate_that_was_not_checked_is_not_promoted(candidate: ModelVersion) -> None:
    add_golden(candidate.viewpoint, "", "scratch")
    with pytest.raises(WrongState, match="Run the gate first") as refusal:
        models.promote(None, candidate, "better")
    assert refusal.value.code == "gate_not_run"
    candidate.refresh_from_db()
    assert candidate.state == State.CANDIDATE


def test_a_candidate_that_passed_is(candidate: ModelVersion) -> None:
    add_golden(candidate.viewpoint, "", "scratch", must=True)
    run(candidate)
    models.promote(None, candidate, "better")
    event = AuditEvent.objects.get(action="model.promoted")
    assert event.after["gate"] == "passed"


def test_one_that_failed_only_with_a_named_reason(candidate: ModelVersion) -> None:
    add_golden(candidate.viewpoint, "", "scratch", must=True)
    check = run(candidate, ours=all_pass)
    assert check.passed is False
    assert [failure["rule"] for failure in check.outcome["failures"]] == ["must_catch", "recall"]
    for nothing in ("", "  "):
        with pytest.raises(WrongState, match="failed the gate"):
            models.promote(None, candidate, "better", override=nothing)
    models.promote(None, candidate, "line stands still", override="scratch is repaired downstream")
    event = AuditEvent.objects.get(action="model.gate_overridden")
    assert (event.reason, event.after["gate"]) == ("scratch is repaired downstream", "failed")


@pytest.mark.parametrize("change", ["golden set", "limits", "active model"])
def test_a_gate_says_nothing_any_more_when_what_it_compared_has_changed(
    candidate: ModelVersion, active: ModelVersion, change: str
) -> None:
    items = add_golden(candidate.viewpoint, "", "scratch")
    run(candidate)
    assert gate.standing(candidate).word == "passed"
    if change == "golden set":
        golden.describe(None, items[0].dataset, [items[0].pk], label="dent", must=False)
    elif change == "limits":
        models.set_operating_point(None, candidate, alpha_fail=0.05, alpha_review=0.1, reason="x")
    else:
        other = make_version(active.viewpoint, state=State.CANDIDATE)
        models.promote(None, other, "x", override="x")
    assert gate.standing(candidate).word == "stale"
    with pytest.raises(WrongState, match="Run it again"):
        models.promote(None, candidate, "better")


def test_a_cancelled_golden_batch_stops_the_check(candidate: ModelVersion) -> None:
    add_golden(candidate.viewpoint, "", "scratch")
    check = gate.start(None, candidate)
    assert check.baseline_batch is not None
    score(check.baseline_batch, right)
    batches.cancel_batch(None, check.candidate_batch)
    assert gate.catch_up() == 1
    check.refresh_from_db()
    assert (check.state, check.passed) == (GateCheck.State.STOPPED, None)
    assert gate.standing(candidate).blocks


def test_a_second_check_waits_for_the_first(candidate: ModelVersion) -> None:
    add_golden(candidate.viewpoint, "")
    gate.start(None, candidate)
    with pytest.raises(WrongState, match="being held"):
        gate.start(None, candidate)


def test_the_newest_candidate_is_checked_without_being_asked(candidate: ModelVersion) -> None:
    assert gate.catch_up() == 0, "no golden set"
    add_golden(candidate.viewpoint, "", "scratch")
    assert gate.catch_up() == 0, "a golden set that is only being collected"
    newer = make_version(candidate.viewpoint, state=State.CANDIDATE)
    assert gate.catch_up() == 1
    assert GateCheck.objects.get().candidate == newer
    assert gate.catch_up() == 0


def test_pictures_that_the_candidate_learned_from_are_named(candidate: ModelVersion) -> None:
    item, _ = add_golden(candidate.viewpoint, "", "scratch")
    SnapshotImage.objects.create(
        snapshot=candidate.training_run.snapshot,
        image=item.image,
        file_name="a.png",
        split=SnapshotImage.Split.TRAIN,
    )
    assert run(candidate).outcome["learned"] == 1


class TestGoldenSet:
    def test_flags_follow_the_label(self, active: ModelVersion) -> None:
        good, bad = add_golden(active.viewpoint, "", "scratch", must=True)
        good.refresh_from_db()
        bad.refresh_from_db()
        assert (good.must_pass, good.must_catch) == (True, False)
        assert (bad.must_pass, bad.must_catch) == (False, True)
        golden.describe(None, bad.dataset, [bad.pk], label="Good", must=False)
        bad.refresh_from_db()
        assert (bad.label, bad.must_catch) == ("", False)
        assert AuditEvent.objects.filter(action="golden.described").latest("id").before

    def test_a_part_that_is_learned_from_is_refused(self, active: ModelVersion) -> None:
        from tests.factories.jobs import make_batch, make_inspection

        image = make_image()
        learned = active.viewpoint.datasets.get(purpose=Dataset.Purpose.GOOD)
        DatasetImage.objects.create(dataset=learned, image=image, file_name="g.png")
        inspection = make_inspection(make_batch(active), image)
        with pytest.raises(UserError, match="models learn from"):
            golden.take_over(None, inspection, label="", must=False)
        learned.items.all().delete()
        (item,) = golden.take_over(None, inspection, label="scratch", must=True)
        assert (item.origin, item.must_catch) == (inspection, True)

    def test_only_an_engineer_describes(self, active: ModelVersion) -> None:
        (item,) = add_golden(active.viewpoint, "")
        inspector = MembershipFactory(product=active.viewpoint.product, role=Role.INSPECTOR).user
        with pytest.raises(NotAllowed):
            golden.describe(inspector, item.dataset, [item.pk], label="x", must=False)


class TestRollback:
    def test_it_goes_back_step_by_step_and_needs_no_gate(self, active: ModelVersion) -> None:
        second = make_version(active.viewpoint, state=State.CANDIDATE)
        third = make_version(active.viewpoint, state=State.CANDIDATE)
        models.promote(None, second, "better")
        models.promote(None, third, "better still")
        add_golden(active.viewpoint, "", "scratch")
        assert models.rollback(None, third) == second
        assert models.rollback(None, second) == active
        with pytest.raises(WrongState, match="No model judged before"):
            models.rollback(None, active)
        states = dict(active.viewpoint.model_versions.values_list("number", "state"))
        assert states == {
            active.number: State.ACTIVE,
            second.number: State.RETIRED,
            third.number: State.RETIRED,
        }
        first, _second = AuditEvent.objects.filter(action="model.rolled_back").order_by("id")
        assert (first.before["model"], first.after["model"]) == (str(third), str(second))

    def test_only_an_engineer_may(self, active: ModelVersion) -> None:
        inspector = MembershipFactory(product=active.viewpoint.product, role=Role.INSPECTOR).user
        with pytest.raises(NotAllowed):
            models.rollback(inspector, active)

    def test_who_comes_second_does_not_go_back_a_step_further(self, active: ModelVersion) -> None:
        second, third = (make_version(active.viewpoint, state=State.CANDIDATE) for _ in range(2))
        models.promote(None, second, "better")
        models.promote(None, third, "better still")
        seen_by_two = [ModelVersion.objects.get(pk=third.pk) for _ in range(2)]
        assert models.rollback(None, seen_by_two[0]) == second
        with pytest.raises(WrongState, match="does not judge now") as refusal:
            models.rollback(None, seen_by_two[1])
        assert refusal.value.code == "not_active"
        second.refresh_from_db()
        assert second.state == State.ACTIVE
        assert AuditEvent.objects.filter(action="model.rolled_back").count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_eight_who_roll_back_at_once_one_does() -> None:
    first = make_version()
    second, third = (make_version(first.viewpoint, state=State.CANDIDATE) for _ in range(2))
    models.promote(None, second, "better")
    models.promote(None, third, "better still")

    def roll_back() -> str:
        try:
            return str(models.rollback(None, ModelVersion.objects.get(pk=third.pk)).pk)
        except WrongState as refusal:
            return refusal.code

    assert sorted(at_once([roll_back] * 8)) == sorted([str(second.pk), *["not_active"] * 7])
    second.refresh_from_db()
    assert second.state == State.ACTIVE
