"""One product with some of everything, and people who may see it or not."""

from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from inspection.models import (
    Dataset,
    DatasetImage,
    GateCheck,
    ImageResult,
    Inspection,
    ModelVersion,
    Product,
    Role,
    RunLogLine,
    RunMetric,
    RunSample,
    SnapshotImage,
    TrainingRun,
    Upload,
    User,
)
from inspection.services.gate_rules import Call, Part, outcome
from tests.factories.batch import BatchFactory
from tests.factories.dataset import DatasetFactory, DatasetImageFactory
from tests.factories.inspection import (
    ImageResultFactory,
    InspectionFactory,
    InspectionImageFactory,
)
from tests.factories.membership import MembershipFactory
from tests.factories.model_version import ModelVersionFactory
from tests.factories.training_run import TrainingRunFactory
from tests.factories.upload import UploadFactory, UploadReceiptFactory
from tests.factories.user import UserFactory


@dataclass
class World:
    """What the tests open pages of."""

    product: Product
    dataset: Dataset
    item: DatasetImage
    run: TrainingRun
    version: ModelVersion
    candidate: ModelVersion
    check: GateCheck
    rescored: Any
    batch: Any
    inspection: Inspection
    result: ImageResult
    sample: RunSample
    upload: Upload

    def pages(self) -> dict[str, str]:
        """Every address that shows something of this product."""
        product, run, batch = [self.product.pk], [self.run.pk], [self.batch.pk]
        return {
            "product": reverse("product", args=product),
            "edit": reverse("product_edit", args=product),
            "upload_new": reverse("upload_new", args=product),
            "train": reverse("train", args=product),
            "batch_new": reverse("batch_new", args=product),
            "tiles of the dataset": reverse("dataset_tiles", args=[self.dataset.pk]),
            "picture": reverse("picture", args=[self.item.pk]),
            "upload": reverse("upload", args=[self.upload.pk]),
            "receipts": reverse("upload_receipts", args=[self.upload.pk]),
            "run": reverse("run", args=run),
            "run state": reverse("run_state", args=run),
            "run metrics": reverse("run_metrics", args=run),
            "run log": reverse("run_log", args=run),
            "run samples": reverse("run_samples", args=run),
            "batch": reverse("batch", args=batch),
            "batch, worst first": reverse("batch", args=batch) + "?verdict=fail&order=worst",
            "batch head": reverse("batch_head", args=batch),
            "batch tiles": reverse("batch_tiles", args=batch),
            "inspection": reverse("inspection", args=[self.inspection.pk]),
            "inspection, worst first": reverse("inspection", args=[self.inspection.pk])
            + "?order=worst",
            "inspection found in Defects": reverse("inspection", args=[self.inspection.pk])
            + "?from=defects&verdict=fail",
            "good parts alike": reverse("inspection_alike", args=[self.inspection.pk]),
            "model": reverse("model", args=[self.version.pk]),
            "by kind": reverse("model_by_kind", args=[self.version.pk]),
            "limits": reverse("model_limits", args=[self.version.pk]),
            "other limits": reverse("model_limit_figures", args=[self.version.pk])
            + "?fail=5&review=20&defects=12",
            "candidate": reverse("model", args=[self.candidate.pk]),
            "gate": reverse("gate", args=[self.check.pk]),
            "golden set": reverse("golden", args=product),
            "retraining": reverse("retraining", args=product),
            "flips": reverse("batch_flips", args=[self.rescored.pk]),
            "flips of one kind": reverse("batch_flips", args=[self.rescored.pk])
            + "?was=fail&will=pass",
            "flips as CSV": reverse("batch_flips_csv", args=[self.rescored.pk]),
            "what limits change": reverse("model_limit_changes", args=[self.version.pk])
            + "?fail=5&review=20&was=fail&will=review",
            "viewpoint": reverse("viewpoint", args=product),
            "run with a model": reverse("run", args=[self.version.training_run_id]),
        }

    def files(self) -> dict[str, str]:
        """Every address that sends a picture of this product."""
        image, result = [self.item.image_id], self.result.pk
        return {
            "thumb": reverse("thumb", args=image),
            "preview": reverse("preview", args=image),
            "view": reverse("layer", args=[result, "view"]),
            "restored": reverse("layer", args=[result, "restored"]),
            "heatmap": reverse("layer", args=[result, "heatmap"]),
            "sample": reverse("sample", args=[self.sample.pk]),
        }


LISTS = (
    "products",
    "models",
    "jobs",
    "jobs_running",
    "notifications",
    "settings_about",
    "settings_weights",
)


