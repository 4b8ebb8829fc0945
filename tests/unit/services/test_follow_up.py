"""What the end of a run and of a chunk sets off."""

import pytest
from django.utils import timezone

from inspection.models import (
    DatasetImage,
    GateCheck,
    Inspection,
    JobState,
    ModelVersion,
    Notification,
    Role,
    ScoringChunk,
    TrainingRun,
    User,
)
from inspection.services import follow_up, gate, golden
from inspection.services.scoring import score_chunk
from tests.factories.jobs import make_image, make_run, make_version
from tests.factories.membership import MembershipFactory

pytestmark = pytest.mark.django_db


def engineer_of(run: TrainingRun) -> User:
    return MembershipFactory(product=run.viewpoint.product, role=Role.ENGINEER).user


def told(user: User) -> list[str]:
    return list(Notification.objects.filter(user=user).values_list("title", flat=True))


def with_golden(version: ModelVersion) -> None:
    dataset = golden.golden_set(version.viewpoint)
    for label in ("", "scratch"):
        DatasetImage.objects.create(
            dataset=dataset, image=make_image(), file_name="x.png", label=label
        )


def test_a_new_candidate_is_held_against_the_golden_set_at_once() -> None:
    active = make_version()
    candidate = make_version(active.viewpoint, state=ModelVersion.State.CANDIDATE)
    with_golden(active)
    engineer = engineer_of(candidate.training_run)
    follow_up.run_ended(candidate.training_run)
    assert GateCheck.objects.get().candidate == candidate
    assert told(engineer) == [], "the outcome of the gate is the news"


def test_without_a_golden_set_people_are_told_of_the_model() -> None:
    active = make_version()
    candidate = make_version(active.viewpoint, state=ModelVersion.State.CANDIDATE)
    engineer = engineer_of(candidate.training_run)
    follow_up.run_ended(candidate.training_run)
    (title,) = told(engineer)
    assert "waits to be promoted" in title
    assert Notification.objects.get(user=engineer).url == f"/models/{candidate.pk}/"


@pytest.mark.parametrize(
    ("state", "word"), [(JobState.FAILED, "failed"), (JobState.PAUSED, "waits for your decision")]
)
def test_a_run_that_needs_somebody_says_so(state: str, word: str) -> None:
    run = make_run(state=state, error="the disk is full")
    engineer = engineer_of(run)
    follow_up.run_ended(run)
    assert word in told(engineer)[0]


def test_a_run_that_was_given_back_is_no_news() -> None:
    run = make_run(state=JobState.QUEUED)
    engineer = engineer_of(run)
    follow_up.run_ended(run)
    assert told(engineer) == []


def test_the_last_chunk_settles_the_gate() -> None:
    active = make_version()
    candidate = make_version(active.viewpoint, state=ModelVersion.State.CANDIDATE)
    with_golden(active)
    check = gate.start(None, candidate)
    Inspection.objects.update(
        verdict="Passed", disposition="auto", score=0.5, completed_at=timezone.now()
    )
    chunk = ScoringChunk.objects.filter(batch=check.candidate_batch).latest("id")
    score_chunk(chunk.pk)
    check.refresh_from_db()
    assert (check.state, check.passed) == (GateCheck.State.DONE, True)
