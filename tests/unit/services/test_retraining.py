"""What is learned anew, from whom it may come, and when it starts by itself."""

from datetime import timedelta

import pytest
from django.utils import timezone
from django.utils.translation import override

from inspection.errors import NotAllowed, UserError
from inspection.models import (
    AuditEvent,
    DatasetImage,
    Escape,
    Inspection,
    JobState,
    Notification,
    RetrainingPlan,
    ReviewState,
    Role,
    SnapshotImage,
    TrainingRun,
    Unit,
    User,
    Viewpoint,
)
from inspection.services import datasets, golden, products, training
from inspection.services.retraining import (
    Settings,
    changes,
    may_be_learned,
    propose_good_parts,
    retrain,
    usual_settings,
)
from inspection.services.retraining_plans import note_drift, set_plan, start_due
from tests.factories.inspection import inspected, rejected
from tests.factories.jobs import add_good_parts, make_version
from tests.factories.membership import MembershipFactory
from tests.threads import at_once

pytestmark = pytest.mark.django_db
TINY = Settings("tiny", "memory", 1)


def judged_again(origin: Inspection) -> Inspection:
    """A re-score by which it passed."""
    again = inspected(
        origin.viewpoint, purpose="rescore", origin=origin, unit=origin.unit, verdict="Passed"
    )
    again.pictures.update(image=origin.pictures.get().image)
    return again


def in_trial(viewpoint: Viewpoint, **fields: object) -> Inspection:
    """A part of a trial that passed."""
    return inspected(viewpoint, purpose="trial", verdict="Passed", **fields)


def may_learn(inspection: Inspection) -> bool:
    return Inspection.objects.filter(may_be_learned(), pk=inspection.pk).exists()


@pytest.fixture
def viewpoint() -> Viewpoint:
    """With a model that learned from 60 good parts."""
    version = make_version()
    viewpoint = version.viewpoint
    snapshot = version.training_run.snapshot
    for item in add_good_parts(viewpoint, training.MIN_PICTURES):
        SnapshotImage.objects.create(snapshot=snapshot, image=item.image, file_name=item.file_name)
    return viewpoint


class TestChanges:
    def test_new_left_out_and_gone_are_told_apart(self, viewpoint: Viewpoint) -> None:
        items = list(viewpoint.datasets.get().items.order_by("id"))
        add_good_parts(viewpoint, 3)
        datasets.exclude_image(None, items[0], "wrong part")
        datasets.remove_images(None, items[1].dataset, [items[1].image_id])
        found = changes(viewpoint)
        assert found.added.count() == 3
        assert [item.pk for item in found.left_out] == [items[0].pk]
        assert [item.image_id for item in found.gone] == [items[1].image_id]
        assert found.usable == training.MIN_PICTURES + 1

    def test_without_a_model_everything_is_new(self) -> None:
        from tests.factories.jobs import make_viewpoint

        fresh = make_viewpoint()
        add_good_parts(fresh, 2)
        found = changes(fresh)
        assert (found.snapshot, found.added.count(), found.gone.count()) == (None, 2, 0)