def populate(size: int = 2) -> World:
    """A product with `size` of everything that a page lists."""
    dataset = DatasetFactory()
    viewpoint = dataset.viewpoint
    items = DatasetImageFactory.create_batch(size * 3, dataset=dataset)
    runs = TrainingRunFactory.create_batch(size, viewpoint=viewpoint, snapshot__dataset=dataset)
    run = runs[-1]
    SnapshotImage.objects.bulk_create(
        SnapshotImage(
            snapshot=run.snapshot,
            image=item.image,
            file_name=item.file_name,
            vet_flagged=True,
            vet_rank=rank,
            reason="This picture looks unlike the other good pictures.",
        )
        for rank, item in enumerate(items)
    )
    for step in range(size):
        RunMetric.objects.create(
            run=run, stage="inpaint", step=step, values={"loss": 1 / (step + 1)}
        )
        RunLogLine.objects.create(run=run, attempt=1, message=f"step {step}")
        sample = RunSample.objects.create(
            run=run, stage="inpaint", step=step, storage_key=f"runs/{step}.webp"
        )
    states = [ModelVersion.State.ACTIVE] + [ModelVersion.State.RETIRED] * (size - 1)
    versions = [
        ModelVersionFactory(
            training_run__viewpoint=viewpoint, training_run__snapshot__dataset=dataset, state=state
        )
        for state in states
    ]
    upload = UploadFactory(dataset=dataset)
    UploadReceiptFactory.create_batch(size, upload=upload)
    batches = BatchFactory.create_batch(size, model_version=versions[0])
    for inspection in InspectionFactory.create_batch(size * 2, batch=batches[-1]):
        result = ImageResultFactory(picture__inspection=inspection)
    InspectionFactory(batch=batches[-1], waiting=True)
    candidate, check = add_gate(dataset, versions[0], size)
    rescored = add_rescore(batches[-1], size)
    return World(
        product=viewpoint.product,
        dataset=dataset,
        item=items[0],
        run=run,
        version=versions[0],
        candidate=candidate,
        check=check,
        rescored=rescored,
        batch=batches[-1],
        inspection=result.inspection,
        result=result,
        sample=sample,
        upload=upload,
    )


def add_gate(dataset: Dataset, active: ModelVersion, size: int) -> tuple[ModelVersion, GateCheck]:
    """A candidate that lost a defect of the golden set, and won as many as there is room for."""
    viewpoint = dataset.viewpoint
    candidate = ModelVersionFactory(
        training_run__viewpoint=viewpoint,
        training_run__snapshot__dataset=dataset,
        state=ModelVersion.State.CANDIDATE,
    )
    golden = DatasetFactory(viewpoint=viewpoint, name="Golden set", purpose="golden")
    items = DatasetImageFactory.create_batch(size * 2, dataset=golden, label="scratch")
    ours, theirs = (
        BatchFactory(model_version=version, purpose="golden") for version in (candidate, active)
    )
    parts = []
    for n, item in enumerate(items):
        calls = []
        for batch, band in ((ours, "fail" if n else "pass"), (theirs, "pass" if n else "fail")):
            inspection = InspectionFactory(batch=batch, reference_label="scratch")
            InspectionImageFactory(inspection=inspection, image=item.image)
            calls.append(Call(band, 1.0, str(inspection.pk)))
        parts.append(Part(str(item.image_id), item.file_name, "scratch", not n, False, *calls))
    found = outcome(parts)
    check = GateCheck.objects.create(
        candidate=candidate,
        baseline=active,
        dataset=golden,
        digest="x",
        candidate_batch=ours,
        baseline_batch=theirs,
        state=GateCheck.State.DONE,
        passed=False,
        outcome=found,
    )
    return candidate, check


def add_rescore(batch: Any, size: int) -> Any:
    """A lot of which every other part passes under another version."""
    again = BatchFactory(model_version=batch.model_version, purpose="rescore")
    for n, origin in enumerate(batch.inspections.exclude(verdict="")[:size]):
        inspection = InspectionFactory(
            batch=again, origin=origin, verdict="Failed" if n % 2 else "Passed"
        )
        ImageResultFactory(picture__inspection=inspection)
    return again


@pytest.fixture
def world(db: None) -> World:
    return populate()


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def engineer(world: World) -> Client:
    """May do everything with this one product: the most questions to the database."""
    membership = MembershipFactory(product=world.product, role=Role.ENGINEER)
    return signed_in(membership.user)


@pytest.fixture
def viewer(world: World) -> Client:
    return signed_in(MembershipFactory(product=world.product, role=Role.VIEWER).user)


@pytest.fixture
def stranger(world: World) -> Client:
    """Signed in, with a role for another product only."""
    return signed_in(MembershipFactory(role=Role.ADMINISTRATOR).user)


@pytest.fixture
def nobody(db: None) -> Client:
    return signed_in(UserFactory())
