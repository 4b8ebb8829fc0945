from datetime import UTC, datetime, timedelta
from uuid import uuid4

import factory
from django.utils import timezone
from factory.django import DjangoModelFactory

from inspection.models import DefectTally, HourlyTally

from .model_version import ModelVersionFactory


def this_hour() -> datetime:
    return timezone.now().astimezone(UTC).replace(minute=0, second=0, microsecond=0)


class HourlyTallyFactory(DjangoModelFactory):
    """100 parts of one hour, all passed; `days_ago=3` puts it back. Its sums are not those of
    any inspections: for reads only."""

    class Meta:
        model = HourlyTally

    class Params:
        days_ago = 0
        mean = 0.3

    key = factory.LazyFunction(lambda: uuid4().hex)
    model_version = factory.SubFactory(ModelVersionFactory)
    viewpoint = factory.SelfAttribute("model_version.viewpoint")
    hour = factory.LazyAttribute(lambda o: this_hour() - timedelta(days=o.days_ago))
    inspected = 100
    passed = factory.LazyAttribute(lambda o: o.inspected - o.failed - o.review)
    failed = 0
    review = 0
    scores = factory.LazyAttribute(lambda o: o.passed)
    score_sum = factory.LazyAttribute(lambda o: o.scores * o.mean)
    score_squares = factory.LazyAttribute(lambda o: o.scores * (o.mean**2 + 0.0025))


class DefectTallyFactory(DjangoModelFactory):
    """Three calls of this hour in one place, two of them confirmed."""

    class Meta:
        model = DefectTally

    key = factory.LazyFunction(lambda: uuid4().hex)
    hour = factory.LazyFunction(this_hour)
    cell = 9
    calls = 3
    confirmed = 2
