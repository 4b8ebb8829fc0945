"""What is new since the last model, by program: as the page “Train again” counts it."""

from uuid import uuid4

import pytest

from inspection.models import SCOPES, DatasetImage, ReviewState, SnapshotImage, Viewpoint
from inspection.services import datasets, retraining, training
from tests.factories.api_key import Program, key_of
from tests.factories.batch import BatchFactory
from tests.factories.inspection import InspectionFactory, InspectionImageFactory
from tests.factories.jobs import add_good_parts, make_version, make_viewpoint
from tests.factories.user import UserFactory

pytestmark = pytest.mark.django_db
LEARNED = 60


@pytest.fixture
def program() -> Program:
    return Program(key_of(UserFactory(role="viewer")))


@pytest.fixture
def viewpoint() -> Viewpoint:
    """With a model that learned from 60 good parts."""
    version = make_version()
    snapshot = version.training_run.snapshot
    for item in add_good_parts(version.viewpoint, LEARNED):
        SnapshotImage.objects.create(snapshot=snapshot, image=item.image, file_name=item.file_name)
    return version.viewpoint


def names(program: Program, viewpoint: Viewpoint, what: str) -> list[str]:
    answer = program.json("GET", f"viewpoints/{viewpoint.pk}/changes/{what}")
    assert answer.status_code == 200, answer.content
    return [one["file_name"] for one in answer.json()["results"]]


def test_what_is_new_left_out_and_gone_is_counted_and_listed(
    program: Program, viewpoint: Viewpoint
) -> None:
    out, gone = DatasetImage.objects.order_by("id")[:2]
    add_good_parts(viewpoint, 3)
    datasets.exclude_image(None, out, "wrong part")
    datasets.remove_images(None, gone.dataset, [gone.image_id])
    snapshot = viewpoint.training_runs.get().snapshot
    told = program.json("GET", f"viewpoints/{viewpoint.pk}/changes").json()
    assert told.pop("snapshot_at")
    assert told == {
        "viewpoint": str(viewpoint.pk),
        "snapshot": str(snapshot.pk),
        "snapshot_number": snapshot.number,
        "usable": LEARNED + 1,
        "missing": max(0, training.MIN_PICTURES - LEARNED - 1),
        "added": 3,
        "left_out": 1,
        "gone": 1,
    }
    assert names(program, viewpoint, "added") == ["good-2.png", "good-1.png", "good-0.png"]
    assert names(program, viewpoint, "left_out") == [out.file_name]
    assert names(program, viewpoint, "gone") == [gone.file_name]
    (left_out,) = program.json("GET", f"viewpoints/{viewpoint.pk}/changes/left_out").json()[
        "results"
    ]
    assert left_out["excluded_reason"] == "wrong part"


def test_a_part_that_was_taken_over_says_from_where(program: Program, viewpoint: Viewpoint) -> None:
    batch = BatchFactory(model_version=viewpoint.model_versions.get())
    called = InspectionFactory(batch=batch, review_state=ReviewState.REJECTED)
    InspectionImageFactory(inspection=called)
    retraining.propose_good_parts(None, [called])
    add_good_parts(viewpoint, 1)
    rows = program.json("GET", f"viewpoints/{viewpoint.pk}/changes/added?limit=500").json()
    assert [one["origin"] for one in rows["results"]] == [None, str(called.pk)]


def test_without_a_model_everything_is_new_and_more_is_missing(program: Program) -> None:
    fresh = make_viewpoint()
    add_good_parts(fresh, 2)
    told = program.json("GET", f"viewpoints/{fresh.pk}/changes").json()
    assert [told[name] for name in ("snapshot", "snapshot_number", "snapshot_at")] == [None] * 3
    assert (told["added"], told["usable"], told["gone"]) == (2, 2, 0)
    assert told["missing"] == training.MIN_PICTURES - 2


def test_who_does_not_see_the_product_finds_nothing(viewpoint: Viewpoint) -> None:
    stranger = Program(key_of(UserFactory()))
    for below in ("", "/added", "/left_out", "/gone"):
        assert stranger.json("GET", f"viewpoints/{viewpoint.pk}/changes{below}").status_code == 404
        assert stranger.json("GET", f"viewpoints/{uuid4()}/changes{below}").status_code == 404


def test_it_takes_the_scope_of_datasets(viewpoint: Viewpoint) -> None:
    owner = UserFactory(role="engineer")
    mes = Program(key_of(owner, [one for one in SCOPES if not one.startswith("datasets")]))
    assert mes.json("GET", f"viewpoints/{viewpoint.pk}/changes").status_code == 403


def test_what_did_not_change_is_not_sent_twice(program: Program, viewpoint: Viewpoint) -> None:
    at = f"viewpoints/{viewpoint.pk}/changes"
    tag = {"If-None-Match": program.json("GET", at)["ETag"]}
    assert program.json("GET", at, **tag).status_code == 304
    add_good_parts(viewpoint, 1)
    assert program.json("GET", at, **tag).status_code == 200
