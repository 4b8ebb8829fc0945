"""Rows that jobs work on, with as little around them as the database allows."""

import hashlib
from itertools import count
from pathlib import Path
from typing import Any

from django.conf import settings

from inspection.models import (
    Batch,
    Dataset,
    DatasetImage,
    DatasetSnapshot,
    Image,
    Inspection,
    InspectionImage,
    JobState,
    ModelVersion,
    OperatingPoint,
    Product,
    ScoringChunk,
    TrainingRun,
    Viewpoint,
)

_numbers = count(1)


def make_viewpoint() -> Viewpoint:
    """A viewpoint of a new product, with an empty dataset of good parts."""
    number = next(_numbers)
    product = Product.objects.create(code=f"JOB-{number}", name="Relay board")
    viewpoint = Viewpoint.objects.create(product=product)
    Dataset.objects.create(viewpoint=viewpoint, name="Good parts")
    return viewpoint


def make_image(name: str = "part.png", storage_key: str = "") -> Image:
    """The row of a picture; its file is not there unless `storage_key` names one."""
    number = next(_numbers)
    sha256 = hashlib.sha256(str(number).encode()).hexdigest()
    return Image.objects.create(
        sha256=sha256,
        original_name=name,
        format="PNG",
        size_bytes=1,
        width=64,
        height=64,
        mode="RGB",
        storage_key=storage_key or f"images/{sha256}.png",
        thumbnail_key=f"thumbs/{sha256}.webp",
    )


def add_good_parts(viewpoint: Viewpoint, how_many: int) -> list[DatasetImage]:
    """Put that many rows into the viewpoint's dataset of good parts."""
    dataset = viewpoint.datasets.get(purpose=Dataset.Purpose.GOOD)
    return [
        DatasetImage.objects.create(dataset=dataset, image=make_image(), file_name=f"good-{n}.png")
        for n in range(how_many)
    ]


def make_run(**fields: Any) -> TrainingRun:
    """A queued run on an empty snapshot, unless `fields` say otherwise."""
    viewpoint = fields.pop("viewpoint", None) or make_viewpoint()
    number = next(_numbers)
    good = viewpoint.datasets.get(purpose=Dataset.Purpose.GOOD)
    snapshot = DatasetSnapshot.objects.create(dataset=good, number=number)
    return TrainingRun.objects.create(
        viewpoint=viewpoint,
        number=number,
        snapshot=snapshot,
        budget_minutes=1,
        **{"preset": "tiny", **fields},
    )


def make_version(viewpoint: Viewpoint | None = None, **fields: Any) -> ModelVersion:
    """An active model of 99 calibration scores 0.01 … 0.99 with its operating point; no files."""
    run = make_run(viewpoint=viewpoint or make_viewpoint(), state=JobState.DONE)
    version = ModelVersion.objects.create(
        **{
            "viewpoint": run.viewpoint,
            "number": run.number,
            "training_run": run,
            "state": ModelVersion.State.ACTIVE,
            "method": "paper",
            "folder": str(run.pk),
            "manifest": {"calibration": {"scores": [n / 100 for n in range(1, 100)]}},
            "manifest_sha256": "0" * 64,
            "scoring_backbone": "ssl_encoder",
            "backbone_is_stand_in": True,
            "scale_low": 0.0,
            "scale_high": 1.0,
            "images_per_second": 2.0,
            **fields,
        }
    )
    OperatingPoint.objects.create(
        model_version=version,
        number=1,
        alpha_fail=0.01,
        alpha_review=0.05,
        threshold_fail=0.99,
        threshold_review=0.95,
        reason="test",
    )
    return version


def make_batch(version: ModelVersion | None = None, **fields: Any) -> Batch:
    version = version or make_version()
    return Batch.objects.create(
        **{
            "viewpoint": version.viewpoint,
            "number": next(_numbers),
            "name": "Monday",
            "model_version": version,
            "operating_point": version.operating_points.get(),
            **fields,
        }
    )


def make_inspection(batch: Batch, image: Image | None = None, **fields: Any) -> Inspection:
    inspection = Inspection.objects.create(
        **{
            "viewpoint": batch.viewpoint,
            "batch": batch,
            "purpose": batch.purpose,
            "model_version": batch.model_version,
            "operating_point": batch.operating_point,
            **fields,
        }
    )
    InspectionImage.objects.create(
        inspection=inspection, image=image or make_image(), file_name="part.png"
    )
    return inspection


def make_chunk(batch: Batch, **fields: Any) -> ScoringChunk:
    return ScoringChunk.objects.create(batch=batch, number=next(_numbers), **fields)


def media(key: str) -> Path:
    """Where the file storage keeps `key`."""
    return Path(settings.MEDIA_ROOT) / key
