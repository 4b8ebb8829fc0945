import factory
from factory.django import DjangoModelFactory

from inspection.models import Batch

from .model_version import ModelVersionFactory


class BatchFactory(DjangoModelFactory):
    """An open batch on an active model. `purpose="trial"` makes it a trial."""

    class Meta:
        model = Batch

    model_version = factory.SubFactory(ModelVersionFactory)
    viewpoint = factory.SelfAttribute("model_version.viewpoint")
    operating_point = factory.LazyAttribute(lambda o: o.model_version.operating_points.get())
    number = factory.Sequence(lambda n: n + 1)
    name = factory.Sequence(lambda n: f"Batch {n}")
