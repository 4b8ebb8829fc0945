"""Streams in which drift is looked for, and the chart of one: for the page Today and programs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import Sum

from inspection.models import DriftAlert, HourlyTally, ModelVersion, Station

from . import drift
from .tally_sums import Span

LATELY = timedelta(days=14)
MOST_STREAMS = 60  # that are told at once

OF_AN_ALERT = (
    "viewpoint_id",
    "station_id",
    "model_version_id",
    "began_at",
    "value",
    "low",
    "high",
    "viewpoint__product__name",
    "station__name",
    "station__line",
)
Place = tuple[UUID, UUID | None, UUID]


@dataclass(frozen=True)
class Stream:
    """Parts of one viewpoint at one station, judged by one model."""

    viewpoint: UUID
    station: UUID | None
    model: UUID
    product: UUID
    code: str
    side: str
    parts: int

    @property
    def place(self) -> Place:
        return self.viewpoint, self.station, self.model

    @property
    def key(self) -> str:
        return ".".join("" if part is None else part.hex for part in self.place)


def streams(span: Span) -> list[Stream]:
    """Those in which parts passed lately, the busiest first."""
    since = max(span.since, span.until - LATELY)
    rows = (
        HourlyTally.objects.filter(
            hour__gte=since, hour__lt=span.until, scores__gt=0, **span.narrowed
        )
        .order_by()
        .values_list(
            "viewpoint_id",
            "station_id",
            "model_version_id",
            "viewpoint__product_id",
            "viewpoint__code",
            "viewpoint__name",
        )
        .annotate(parts=Sum("scores"))
    )
    return sorted((Stream(*row) for row in rows), key=lambda one: (-one.parts, one.key))


def open_alerts(narrowed: Mapping[str, Any]) -> list[DriftAlert]:
    """Those of these places that have not ended, the oldest first."""
    alerts = DriftAlert.objects.filter(ended_at=None, **narrowed)
    told = alerts.select_related("viewpoint__product", "station").only(*OF_AN_ALERT)
    return list(told.order_by("began_at"))


def shown(found: Sequence[Stream], alerts: Iterable[DriftAlert], asked: str = "") -> Stream | None:
    """Of `found`, the one whose key was asked for, one with an alert, or the busiest."""
    alarmed = {_place(alert) for alert in alerts}
    wanted = [one for one in found if one.key == asked]
    return next(iter([*wanted, *(one for one in found if one.place in alarmed), *found]), None)


def chart_of(stream: Stream, span: Span) -> drift.Chart:
    """Its days since the model was new there, until the span ends."""
    return drift.chart(drift.series(*stream.place, span.until))


def drift_facts(span: Span) -> dict[str, Any]:
    """`{stream, centre, outside_since, points, streams}`: the chart of the stream that `shown`
    chooses, and those that there are to choose from, at most MOST_STREAMS."""
    found, alerts = streams(span), open_alerts(span.narrowed)
    stream = shown(found, alerts)
    told = _Told([*found[:MOST_STREAMS], *([stream] if stream else [])], alerts)
    chart = chart_of(stream, span) if stream else drift.Chart(0.0, [])
    outside = chart.since_outside
    return {
        "stream": told.of(stream) if stream else None,
        "centre": chart.centre if chart.points else None,
        "outside_since": outside.isoformat() if outside else None,
        "points": [_point(point) for point in chart.points],
        "streams": [told.of(one) for one in found[:MOST_STREAMS]],
    }


class _Told:
    """Streams by the names that programs know, in two questions for all of them."""

    def __init__(self, some: Sequence[Stream], alerts: Iterable[DriftAlert]) -> None:
        self._alerts = {_place(alert): alert for alert in alerts}
        models = ModelVersion.objects.select_related("viewpoint__product")
        self._models = models.in_bulk({one.model for one in some})
        self._stations = Station.objects.in_bulk({one.station for one in some if one.station})

    def of(self, stream: Stream) -> dict[str, Any]:
        model, alert = self._models[stream.model], self._alerts.get(stream.place)
        station = self._stations[stream.station].code if stream.station else None
        return {
            "viewpoint": str(stream.viewpoint),
            "recipe": model.viewpoint.recipe_name,
            "station": station,
            "model": str(stream.model),
            "model_revision": model.revision,
            "parts": stream.parts,
            "alert": str(alert.pk) if alert else None,
        }


def _place(alert: DriftAlert) -> Place:
    return alert.viewpoint_id, alert.station_id, alert.model_version_id


def _point(point: drift.Point) -> dict[str, Any]:
    return {
        "day": point.day.isoformat(),
        "parts": point.n,
        "mean": point.mean,
        "ewma": point.ewma,
        "low": point.low,
        "high": point.high,
        "usual": point.usual,
        "outside": point.outside,
    }
