"""Rows and pictures that every page has something to show of, without any training.

    python tests/functional/seed.py [UNITS]        (with the settings of the stack)

Takes a few seconds. The pictures are the demo's own drawings; scores and heatmaps come from how
far a picture is from a good one, which is enough to look at pages by.
"""

# ruff: noqa: E402  (models can be imported once Django is set up)
import io
import json
import os
import random
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings.dev")

import django

django.setup()

import numpy as np
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from PIL import Image as Pillow

from inspection import ml_adapter
from inspection.ids import new_id
from inspection.models import (
    Batch,
    DatasetImage,
    Delivery,
    DeliveryAttempt,
    Disposition,
    Endpoint,
    GateCheck,
    Image,
    ImageResult,
    Inspection,
    InspectionImage,
    Intake,
    IntakeFile,
    JobState,
    Lot,
    ModelVersion,
    Product,
    Purpose,
    ReasonCode,
    ReportKind,
    ReviewState,
    RunLogLine,
    RunMetric,
    Station,
    TrainingRun,
    Unit,
    Upload,
    UploadReceipt,
    User,
    Verdict,
    Viewpoint,
)
from inspection.services import (
    images,
    notifications,
    products,
    report_job,
    report_pdf,
    report_schedules,
    reports,
    reviews,
    tallies,
)
from inspection.services.verdicts import strongest_cell
from inspection.web import urls
from ml.data.assemblies.writer import defective_sample, good_sample
from tests.factories.dataset import DatasetImageFactory, DatasetSnapshotFactory
from tests.factories.exchange import DeliveryFactory, EndpointFactory
from tests.factories.model_version import ModelVersionFactory
from tests.factories.training_run import TrainingRunFactory

KINDS = ("missing_part", "scratch", "solder_bridge", "shifted_part", "stain", "cut_lead")
SIZE = 128  # a quarter of the time to draw
Picture = Any  # an array, uint8 (H, W, 3)


def main(units: int) -> None:
    product = products.create_product(None, code="DEMO-ASSEMBLY", name="Demo assembly")
    viewpoint = product.viewpoints.get()
    good = [good_sample(1, n, size=SIZE).picture for n in range(12)]
    dataset = products.good_dataset(viewpoint)
    for n, pixels in enumerate(good):
        kept = keep(pixels, f"good-{n:03}.png")
        DatasetImageFactory(dataset=dataset, image=kept, file_name=kept.original_name)
    active = trained(viewpoint, ModelVersion.State.ACTIVE)
    trained(viewpoint, ModelVersion.State.CANDIDATE)
    batch = judged(active, good, units)
    refused_file(batch)
    watched_folder(batch)
    tallies.recount()
    judged_by_people(batch)
    tallies.recount()
    reported(batch)
    told()
    for user in User.objects.all():
        notifications.notify(
            user, kind="run_done", title="Model 2 of Demo assembly is trained", url="/models/"
        )


def keep(pixels: Picture, name: str) -> Image:
    return images.store_image(None, name, io.BytesIO(encoded(pixels, "PNG")))[0]


def encoded(pixels: Picture, kind: str) -> bytes:
    target = io.BytesIO()
    Pillow.fromarray(pixels).save(target, kind)
    return target.getvalue()


def trained(viewpoint: Viewpoint, state: str) -> ModelVersion:
    """A model without files, of a run with curves and a log."""
    dataset = products.good_dataset(viewpoint)
    now = timezone.now()
    run = TrainingRunFactory(
        viewpoint=viewpoint,
        snapshot=DatasetSnapshotFactory(dataset=dataset),
        state=JobState.DONE,
        started_at=now - timedelta(minutes=9),
        finished_at=now - timedelta(minutes=4),
        progress={"fraction": 1.0},
    )
    for step in range(40):
        RunMetric.objects.create(
            run=run, stage="inpaint", step=step, values={"loss": 0.4 / (1 + step / 8)}
        )
    RunLogLine.objects.create(run=run, attempt=1, message="40 steps at 8 pictures")
    return ModelVersionFactory(training_run=run, state=state, method="fused", scale_high=1.6)


def judged(version: ModelVersion, good: list[Picture], units: int) -> Batch:
    """A closed production batch of one lot: most passed, some failed, some to be looked at."""
    product = version.viewpoint.product
    lot = Lot.objects.create(product=product, code="L-2451", work_order="WO-88120")
    station = Station.objects.create(code="AOI-1", name="AOI after reflow", line="SMT 1")
    batch = Batch.objects.create(
        viewpoint=version.viewpoint,
        number=1,
        name="L-2451",
        lot=lot,
        station=station,
        model_version=version,
        operating_point=version.operating_points.get(),
        sealed_at=timezone.now(),
    )
    for n in range(units):
        judge(batch, good[n % len(good)], n)
    return batch


