import factory
from factory.django import DjangoModelFactory

from inspection.models import JobState, ModelVersion, OperatingPoint

from .training_run import TrainingRunFactory


class ModelVersionFactory(DjangoModelFactory):
    """An active model without files, with its operating point."""

    class Meta:
        model = ModelVersion
        skip_postgeneration_save = True

    training_run = factory.SubFactory(TrainingRunFactory, state=JobState.DONE)
    viewpoint = factory.SelfAttribute("training_run.viewpoint")
    number = factory.SelfAttribute("training_run.number")
    state = ModelVersion.State.ACTIVE
    method = "paper"
    folder = factory.LazyAttribute(lambda o: str(o.training_run.pk))
    manifest = factory.LazyFunction(
        lambda: {"calibration": {"n": 99, "scores": [n / 100 for n in range(1, 100)]}}
    )
    manifest_sha256 = "0" * 64
    scoring_backbone = "ssl_encoder"
    backbone_is_stand_in = True
    scale_low = 0.0
    scale_high = 1.0
    images_per_second = 2.0
    operating_point = factory.RelatedFactory(
        "tests.factories.model_version.OperatingPointFactory", "model_version"
    )


class OperatingPointFactory(DjangoModelFactory):
    class Meta:
        model = OperatingPoint

    model_version = factory.SubFactory(ModelVersionFactory, operating_point=None)
    number = 1
    alpha_fail = 0.01
    alpha_review = 0.05
    threshold_fail = 0.99
    threshold_review = 0.95
    reason = "first"
