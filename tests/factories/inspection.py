import factory
from django.utils import timezone
from factory.django import DjangoModelFactory

from inspection.models import (
    Disposition,
    ImageResult,
    Inspection,
    InspectionImage,
    ReviewState,
    Verdict,
    Viewpoint,
)

from .batch import BatchFactory
from .image import ImageFactory


class InspectionFactory(DjangoModelFactory):
    """A finished inspection that failed, without pictures; `waiting=True` has no verdict yet."""

    class Meta:
        model = Inspection

    class Params:
        waiting = factory.Trait(verdict="", disposition="", completed_at=None, score=None)

    batch = factory.SubFactory(BatchFactory)
    viewpoint = factory.SelfAttribute("batch.viewpoint")
    purpose = factory.SelfAttribute("batch.purpose")
    model_version = factory.SelfAttribute("batch.model_version")
    operating_point = factory.SelfAttribute("batch.operating_point")
    verdict = Verdict.FAILED
    disposition = Disposition.AUTO
    score = 1.2
    p_value = 0.01
    completed_at = factory.LazyFunction(timezone.now)


class InspectionImageFactory(DjangoModelFactory):
    class Meta:
        model = InspectionImage

    inspection = factory.SubFactory(InspectionFactory)
    image = factory.SubFactory(ImageFactory)
    file_name = factory.SelfAttribute("image.original_name")


class ImageResultFactory(DjangoModelFactory):
    """A result with the names of its pictures, but not the files."""

    class Meta:
        model = ImageResult

    picture = factory.SubFactory(InspectionImageFactory)
    inspection = factory.SelfAttribute("picture.inspection")
    model_version = factory.SelfAttribute("inspection.model_version")
    operating_point = factory.SelfAttribute("inspection.operating_point")
    verdict = factory.SelfAttribute("inspection.verdict")
    disposition = factory.SelfAttribute("inspection.disposition")
    score = factory.SelfAttribute("inspection.score")
    p_value = factory.SelfAttribute("inspection.p_value")
    view_key = "results/view.webp"
    restored_key = "results/restored.webp"
    heatmap_key = "results/heatmap.png"
    regions = factory.LazyFunction(
        lambda: [
            {"x": 0.25, "y": 0.5, "width": 0.1, "height": 0.2, "area": 0.01, "peak": 1.3},
            {"x": 0.7, "y": 0.1, "width": 0.1, "height": 0.1, "area": 0.005, "peak": 1.1},
        ]
    )


def inspected(viewpoint: Viewpoint, **fields: object) -> Inspection:
    """With its picture, judged by the viewpoint's first model."""
    batch = BatchFactory(model_version=viewpoint.model_versions.first())
    inspection = InspectionFactory(batch=batch, **fields)
    InspectionImageFactory(inspection=inspection)
    return inspection


def rejected(viewpoint: Viewpoint) -> Inspection:
    """A false call."""
    return inspected(viewpoint, review_state=ReviewState.REJECTED)