def judge(batch: Batch, reference: Picture, n: int) -> None:
    kind = KINDS[n // 4 % len(KINDS)] if n % 4 == 0 else ""
    sample = defective_sample(2, kind, n, size=SIZE) if kind else good_sample(3, n, size=SIZE)
    verdict, disposition, score = outcome(n, bool(kind))
    unit = Unit.objects.create(
        product=batch.viewpoint.product, lot=batch.lot, serial_number=f"SN-{4500 + n}"
    )
    inspection = Inspection.objects.create(
        viewpoint=batch.viewpoint,
        batch=batch,
        lot=batch.lot,
        unit=unit,
        station=batch.station,
        work_order=batch.lot.work_order if batch.lot else "",
        purpose=Purpose.PRODUCTION,
        model_version=batch.model_version,
        operating_point=batch.operating_point,
        verdict=verdict,
        disposition=disposition,
        score=score,
        p_value=None if score is None else 0.01 if kind else 0.42,
        error="The camera sent half a picture." if verdict == Verdict.ERROR else "",
        is_record=verdict in (Verdict.PASSED, Verdict.FAILED),
        completed_at=timezone.now() - timedelta(minutes=3 * n),
    )
    picture = InspectionImage.objects.create(
        inspection=inspection,
        image=keep(sample.picture, f"SN-{4500 + n}.png"),
        file_name=f"SN-{4500 + n}.png",
    )
    result = ImageResult(
        id=new_id(),
        inspection=inspection,
        picture=picture,
        model_version=batch.model_version,
        operating_point=batch.operating_point,
        verdict=verdict,
        disposition=disposition,
        score=score,
        p_value=inspection.p_value,
        error=inspection.error,
    )
    if score is not None:
        draw(result, sample.picture, sample.mask, reference)
        inspection.cell = strongest_cell([result])
        inspection.save(update_fields=["cell"])
    result.save(force_insert=True)


def outcome(n: int, defective: bool) -> tuple[str, str, float | None]:
    if n == 7:
        return Verdict.ERROR, Disposition.NEEDS_REVIEW, None
    if defective:
        return Verdict.FAILED, Disposition.AUTO, 1.1 + random.Random(n).random() / 3
    if n % 9 == 1:
        return Verdict.PASSED, Disposition.NEEDS_REVIEW, 0.97
    return Verdict.PASSED, Disposition.AUTO, random.Random(n).random() * 0.8


def draw(result: ImageResult, pixels: Picture, mask: Picture | None, reference: Picture) -> None:
    """The three pictures of a result, and where it differs."""
    heat = np.zeros((SIZE, SIZE), np.float32)
    if mask is not None and mask.any():
        soft = Pillow.fromarray((mask > 0).astype(np.uint8) * 255).resize((32, 32))
        heat = np.asarray(soft.resize((SIZE, SIZE), Pillow.Resampling.BICUBIC)) / 255 * 1.5
        rows, columns = np.nonzero(mask)
        box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        x, y, right, bottom = (float(edge) / SIZE for edge in box)
        result.regions = [
            {
                "x": x,
                "y": y,
                "width": right - x,
                "height": bottom - y,
                "area": float((mask > 0).mean()),
                "peak": result.score,
            }
        ]
    coloured = io.BytesIO()
    ml_adapter.heatmap(heat, 0.0, 1.6).save(coloured, "PNG")
    folder = f"results/seed/{result.pk}"
    result.view_key = save(f"{folder}/view.webp", encoded(pixels, "WEBP"))
    result.restored_key = save(f"{folder}/restored.webp", encoded(reference, "WEBP"))
    result.heatmap_key = save(f"{folder}/heatmap.png", coloured.getvalue())


def save(key: str, content: bytes) -> str:
    return str(default_storage.save(key, ContentFile(content)))


def judged_by_people(batch: Batch) -> None:
    """Some of the calls are confirmed, one is a false call."""
    user = User.objects.filter(is_active=True).order_by("date_joined").first()
    if user is None:
        return
    reason = ReasonCode.objects.create(
        product=batch.viewpoint.product, code="MISSING", text="Missing part"
    )
    failed = batch.inspections.filter(verdict=Verdict.FAILED).order_by("pk")
    for number, inspection in enumerate(failed[:3]):
        state = ReviewState.REJECTED if number == 1 else ReviewState.CONFIRMED
        code = None if number == 1 else reason
        reviews.record_review(user, inspection, state=state, reason_code=code)


def reported(batch: Batch) -> None:
    """Reports that are there, one that waits for its turn, and one that is sent by itself."""
    user = User.objects.filter(is_active=True).order_by("date_joined").first()
    if user is None or batch.lot is None:
        return
    product, kinds = batch.viewpoint.product, ReportKind
    for kind in (kinds.LOT_CSV, kinds.LOT_CSV if report_pdf.missing() else kinds.LOT_PDF):
        made = reports.request_report(user, product, kind=kind, lot=batch.lot)
        report_job.make(made.pk)
    reports.request_report(user, product, kind=kinds.LOT_CSV, lot=batch.lot)
    report_schedules.schedule_report(
        user, product, kind=kinds.LOT_CSV, every="day", hour=6, recipients=["quality@plant.example"]
    )


def told() -> None:
    """Endpoints of each kind, and a delivery of each state, one with tries."""
    for kind, address in (
        ("cfx", "amqps://broker.plant.example"),
        ("mqtt", "mqtts://mqtt.plant.example"),
    ):
        EndpointFactory(kind=kind, name=f"Plant {kind}", address=address, secrets=[])
    endpoint = EndpointFactory(name="MES", last_error="The receiver answered 503.")
    Endpoint.objects.filter(pk=endpoint.pk).update(last_error_at=timezone.now())
    for state in Delivery.State.values:
        delivery = DeliveryFactory(endpoint=endpoint, state=state, attempt=1)
        DeliveryAttempt.objects.create(
            delivery=delivery,
            number=1,
            status_code=503,
            duration_ms=41,
            error="The receiver answered 503.",
            answer="<h1>Service unavailable</h1>",
        )


def refused_file(batch: Batch) -> None:
    upload = Upload.objects.create(batch=batch, state=JobState.DONE, closed_at=timezone.now())
    UploadReceipt.objects.create(
        upload=upload,
        client_key="broken",
        file_name="SN-4499.png",
        outcome=UploadReceipt.Outcome.REFUSED,
        code="broken",
        message="SN-4499.png is cut off: copy it again from the camera.",
    )


def watched_folder(batch: Batch) -> None:
    """A folder that a machine drops files into, with one of each outcome."""
    user = User.objects.filter(is_active=True).order_by("date_joined").first()
    if user is None:
        return
    intake = Intake.objects.create(
        name="AOI 3",
        viewpoint=batch.viewpoint,
        location="/mnt/machines/aoi-3",
        pattern="{lot}_{serial}_{position}.png",
        created_by=user,
        last_look_at=timezone.now(),
    )
    for number, outcome in enumerate(IntakeFile.Outcome.values):
        IntakeFile.objects.create(
            intake=intake,
            path=f"LOT7_SN{number:04}_1.png",
            path_hash=str(number),
            size=1234,
            version="1",
            same_since=timezone.now(),
            outcome=outcome,
            message="The name has signs that cannot be read." if outcome == "rejected" else "",
            inspection=batch.inspections.first() if outcome == "accepted" else None,
        )


def addresses(user: User) -> dict[str, str]:
    """Every page of the product by its name: each address that answers with a whole page, for
    the first thing in the database that it can be about."""
    client = Client(SERVER_NAME="localhost")
    client.force_login(user)
    about = [model.objects.order_by("-pk").first() for model in PAGES_ABOUT]
    keys = [thing.pk for thing in about if thing]
    found = {}
    for pattern in urls.urlpatterns:
        names = list(pattern.pattern.converters)
        if names not in ([], ["key"]) or pattern.name in NOT_PAGES:
            continue
        for key in keys if names else [None]:
            address = reverse(pattern.name, kwargs={"key": key} if key else {})
            answer = client.get(address)
            kind = answer.headers.get("Content-Type", "")
            if answer.status_code == 200 and "text/html" in kind and b"</html>" in answer.content:
                found[pattern.name] = address
                break
    return found


PAGES_ABOUT = (
    Product,
    ModelVersion,
    TrainingRun,
    Batch,
    Inspection,
    DatasetImage,
    Upload,
    GateCheck,
    Endpoint,
    Delivery,
    Intake,
)
NOT_PAGES = {"healthz", "readyz", "metrics"}


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 32)
    print(json.dumps(addresses(User.objects.order_by("date_joined")[0])))
