"""Work of every kind for programs: what the status bar and the jobs page show, and stopping it."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from inspection.models import JobState, Role, Upload
from inspection.services import job_lists, uploads
from tests.factories.api_key import Program, key_of
from tests.factories.batch import BatchFactory
from tests.factories.dataset import DatasetSnapshotFactory
from tests.factories.inspection import InspectionFactory
from tests.factories.jobs import make_chunk
from tests.factories.membership import MembershipFactory
from tests.factories.report import ReportFactory
from tests.factories.training_run import TrainingRunFactory
from tests.factories.unit import LotFactory
from tests.factories.upload import UploadArchiveFactory, UploadFactory, UploadReceiptFactory
from tests.factories.user import UserFactory
from tests.unit.web.conftest import signed_in

pytestmark = pytest.mark.django_db


@dataclass
class Plant:
    """A batch that is half scored, a run and a report under way, files coming and a zip waiting;
    and of each something that has ended."""

    product: Any
    going: dict[str, Any] = field(default_factory=dict)
    ended: dict[str, Any] = field(default_factory=dict)


def build() -> Plant:
    batch = BatchFactory()
    viewpoint, product = batch.viewpoint, batch.viewpoint.product
    plant = Plant(product)
    make_chunk(batch, state=JobState.RUNNING)
    InspectionFactory(batch=batch)
    InspectionFactory(batch=batch, verdict="", completed_at=None)
    plant.going["batch"] = batch
    plant.ended["batch"] = BatchFactory(
        model_version=batch.model_version, sealed_at=timezone.now(), completed_at=timezone.now()
    )
    first = batch.model_version.training_run
    dataset = first.snapshot.dataset
    type(first).objects.filter(pk=first.pk).update(
        state=JobState.FAILED, error="Too dark.", finished_at=timezone.now()
    )
    plant.ended["training"] = first
    plant.going["training"] = TrainingRunFactory(
        viewpoint=viewpoint,
        snapshot=DatasetSnapshotFactory(dataset=dataset),
        state=JobState.RUNNING,
        progress={"fraction": 0.5, "eta_total_s": 30.0},
        started_by=UserFactory(),
    )
    lot = LotFactory(product=product)
    progress = {"fraction": 0.1, "eta_s": 9.0}
    plant.going["report"] = ReportFactory(
        lot=lot, product=product, state=JobState.RUNNING, progress=progress
    )
    plant.ended["report"] = ReportFactory(lot=lot, product=product, state=JobState.DONE)
    plant.going["upload"] = UploadFactory(dataset=dataset, state=JobState.QUEUED)
    UploadArchiveFactory(upload=plant.going["upload"], members_total=3)
    UploadReceiptFactory(upload=plant.going["upload"])
    plant.ended["upload"] = UploadFactory(dataset=dataset, closed_at=timezone.now())
    UploadArchiveFactory(upload=plant.ended["upload"], unpacked_at=timezone.now())
    return plant


@pytest.fixture
def plant() -> Plant:
    return build()


@pytest.fixture
def engineer() -> Program:
    return Program(key_of(UserFactory(role="engineer")))


def jobs(program: Program, query: str = "") -> dict[str, Any]:
    answer = program.json("GET", f"jobs{query}")
    assert answer.status_code == 200, answer.content
    told: dict[str, Any] = answer.json()
    return told


def keys(told: list[dict[str, Any]]) -> dict[str, str]:
    return {one["kind"]: one["id"] for one in told}


def of_kind(told: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = [one for one in told if one["kind"] == kind]
    return found


def test_running_work_comes_with_its_progress(engineer: Program, plant: Plant) -> None:
    told = jobs(engineer)["running"]
    assert keys(told) == {kind: str(row.pk) for kind, row in plant.going.items()}
    assert [one["id"] for one in told] == sorted((one["id"] for one in told), reverse=True)
    shares = {one["kind"]: (one["state"], one["fraction"], one["eta_s"]) for one in told}
    assert shares == {
        "batch": ("open", 0.5, None),
        "training": ("running", 0.5, 30.0),
        "report": ("running", 0.1, 9.0),
        "upload": ("queued", pytest.approx(1 / 3), None),
    }
    run = of_kind(told, "training")
    assert (run["by"], run["number"], run["product"]) == (
        plant.going["training"].started_by.username,
        plant.going["training"].number,
        plant.product.code,
    )


def test_it_is_the_list_of_the_status_bar(engineer: Program, plant: Plant) -> None:
    bar = signed_in(UserFactory(role="engineer")).get(reverse("jobs_running")).json()["jobs"]
    names = ("id", "kind", "title", "state", "fraction", "eta_s")
    shown = {tuple(line[name] for name in names) for line in bar}
    assert {tuple(one[name] for name in names) for one in jobs(engineer)["running"]} == shown
    assert len(shown) == 4


def test_what_ended_lately_is_told_apart(engineer: Program, plant: Plant) -> None:
    told = jobs(engineer)["recent"]
    assert keys(told) == {kind: str(row.pk) for kind, row in plant.ended.items()}
    assert {one["cancel"] for one in told} == {None}
    run = of_kind(told, "training")
    assert (run["state"], run["error"]) == ("failed", "Too dark.")
    assert run["finished_at"] is not None
    assert of_kind(told, "batch")["state"] == "done"


def test_addresses_lead_to_the_job_and_stop_it(engineer: Program, plant: Plant) -> None:
    for one in jobs(engineer)["running"]:
        if one["address"]:
            there = engineer.get(one["address"])
            assert (there.status_code, there.json()["id"]) == (200, one["id"])
        answer = engineer.post(one["cancel"])
        assert answer.status_code == 200, (one["kind"], answer.content)
        plant.going[one["kind"]].refresh_from_db()
        assert plant.going[one["kind"]].cancel_requested_at is not None
    for one in jobs(engineer)["running"]:
        assert one["cancel"] is None, "nothing is offered twice"


def test_what_is_offered_is_what_one_may_stop(plant: Plant) -> None:
    for role, offered in (
        (Role.VIEWER, set()),
        (Role.INSPECTOR, {"batch"}),
        (Role.ENGINEER, {"batch", "training", "report", "upload"}),
    ):
        person = MembershipFactory(product=plant.product, role=role).user
        told = jobs(Program(key_of(person)))["running"]
        assert {one["kind"] for one in told if one["cancel"]} == offered, role


def test_a_report_of_ones_own_may_be_stopped(plant: Plant) -> None:
    person = MembershipFactory(product=plant.product, role=Role.VIEWER).user
    report = plant.going["report"]
    type(report).objects.filter(pk=report.pk).update(requested_by=person)
    told = jobs(Program(key_of(person)))["running"]
    assert {one["kind"] for one in told if one["cancel"]} == {"report"}


def test_a_stopped_upload_takes_nothing_more(engineer: Program, plant: Plant) -> None:
    upload = plant.going["upload"]
    told = engineer.json("POST", f"jobs/uploads/{upload.pk}/cancel")
    assert (told.json()["state"], told.json()["cancel"]) == ("cancelled", None)
    upload.refresh_from_db()
    assert upload.closed_at is not None
    assert not upload.archives.filter(unpacked_at=None).exists()


def test_failed_unpacking_goes_on_where_the_zip_still_waits(
    engineer: Program, plant: Plant, settings: Any, tmp_path: Any
) -> None:
    settings.STAGING_DIR = tmp_path
    upload = plant.going["upload"]
    path = f"jobs/uploads/{upload.pk}/resume"
    assert engineer.json("POST", path).json()["code"] == "not_resumable"
    Upload.objects.filter(pk=upload.pk).update(state=JobState.FAILED, finished_at=timezone.now())
    assert engineer.json("POST", path).json()["code"] == "nothing_waits"
    uploads.staged_archive(upload.archives.get().path).write_bytes(b"zip")
    told = engineer.json("POST", path)
    assert (told.status_code, told.json()["state"]) == (200, "queued")


def test_one_product_is_told_apart_and_others_stay_hidden(engineer: Program, plant: Plant) -> None:
    other = build()
    told = jobs(engineer, f"?product={plant.product.code}")
    assert keys(told["running"]) == {kind: str(row.pk) for kind, row in plant.going.items()}
    assert len(told["running"]) == len(told["recent"]) == 4
    assert len(jobs(engineer)["running"]) == 8
    assert engineer.json("GET", "jobs?product=NO").status_code == 422
    member = Program(key_of(MembershipFactory(product=other.product, role=Role.ENGINEER).user))
    assert keys(jobs(member)["running"]) == {k: str(row.pk) for k, row in other.going.items()}
    assert member.json("GET", f"jobs?product={plant.product.code}").status_code == 422
    path = f"jobs/uploads/{plant.going['upload'].pk}/cancel"
    assert member.json("POST", path).status_code == 404


def test_the_list_is_bounded(
    engineer: Program, plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    build()
    monkeypatch.setattr(job_lists, "RECENT", 1)
    told = jobs(engineer)
    assert len(told["running"]) == 4
    assert len(told["recent"]) <= 4


def test_more_work_is_not_more_questions(engineer: Program, plant: Plant) -> None:
    def questions() -> int:
        with CaptureQueriesContext(connection) as asked:
            jobs(engineer)
        return len(asked)

    questions()
    few = questions()
    for _ in range(3):
        build()
    assert questions() == few


@pytest.mark.parametrize("scope", ["runs:read", "inspections:read"])
def test_it_takes_both_scopes(plant: Plant, scope: str) -> None:
    program = Program(key_of(UserFactory(role="engineer"), [scope]))
    assert program.json("GET", "jobs").status_code == 403
