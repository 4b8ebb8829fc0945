import factory
from django.utils import timezone
from factory.django import DjangoModelFactory

from inspection.models import Escape, Lot, ReasonCode, Unit

from .product import ProductFactory
from .user import UserFactory


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


class EscapeFactory(DjangoModelFactory):
    class Meta:
        model = Escape

    unit = factory.SubFactory(UnitFactory)
    found_at = factory.LazyFunction(timezone.now)
    found_where = "Customer"
    reported_by = factory.SubFactory(UserFactory)
