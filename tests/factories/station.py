import factory
from factory.django import DjangoModelFactory

from inspection.models import Station


class StationFactory(DjangoModelFactory):
    class Meta:
        model = Station

    code = factory.Sequence(lambda n: f"AOI-{n}")
    name = "AOI after reflow"
    line = "SMT 1"
