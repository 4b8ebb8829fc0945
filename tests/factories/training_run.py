import factory
from factory.django import DjangoModelFactory

from inspection.models import TrainingRun

from .dataset import DatasetSnapshotFactory
from .viewpoint import ViewpointFactory


class TrainingRunFactory(DjangoModelFactory):
    class Meta:
        model = TrainingRun

    viewpoint = factory.SubFactory(ViewpointFactory)
    number = factory.Sequence(lambda n: n + 1)
    snapshot = factory.SubFactory(
        DatasetSnapshotFactory, dataset__viewpoint=factory.SelfAttribute("...viewpoint")
    )
    preset = "tiny"
    budget_minutes = 1
