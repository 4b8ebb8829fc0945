import factory
from factory.django import DjangoModelFactory

from inspection.models import Lot, ReasonCode, Unit

from .product import ProductFactory


class ReasonCodeFactory(DjangoModelFactory):
    class Meta:
        model = ReasonCode

    product = factory.SubFactory(ProductFactory)
    code = factory.Sequence(lambda n: f"D{n:03}")
    text = factory.Sequence(lambda n: f"Solder bridge {n}")


class UnitFactory(DjangoModelFactory):
    class Meta:
        model = Unit

    product = factory.SubFactory(ProductFactory)
    serial_number = factory.Sequence(lambda n: f"SN-{n:05}")


class LotFactory(DjangoModelFactory):
    class Meta:
        model = Lot

    product = factory.SubFactory(ProductFactory)
    code = factory.Sequence(lambda n: f"LOT-{n:04}")
