"""Starting, vetting, cancelling and resuming runs: what a person may do and is told."""

import pytest
from pytest_django import Settings

from inspection.errors import NotAllowed, UserError, WrongState
from inspection.jobs.publish import waiting_messages
from inspection.models import (
    AuditEvent,
    JobState,
    Membership,
    Role,
    SnapshotImage,
    Symmetry,
    TrainingRun,
    User,
    Viewpoint,
)
from inspection.services import datasets, training, viewpoints
from inspection.services.run_body import write_job
from inspection.web import words
from ml.methods import METHODS
from ml.train.job import SYMMETRIES, Job
from tests.factories.jobs import add_good_parts, make_image, make_run, make_viewpoint

pytestmark = pytest.mark.django_db
ENOUGH = training.MIN_PICTURES


def start(viewpoint: Viewpoint, user: User | None = None, **settings: object) -> TrainingRun:
    return training.start_run(
        user, viewpoint, **{"preset": "tiny", "budget_minutes": 1, **settings}
    )  # type: ignore[arg-type]


@pytest.fixture
def viewpoint() -> Viewpoint:
    made = make_viewpoint()
    add_good_parts(made, ENOUGH)
    return made


@pytest.mark.parametrize(
    ("there", "words"),
    [(0, "no picture of a good part is there. Upload 60"), (3, "3 usable pictures are there")],
)
def test_too_few_pictures_are_refused_with_how_many_are_missing(there: int, words: str) -> None:
    viewpoint = make_viewpoint()
    add_good_parts(viewpoint, there)
    with pytest.raises(UserError, match=words) as refusal:
        start(viewpoint)
    assert refusal.value.code == "too_few_pictures"
    assert not TrainingRun.objects.exists()


def test_pictures_that_were_left_out_do_not_count_and_are_written_down(
    viewpoint: Viewpoint,
) -> None:
    item = viewpoint.datasets.get().items.first()
    assert item is not None
    datasets.exclude_image(None, item, "wrong part")
    with pytest.raises(UserError, match="59 usable pictures"):
        start(viewpoint)
    add_good_parts(viewpoint, 1)
    left_out = start(viewpoint).snapshot.items.get(image=item.image)
    assert (left_out.decision, left_out.reason) == (SnapshotImage.Decision.EXCLUDED, "wrong part")


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"budget_minutes": 0.05}, "budget_minutes"),
        ({"budget_minutes": 10081}, "budget_minutes"),
        ({"budget_minutes": float("nan")}, "budget_minutes"),
        ({"preset": "huge"}, "preset"),
        ({"method": "guess"}, "method"),
        ({"vetting": "maybe"}, "vetting"),
        ({"seed": -1}, "seed"),
        ({"steps": 0}, "steps"),
    ],
)
def test_settings_that_make_no_sense_name_their_field(
    viewpoint: Viewpoint, settings: dict[str, object], field: str
) -> None:
    with pytest.raises(UserError) as refusal:
        start(viewpoint, **settings)
    assert refusal.value.field == field


def test_a_full_disk_refuses_a_run(viewpoint: Viewpoint, settings: Settings) -> None:
    settings.MIN_FREE_GB = 10**6
    with pytest.raises(UserError, match="must stay free") as refusal:
        start(viewpoint)
    assert refusal.value.code == "disk_full"


def test_only_an_engineer_of_the_product_starts_runs(viewpoint: Viewpoint) -> None:
    user = User.objects.create(username="inspector")
    Membership.objects.create(user=user, product=viewpoint.product, role=Role.INSPECTOR)
    with pytest.raises(NotAllowed):
        start(viewpoint, user)


@pytest.mark.usefixtures("transactional_db", "empty_queues")
def test_a_started_run_is_queued_audited_and_published(viewpoint: Viewpoint) -> None:
    first, second = start(viewpoint), start(viewpoint)
    assert (first.number, second.number) == (1, 2)
    first.refresh_from_db()
    assert (first.state, first.published_at is not None) == (JobState.QUEUED, True)
    assert waiting_messages("train") == 2
    assert AuditEvent.objects.filter(action="run.started", object_id=first.pk).exists()


