import factory
from factory.django import DjangoModelFactory

from inspection.models import Lot, Unit

from .product import ProductFactory


class LotFactory(DjangoModelFactory):
    class Meta:
        model = Lot

    product = factory.SubFactory(ProductFactory)
    code = factory.Sequence(lambda n: f"L-{n:04}")


class UnitFactory(DjangoModelFactory):
    """A unit with a serial number, in no lot."""

    class Meta:
        model = Unit

    product = factory.SubFactory(ProductFactory)
    serial_number = factory.Sequence(lambda n: f"SN{n:06}")
