"""One of everything that the API tells of, all of one product."""

import io
from dataclasses import dataclass, field
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone

from inspection.models import (
    AuditEvent,
    Dataset,
    Delivery,
    DeliveryAttempt,
    DriftAlert,
    EventType,
    GateCheck,
    IntakeFile,
    JobState,
    ModelVersion,
    Notification,
    OutboxEvent,
    Purpose,
    Report,
    ReportKind,
    ReviewState,
    RunLogLine,
    RunMetric,
    RunSample,
    SnapshotImage,
)
from inspection.services import (
    audit,
    batches,
    escapes,
    images,
    pictures,
    retraining,
    retraining_plans,
    reviews,
    tallies,
)

from .batch import BatchFactory
from .dataset import DatasetFactory, DatasetImageFactory, DatasetSnapshotFactory
from .exchange import EndpointFactory
from .files import picture
from .inspection import ImageResultFactory, InspectionFactory, InspectionImageFactory
from .intake import IntakeFactory
from .membership import MembershipFactory
from .model_version import ModelVersionFactory
from .product import ProductFactory
from .report import ReportFactory, ReportScheduleFactory
from .review import ReasonCodeFactory
from .station import StationFactory
from .training_run import TrainingRunFactory
from .unit import LotFactory, UnitFactory
from .upload import UploadArchiveFactory, UploadFactory
from .user import UserFactory
from .viewpoint import ViewpointFactory

WATCHED = "/srv/machines"  # below it folders may be watched, where a test allows it


@dataclass
class Plant:
    """`rows` by the names that addresses of tests use; `owner` reviewed and reported."""

    owner: Any
    rows: dict[str, Any] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["rows"][name]
        except KeyError as error:
            raise AttributeError(name) from error

    @property
    def keys(self) -> dict[str, str]:
        return {name: str(row.pk) for name, row in self.rows.items()}


def build() -> Plant:
    """A product with pictures, runs in every state, models, a lot that was judged, and more."""
    plant = Plant(UserFactory(username="owner", role="engineer"))
    rows = plant.rows
    rows["product"] = ProductFactory(code="BOARD-A")
    rows["shelved"] = ProductFactory(code="BOARD-OLD", archived_at=timezone.now())
    rows["viewpoint"] = ViewpointFactory(product=rows["product"])
    rows["station"] = StationFactory(code="AOI-1", line="SMT 1")
    _pictures(plant)
    _runs(plant)
    _models(plant)
    _parts(plant)
    _around(plant)
    return plant


def _pictures(plant: Plant) -> None:
    rows = plant.rows
    rows["dataset"] = DatasetFactory(viewpoint=plant.viewpoint)
    rows["golden"] = DatasetFactory(
        viewpoint=plant.viewpoint, name="Golden set", purpose=Dataset.Purpose.GOLDEN
    )
    rows["image"], _ = images.store_image(plant.owner, "part.png", io.BytesIO(picture(1)))
    rows["loose"], _ = images.store_image(plant.owner, "loose.png", io.BytesIO(picture(2)))
    pictures.own(plant.owner, plant.loose)
    rows["item"] = DatasetImageFactory(dataset=plant.dataset, image=plant.image)
    DatasetImageFactory(dataset=plant.golden, image=plant.image)
    for name, state in {"drop": JobState.RUNNING, "stuck": JobState.FAILED}.items():
        rows[name] = UploadFactory(dataset=plant.dataset, created_by=plant.owner, state=state)
        UploadArchiveFactory(upload=rows[name])


def _runs(plant: Plant) -> None:
    rows, viewpoint = plant.rows, plant.viewpoint
    states = {
        "run": JobState.RUNNING,
        "failed": JobState.FAILED,
        "paused": JobState.PAUSED,
        "done": JobState.DONE,
        "older_done": JobState.DONE,
        "newest_done": JobState.DONE,
    }
    for name, state in states.items():
        frozen = DatasetSnapshotFactory(dataset=plant.dataset)
        rows[name] = TrainingRunFactory(viewpoint=viewpoint, state=state, snapshot=frozen)
    run = plant.run
    run.stages = [{"name": "train", "state": "running"}]
    run.progress = {"fraction": 0.5, "eta_total_s": 30.0}
    run.save()
    for step in range(3):
        RunMetric.objects.create(run=run, stage="train", step=step, values={"loss": 1 / (1 + step)})
    RunLogLine.objects.create(run=run, attempt=1, message="Learning.")
    rows["sample"] = RunSample.objects.create(
        run=run, stage="train", step=1, storage_key=stored("sample.webp"), columns=["a"]
    )
    rows["suspect"] = SnapshotImage.objects.create(
        snapshot=plant.paused.snapshot,
        image=plant.image,
        file_name="part.png",
        vet_flagged=True,
        vet_rank=1,
        vet_score=3.5,
        vet_flags=["blurred"],
        vet_suggests_exclusion=True,
    )


def _models(plant: Plant) -> None:
    rows, State = plant.rows, ModelVersion.State
    now = timezone.now()
    rows["retired"] = ModelVersionFactory(
        training_run=plant.older_done, state=State.RETIRED, promoted_at=now
    )
    rows["model"] = ModelVersionFactory(
        training_run=plant.done, promoted_at=now, replaced=plant.retired
    )
    rows["candidate"] = ModelVersionFactory(training_run=plant.newest_done, state=State.CANDIDATE)
    rows["gate"] = GateCheck.objects.create(
        candidate=plant.candidate,
        baseline=plant.model,
        dataset=plant.golden,
        digest="0" * 64,
        candidate_batch=BatchFactory(
            model_version=plant.candidate, purpose=Purpose.GOLDEN, number=1901
        ),
        state=GateCheck.State.DONE,
        passed=False,
        outcome={"failures": []},
    )


