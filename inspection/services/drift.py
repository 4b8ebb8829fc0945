"""Whether parts that pass still score as they did when the model was new at that station.

An EWMA chart of daily means (Roberts 1959; Montgomery, ch. 9.2): a slow shift of light, focus or
material shows here weeks before good parts begin to fail.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from statistics import mean
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Sum
from django.db.models.functions import TruncDay
from django.utils import timezone
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from inspection.models import DriftAlert, HourlyTally, ModelVersion, Role, Station

from . import outbox
from .notifications import notify
from .retraining_plans import note_drift

SMOOTHING = 0.2  # λ: weight of the newest day
SIGMAS = 3.0
USUAL_DAYS, LEAST_DAYS = 20, 8  # that say what is usual
ENOUGH_PARTS = 20  # of a day; fewer say nothing
D2 = 1.128  # mean moving range of two ÷ σ
RECENT = timedelta(days=3)


@dataclass(frozen=True)
class Day:
    """Scores of the passed parts of one day."""

    day: date
    n: int
    total: float
    squares: float

    @property
    def mean(self) -> float:
        return self.total / self.n

    @property
    def variance(self) -> float:
        return max(0.0, self.squares / self.n - self.mean**2)


@dataclass(frozen=True)
class Point:
    """One day of the chart. `usual`: it is one of those that the limits come from."""

    day: date
    n: int
    mean: float
    ewma: float
    low: float | None
    high: float | None
    usual: bool

    @property
    def outside(self) -> bool:
        if self.usual or self.low is None or self.high is None:
            return False
        return not self.low <= self.ewma <= self.high


@dataclass(frozen=True)
class Chart:
    centre: float
    points: list[Point]

    @property
    def known(self) -> bool:
        """Whether there are days enough for limits."""
        return bool(self.points) and self.points[-1].low is not None

    @property
    def since_outside(self) -> date | None:
        """The first day of the present excursion; None while the newest point is inside."""
        first = None
        for point in reversed(self.points):
            if not point.outside:
                break
            first = point.day
        return first


def chart(days: Sequence[Day]) -> Chart:
    """The EWMA of the days in their order. Without `LEAST_DAYS` there are no limits yet."""
    days = [day for day in days if day.n >= ENOUGH_PARTS]
    usual = days[:USUAL_DAYS]
    if not usual:
        return Chart(0.0, [])
    centre = mean(day.mean for day in usual)
    sigma = _sigma(usual) if len(usual) >= LEAST_DAYS else None
    points, smooth = [], centre
    for number, day in enumerate(days, 1):
        smooth += SMOOTHING * (day.mean - smooth)
        half = None if sigma is None else SIGMAS * sigma * _spread(number)
        points.append(
            Point(
                day=day.day,
                n=day.n,
                mean=day.mean,
                ewma=smooth,
                low=None if half is None else centre - half,
                high=None if half is None else centre + half,
                usual=number <= USUAL_DAYS,
            )
        )
    return Chart(centre, points)


def _sigma(usual: Sequence[Day]) -> float:
    """σ of a day's mean: from the moving range, which holds what differs from day to day, but
    never less than what chance alone makes of that many parts."""
    moving = mean(abs(a.mean - b.mean) for a, b in itertools.pairwise(usual)) / D2
    alone = math.sqrt(mean(day.variance for day in usual) / mean(day.n for day in usual))
    return max(moving, alone)


def _spread(number: int) -> float:
    """σ of the EWMA after `number` points ÷ σ of one point."""
    fade = 1 - (1 - SMOOTHING) ** (2 * number)
    return math.sqrt(SMOOTHING / (2 - SMOOTHING) * fade)


def series(viewpoint: UUID, station: UUID | None, model: UUID, until: datetime) -> list[Day]:
    """The days of one stream since its model was new there, in one query."""
    rows = (
        HourlyTally.objects.filter(
            viewpoint=viewpoint, station=station, model_version=model, scores__gt=0, hour__lt=until
        )
        .annotate(day=TruncDay("hour", tzinfo=timezone.get_default_timezone()))
        .order_by("day")
        .values("day")
        .annotate(n=Sum("scores"), total=Sum("score_sum"), squares=Sum("score_squares"))
    )
    return [Day(row["day"].date(), row["n"], row["total"], row["squares"]) for row in rows]


def watch() -> int:
    """Open an alert for each stream that is outside its limits now, and close those that are
    inside again; returns how many are open. Streams of models that judge today only, and of no
    archived product."""
    now = timezone.now()
    streams = (
        HourlyTally.objects.filter(
            hour__gte=now - RECENT,
            model_version__state=ModelVersion.State.ACTIVE,
            viewpoint__product__archived_at=None,
        )
        .order_by()
        .values_list("viewpoint", "station", "model_version")
        .distinct()
    )
    still_open = set()
    for viewpoint, station, model in streams:
        found = chart(series(viewpoint, station, model, now))
        if found.since_outside:
            still_open.add(_open(viewpoint, station, model, found))
    for alert in DriftAlert.objects.filter(ended_at=None).exclude(stream__in=still_open):
        DriftAlert.objects.filter(pk=alert.pk, ended_at=None).update(
            ended_at=now, stream=str(alert.pk)
        )
    return len(still_open)


@transaction.atomic
def _open(viewpoint: UUID, station: UUID | None, model: UUID, found: Chart) -> str:
    """The alert of this stream, made and told once."""
    last, began = found.points[-1], found.since_outside or found.points[-1].day
    state: dict[str, Any] = {"value": last.ewma, "low": last.low, "high": last.high}
    alert, new = DriftAlert.objects.get_or_create(
        stream=f"{viewpoint}:{station or '-'}:{model}",
        defaults={
            **state,
            "viewpoint_id": viewpoint,
            "station_id": station,
            "model_version_id": model,
            "began_at": timezone.make_aware(datetime.combine(began, datetime.min.time())),
        },
    )
    if new:
        _tell(alert, station)
        note_drift(alert.viewpoint)
        outbox.drift_alert(alert)
    else:
        DriftAlert.objects.filter(pk=alert.pk).update(**state)
    return alert.stream


def _tell(alert: DriftAlert, station: UUID | None) -> None:
    product = alert.viewpoint.product
    where = Station.objects.filter(pk=station).first() if station else None
    text = _(
        "The smoothed mean score is {value:.3g}; it was between {low:.3g} and {high:.3g} when the "
        "model was new there. Look at light, focus and material, then retrain if the parts are "
        "good."
    )
    notify(
        Role.ENGINEER,
        kind="drift",
        title=format_lazy(
            _("Scores of good parts drift: {place}"),
            place=f"{product.name}, {where}" if where else product.name,
        ),
        text=format_lazy(text, value=alert.value, low=alert.low, high=alert.high),
        url=f"/?product={product.code}#drift",
        product=product,
    )
