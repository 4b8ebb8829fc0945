import factory
from factory.django import DjangoModelFactory

from inspection.models import Product


class ProductFactory(DjangoModelFactory):
    """A bare product. With viewpoint and dataset: `ViewpointFactory`, `DatasetFactory`."""

    class Meta:
        model = Product

    code = factory.Sequence(lambda n: f"PN-{n:04}")
    name = "Relay board"