def test_the_method_is_the_fused_one_unless_another_is_chosen(viewpoint: Viewpoint) -> None:
    assert start(viewpoint).method == "fused"
    other = start(viewpoint, method="memory")
    assert other.method == "memory"
    assert AuditEvent.objects.get(object_id=other.pk).after["method"] == "memory"


@pytest.mark.parametrize("method", TrainingRun.Method.values)
def test_the_training_process_understands_the_job_of_every_method(
    viewpoint: Viewpoint, method: str
) -> None:
    zone = {"x": 0.1, "y": 0.2, "width": 0.3, "height": 0.4}
    viewpoints.set_repair_zones(None, viewpoint, [zone])
    viewpoints.set_symmetries(None, viewpoint, list(Symmetry.values))
    run = start(viewpoint, method=method)
    viewpoints.set_repair_zones(None, viewpoint, [])
    job = Job.read(write_job(run))
    assert job.method == method
    assert job.repair_zones == [[0.1, 0.2, 0.3, 0.4]], "as they were when the run began"
    assert job.symmetries == list(Symmetry.values)


def test_app_and_training_process_know_the_same_methods_and_symmetries() -> None:
    assert set(TrainingRun.Method.values) == set(METHODS) == set(words.METHODS)
    assert tuple(Symmetry.values) == SYMMETRIES
    assert set(words.SYMMETRIES) == set(SYMMETRIES)


class TestVetting:
    @pytest.fixture
    def run(self) -> TrainingRun:
        run = make_run(state=JobState.PAUSED, attempt=1)
        for n in range(ENOUGH + 1):
            SnapshotImage.objects.create(
                snapshot=run.snapshot,
                image=make_image(),
                file_name=f"{n}.png",
                vet_suggests_exclusion=n < 2,
            )
        return run

    def test_a_decision_is_kept_and_audited(self, run: TrainingRun) -> None:
        item = run.snapshot.items.get(file_name="0.png")
        training.decide_vetting(None, run, item, keep=False)
        item.refresh_from_db()
        assert item.decision == SnapshotImage.Decision.EXCLUDED
        assert AuditEvent.objects.get(action="vetting.excluded").after["file"] == "0.png"

    def test_suggestions_do_not_overrule_a_person(self, run: TrainingRun) -> None:
        kept = run.snapshot.items.get(file_name="0.png")
        training.decide_vetting(None, run, kept, keep=True)
        assert training.decide_all_suggested(None, run) == 1
        kept.refresh_from_db()
        assert kept.decision == SnapshotImage.Decision.KEPT

    def test_the_run_goes_on_in_the_queue_with_fresh_attempts(self, run: TrainingRun) -> None:
        training.continue_after_vetting(None, run)
        run.refresh_from_db()
        assert (run.state, run.vetted, run.attempt) == (JobState.QUEUED, True, 0)
        with pytest.raises(WrongState):
            training.continue_after_vetting(None, run)

    def test_too_few_left_is_refused(self, run: TrainingRun) -> None:
        training.decide_all_suggested(None, run)
        with pytest.raises(UserError, match="Only 59 pictures are left"):
            training.continue_after_vetting(None, run)

    def test_a_picture_of_another_run_cannot_be_decided_on(self, run: TrainingRun) -> None:
        other = SnapshotImage.objects.create(
            snapshot=make_run().snapshot, image=make_image(), file_name="x.png"
        )
        with pytest.raises(WrongState):
            training.decide_vetting(None, run, other, keep=False)


def test_a_waiting_run_is_cancelled_at_once_and_a_second_cancel_is_refused() -> None:
    run = make_run()
    training.cancel_run(None, run)
    assert run.state == JobState.CANCELLED
    with pytest.raises(WrongState):
        training.cancel_run(None, run)


def test_a_failed_run_can_be_resumed_and_a_running_one_not() -> None:
    run = make_run(state=JobState.FAILED, attempt=4, error="x", error_code="y")
    training.resume_run(None, run)
    assert (run.state, run.attempt, run.error) == (JobState.QUEUED, 0, "")
    with pytest.raises(WrongState):
        training.resume_run(None, run)
