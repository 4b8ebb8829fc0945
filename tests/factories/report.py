import factory
from django.utils import timezone
from factory.django import DjangoModelFactory

from inspection.models import Lot, Report, ReportKind, ReportSchedule

from .product import ProductFactory
from .user import UserFactory


class LotFactory(DjangoModelFactory):
    class Meta:
        model = Lot

    product = factory.SubFactory(ProductFactory)
    code = factory.Sequence(lambda n: f"L-{n:04}")


class ReportFactory(DjangoModelFactory):
    """A queued lot report as CSV, without its file."""

    class Meta:
        model = Report

    kind = ReportKind.LOT_CSV
    lot = factory.SubFactory(LotFactory)
    product = factory.SelfAttribute("lot.product")
    requested_by = factory.SubFactory(UserFactory)


class ReportScheduleFactory(DjangoModelFactory):
    """A weekly quality report that is due now."""

    class Meta:
        model = ReportSchedule

    product = factory.SubFactory(ProductFactory)
    kind = ReportKind.WEEKLY_PDF
    recipients = factory.LazyFunction(lambda: ["quality@plant.example"])
    next_at = factory.LazyFunction(timezone.now)