def _parts(plant: Plant) -> None:
    rows, product = plant.rows, plant.product
    rows["lot"] = LotFactory(product=product, code="L-7")
    rows["unit"] = UnitFactory(product=product, lot=plant.lot, serial_number="SN1", panel_id="P1")
    rows["batch"] = batches.open_batch(
        None, plant.viewpoint, name="Batch", purpose=Purpose.PRODUCTION, lot_code="L-7"
    )
    judged = BatchFactory(model_version=plant.model, lot=plant.lot, number=5902)
    rows["inspection"] = InspectionFactory(
        batch=judged, unit=plant.unit, lot=plant.lot, station=plant.station, is_record=True
    )
    rows["fresh"] = InspectionFactory(batch=judged, lot=plant.lot)
    rows["passed"] = InspectionFactory(batch=judged, lot=plant.lot, verdict="Passed")
    taken, _ = images.store_image(plant.owner, "passed.png", io.BytesIO(picture(3)))
    InspectionImageFactory(inspection=plant.passed, image=taken)
    large = picture(4, size=(2100, 40))  # more than a preview shows
    rows["large"], _ = images.store_image(plant.owner, "large.png", io.BytesIO(large))
    InspectionImageFactory(inspection=plant.fresh, image=plant.large)
    seen = InspectionImageFactory(inspection=plant.inspection, image=plant.image)
    names = {f"{name}_key": stored(name) for name in ("view", "restored", "heatmap")}
    rows["result"] = ImageResultFactory(picture=seen, **names)
    rows["rescored"] = BatchFactory(
        model_version=plant.candidate, purpose=Purpose.RESCORE, number=5903
    )
    InspectionFactory(
        batch=plant.rescored, origin=plant.inspection, verdict="Passed", unit=plant.unit
    )


def _around(plant: Plant) -> None:
    rows = plant.rows
    tallies.recount()
    rows["reason"] = ReasonCodeFactory(product=plant.product, code="BRIDGE")
    rows["review"] = reviews.record_review(
        plant.owner, plant.inspection, state=ReviewState.CONFIRMED, reason_code=plant.reason
    )
    rows["escape"] = escapes.report_escape(plant.owner, serial_number="SN1", found_where="Line 2")
    rows["report"] = ReportFactory(lot=plant.lot, product=plant.product, requested_by=plant.owner)
    rows["made"] = ReportFactory(
        lot=plant.lot,
        product=plant.product,
        requested_by=plant.owner,
        state=JobState.DONE,
        file_key=stored("report.csv"),
    )
    assert isinstance(plant.made, Report)
    rows["unsent"] = ReportFactory(
        lot=plant.lot,
        product=plant.product,
        state=JobState.DONE,
        file_key=stored("unsent.csv"),
        mail_to=["quality@plant.example"],
        mail_state=Report.Mail.FAILED,
        mail_error="The mail server refused it.",
    )
    rows["person"] = UserFactory()
    rows["gone"] = UserFactory(is_active=False)
    rows["membership"] = MembershipFactory(user=plant.person, product=plant.product)
    rows["notice"] = Notification.objects.create(user=plant.owner, kind="drift", title="It drifts")
    rows["plan"] = retraining_plans.set_plan(
        plant.owner,
        plant.viewpoint,
        every_days=30,
        on_drift=True,
        least_new=20,
        settings=retraining.usual_settings(plant.viewpoint),
    )
    watched = {"viewpoint": plant.viewpoint, "created_by": plant.owner, "stable_seconds": 5}
    rows["intake"] = intake = IntakeFactory(**watched, location=f"{WATCHED}/aoi3")
    rows["halted"] = IntakeFactory(**watched, location=f"{WATCHED}/aoi4", paused_at=timezone.now())
    rows["dropped"] = IntakeFile.objects.create(
        intake=intake,
        path="L-7_SN1_1.png",
        path_hash="0" * 64,
        size=9,
        same_since=timezone.now(),
        outcome=IntakeFile.Outcome.ACCEPTED,
        inspection=plant.inspection,
    )
    of_lots = {"product": plant.product, "kind": ReportKind.LOT_CSV}
    rows["schedule"] = ReportScheduleFactory(**of_lots)
    rows["ended"] = ReportScheduleFactory(**of_lots, ended_at=timezone.now())
    rows["endpoint"] = endpoint = EndpointFactory(name="MES", product=plant.product)
    rows["off"] = EndpointFactory(
        name="Off", product=plant.product, disabled_at=timezone.now(), disabled_because="moved"
    )
    event = OutboxEvent.objects.create(
        type=EventType.REVIEW_RECORDED, product=plant.product, payload={"id": "x"}
    )
    rows["delivery"] = Delivery.objects.create(
        endpoint=endpoint, event=event, state=Delivery.State.GIVEN_UP
    )
    rows["queued"] = Delivery.objects.create(endpoint=plant.off, event=event)
    DeliveryAttempt.objects.create(delivery=plant.delivery, number=1, status_code=500)
    now = timezone.now()
    rows["drift"] = DriftAlert.objects.create(
        viewpoint=plant.viewpoint,
        station=plant.station,
        model_version=plant.model,
        stream="one",
        began_at=now,
        value=1.2,
        low=0.4,
        high=1.0,
    )
    rows["event"] = audit.record(
        plant.owner, "product.edited", plant.product, product=plant.product
    )
    assert isinstance(plant.event, AuditEvent)


def stored(name: str) -> str:
    """The key of a small file in the storage."""
    return default_storage.save(f"plant/{name}", ContentFile(b"bytes of a file"))