class TestSelection:
    def test_rejected_calls_and_passed_parts_join_the_good_parts_and_say_from_where(
        self, viewpoint: Viewpoint
    ) -> None:
        called, passed = rejected(viewpoint), inspected(viewpoint, verdict="Passed")
        proposed = propose_good_parts(None, [called, passed])
        assert [item.origin for item in proposed.added] == [called, passed]
        assert changes(viewpoint).added.count() == 2
        event = AuditEvent.objects.get(action="dataset.learned")
        assert event.after["inspections"] == [str(called.pk), str(passed.pk)]
        again = propose_good_parts(None, [called])
        assert (again.added, again.already) == ([], 1)

    @pytest.mark.parametrize(
        "state", [ReviewState.CONFIRMED, ReviewState.REPAIRED, ReviewState.ACCEPTED]
    )
    def test_one_confirmed_defect_refuses_all(self, viewpoint: Viewpoint, state: str) -> None:
        bad = inspected(viewpoint, review_state=state)
        with pytest.raises(UserError, match="confirmed defect") as refusal:
            propose_good_parts(None, [rejected(viewpoint), bad])
        assert refusal.value.code == "confirmed_defect"
        assert changes(viewpoint).added.count() == 0

    @pytest.mark.parametrize(
        "said", [{"verdict": "Failed"}, {"verdict": "Passed", "disposition": "needs_review"}]
    )
    def test_what_nobody_verified_is_refused(
        self, viewpoint: Viewpoint, said: dict[str, str]
    ) -> None:
        with pytest.raises(UserError, match="Nobody has said yet"):
            propose_good_parts(None, [inspected(viewpoint, **said)])

    def test_a_part_that_came_back_is_a_defect_though_it_passed(self, viewpoint: Viewpoint) -> None:
        unit = Unit.objects.create(product=viewpoint.product, serial_number="S1")
        passed = inspected(viewpoint, verdict="Passed", unit=unit)
        Escape.objects.create(
            unit=unit,
            found_at=timezone.now(),
            found_where="customer",
            reported_by=User.objects.create(username="q"),
        )
        with pytest.raises(UserError, match="S1 has a confirmed defect"):
            propose_good_parts(None, [passed])

    @pytest.mark.parametrize(
        "state",
        [
            ReviewState.CONFIRMED,
            ReviewState.ACCEPTED,
            ReviewState.REPAIRED,
            ReviewState.CLOSED,
        ],
    )
    def test_a_defect_judged_again_as_good_stays_a_defect(
        self, viewpoint: Viewpoint, state: str
    ) -> None:
        defect = inspected(viewpoint, review_state=state)
        again = judged_again(defect)
        assert not may_learn(again)
        with pytest.raises(UserError) as refusal:
            propose_good_parts(None, [rejected(viewpoint), again])
        assert refusal.value.code == "confirmed_defect"
        assert changes(viewpoint).added.count() == 0

    def test_a_part_judged_again_is_as_good_as_the_first_time(self, viewpoint: Viewpoint) -> None:
        doubted = judged_again(inspected(viewpoint, verdict="Failed"))
        unknown = inspected(viewpoint, purpose="rescore", verdict="Passed")
        for one in (doubted, unknown):
            assert not may_learn(one)
            with pytest.raises(UserError, match="Nobody has said yet"):
                propose_good_parts(None, [one])
        passed = judged_again(inspected(viewpoint, verdict="Passed"))
        called = judged_again(rejected(viewpoint))
        assert may_learn(passed)
        assert may_learn(called)
        assert len(propose_good_parts(None, [passed, called]).added) == 2

    def test_a_defect_of_a_trial_that_the_model_missed_is_not_learned(
        self, viewpoint: Viewpoint
    ) -> None:
        missed = in_trial(viewpoint, reference_label="scratch")
        twin = inspected(viewpoint, verdict="Passed")  # the same bytes, not from the trial
        twin.pictures.update(image=missed.pictures.get().image)
        for one in (missed, twin):
            assert not may_learn(one)
            with pytest.raises(UserError, match="known from a trial") as refusal:
                propose_good_parts(None, [one])
            assert refusal.value.code == "labelled_defect"
        known = [in_trial(viewpoint, reference_label=label) for label in ("good", "Good", "")]
        assert all(may_learn(one) for one in known)
        assert len(propose_good_parts(None, known).added) == 3

    def test_what_another_inspection_of_the_unit_found_is_a_defect(
        self, viewpoint: Viewpoint
    ) -> None:
        unit = Unit.objects.create(product=viewpoint.product, serial_number="S2")
        passed = inspected(viewpoint, verdict="Passed", unit=unit)
        assert may_learn(passed)
        back = products.create_viewpoint(None, viewpoint.product, code="back", name="Back")
        beside = make_version(back).viewpoint
        inspected(beside, unit=unit, review_state=ReviewState.CONFIRMED)
        assert may_learn(passed), "its back is bad, not what is seen here"
        inspected(viewpoint, unit=unit, review_state=ReviewState.CONFIRMED)
        assert not may_learn(passed)
        with pytest.raises(UserError, match="S2 has a confirmed defect"):
            propose_good_parts(None, [passed])

    def test_a_picture_of_a_part_that_came_back_is_not_learned(self, viewpoint: Viewpoint) -> None:
        unit = Unit.objects.create(product=viewpoint.product, serial_number="S3")
        shipped = inspected(viewpoint, verdict="Passed", unit=unit)
        tried = in_trial(viewpoint)
        tried.pictures.update(image=shipped.pictures.get().image)
        assert may_learn(tried)
        Escape.objects.create(
            unit=unit,
            found_at=timezone.now(),
            found_where="customer",
            reported_by=User.objects.create(username="q"),
        )
        assert not may_learn(tried)
        with pytest.raises(UserError, match="confirmed defect"):
            propose_good_parts(None, [tried])

    def test_a_golden_part_is_never_learned(self, viewpoint: Viewpoint) -> None:
        passed = inspected(viewpoint, verdict="Passed")
        golden.take_over(None, passed, label="", must=True)
        with pytest.raises(UserError, match="golden set"):
            propose_good_parts(None, [passed])

    def test_it_takes_an_engineer(self, viewpoint: Viewpoint) -> None:
        inspector = MembershipFactory(product=viewpoint.product, role=Role.INSPECTOR).user
        with pytest.raises(NotAllowed):
            propose_good_parts(inspector, [rejected(viewpoint)])
        assert not DatasetImage.objects.filter(origin__isnull=False).exists()

    def test_the_run_that_learns_them_says_why_it_was_started(self, viewpoint: Viewpoint) -> None:
        assert retrain(None, viewpoint, TINY).trigger == TrainingRun.Trigger.PERSON
        propose_good_parts(None, [rejected(viewpoint)])
        assert retrain(None, viewpoint, TINY).trigger == TrainingRun.Trigger.SELECTION


def test_the_usual_settings_are_those_of_the_last_model(viewpoint: Viewpoint) -> None:
    TrainingRun.objects.update(preset="paper", method="csa", budget_minutes=42)
    assert usual_settings(viewpoint) == Settings("paper", "csa", 42)


class TestPlan:
    def plan(self, viewpoint: Viewpoint, **fields: object) -> RetrainingPlan:
        usual = {"every_days": 7, "on_drift": False, "least_new": 2, "settings": TINY}
        return set_plan(None, viewpoint, **{**usual, **fields})  # type: ignore[arg-type]

    def later(self, days: int = 8):
        return timezone.now() + timedelta(days=days)

    def test_nothing_starts_before_its_time(self, viewpoint: Viewpoint) -> None:
        self.plan(viewpoint)
        add_good_parts(viewpoint, 2)
        assert start_due() == []

    def test_a_turn_that_is_due_starts_one_run_and_sets_the_next(
        self, viewpoint: Viewpoint
    ) -> None:
        self.plan(viewpoint)
        add_good_parts(viewpoint, 2)
        now = self.later()
        (run,) = start_due(now)
        assert (run.trigger, run.vetting, run.method) == ("schedule", "exclude", "memory")
        assert start_due(now) == []
        plan = RetrainingPlan.objects.get()
        assert (plan.due_at, plan.last_run, plan.last_note) == (now + timedelta(days=7), run, "")

    def test_too_few_new_parts_are_a_note_and_no_run(self, viewpoint: Viewpoint) -> None:
        self.plan(viewpoint)
        assert start_due(self.later()) == []
        plan = RetrainingPlan.objects.get()
        assert "Only 0 good parts are new" in plan.last_note
        assert plan.note == plan.last_note
        with override("zh-hant"):
            assert plan.note == "自上一個模型以來只有 0 件新良品；要求 2 件。"
        add_good_parts(viewpoint, 2)
        assert start_due(self.later(16))
        assert RetrainingPlan.objects.get().note == ""

    def test_what_was_noted_before_it_had_a_language_is_still_shown(
        self, viewpoint: Viewpoint
    ) -> None:
        self.plan(viewpoint)
        RetrainingPlan.objects.update(last_note="Too few.")
        assert RetrainingPlan.objects.get().note == "Too few."

    def test_a_run_that_is_under_way_is_not_doubled(self, viewpoint: Viewpoint) -> None:
        self.plan(viewpoint, least_new=0)
        retrain(None, viewpoint, TINY)
        assert start_due(self.later()) == []
        assert "under way" in RetrainingPlan.objects.get().last_note

    def test_a_drift_alert_starts_a_run_only_where_that_is_wanted(
        self, viewpoint: Viewpoint
    ) -> None:
        self.plan(viewpoint, every_days=None)
        assert not note_drift(viewpoint)
        self.plan(viewpoint, every_days=None, on_drift=True, least_new=0)
        assert note_drift(viewpoint)
        assert not note_drift(viewpoint), "two alerts before the answer are one"
        (run,) = start_due()
        assert run.trigger == "drift"
        assert start_due() == []

    def test_a_drift_alert_that_cannot_be_answered_is_told(self, viewpoint: Viewpoint) -> None:
        engineer = MembershipFactory(product=viewpoint.product, role=Role.ENGINEER).user
        self.plan(viewpoint, every_days=None, on_drift=True)
        note_drift(viewpoint)
        assert start_due() == []
        assert "drifts" in Notification.objects.get(user=engineer).title

    @pytest.mark.parametrize(
        ("language", "said"),
        [("en", "Only 0 good parts are new"), ("zh-hant", "自上一個模型以來只有 0 件新良品")],
    )
    def test_why_it_was_not_answered_is_told_in_ones_own_language(
        self, viewpoint: Viewpoint, language: str, said: str
    ) -> None:
        engineer = MembershipFactory(
            product=viewpoint.product, role=Role.ENGINEER, user__language=language
        ).user
        self.plan(viewpoint, every_days=None, on_drift=True)
        note_drift(viewpoint)
        assert start_due() == []
        assert said in Notification.objects.get(user=engineer).text

    def test_a_plan_is_audited_with_what_it_was(self, viewpoint: Viewpoint) -> None:
        self.plan(viewpoint)
        self.plan(viewpoint, every_days=30)
        event = AuditEvent.objects.filter(action="retraining.planned").latest("id")
        assert (event.before["every_days"], event.after["every_days"]) == (7, 30)
        with pytest.raises(UserError, match="1 to 366"):
            self.plan(viewpoint, every_days=0)

    def test_an_archived_product_is_left_alone(self, viewpoint: Viewpoint) -> None:
        self.plan(viewpoint, least_new=0)
        viewpoint.product.archived_at = timezone.now()
        viewpoint.product.save()
        assert start_due(self.later()) == []


@pytest.mark.django_db(transaction=True)
def test_of_two_schedulers_one_takes_the_turn(viewpoint: Viewpoint) -> None:
    set_plan(None, viewpoint, every_days=1, on_drift=False, least_new=0, settings=TINY)
    now = timezone.now() + timedelta(days=2)
    started = at_once([lambda: start_due(now)] * 4, threads=4)
    assert sum(map(len, started)) == 1
    assert TrainingRun.objects.filter(state=JobState.QUEUED).count() == 1
