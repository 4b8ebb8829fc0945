"""The first page: is everything as it should be, and if not, where to look."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from html import escape
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from inspection.models import Batch, Product, Station
from inspection.services import drift, drift_streams, kpis, products
from inspection.services.drift_streams import MOST_STREAMS, Stream
from inspection.services.tally_sums import Bucket
from inspection.services.verdicts import CELLS
from inspection.web import figures, reads, reads_today
from inspection.web.access import Rights, SignedIn
from inspection.web.filters import NONE
from inspection.web.next_step import NextStep, next_step
from inspection.web.scope import Scope

MODELS = 6
AN_HOUR = timedelta(hours=1)


@require_safe
def show(request: SignedIn) -> HttpResponse:
    """Figures, trend, Pareto, drift, and what is going on, for the scope in the address."""
    scope = Scope.of(request)
    trend = reads_today.trend(scope)
    sums, before = trend.sums, trend.before
    context: dict[str, Any] = {
        "scope": scope,
        "sums": sums,
        "main": figures.main(scope, sums, before, reads_today.waiting(request.user, scope)),
        "models": reads_today.active_models(scope, MODELS),
        "now": timezone.now(),
        "zone": settings.TIME_ZONE,
    }
    if sums.inspected:
        context["costs"] = figures.costs(scope, sums, before, reads_today.escapes(scope))
        context |= {"trend": _trend(scope, trend.buckets), "reasons": reads_today.reasons(scope)}
        context |= _places(request, scope) | _drift(request, scope)
        context["reason_url"] = figures.confirmed(scope)
    else:
        context |= _nothing(request, scope)
    return render(request, "today/index.html", context)


# --- the trend ---------------------------------------------------------------------------


def _trend(scope: Scope, buckets: list[Bucket]) -> dict[str, Any]:
    """The share of called parts with its limits: for the chart, and rows for the table."""
    hours = reads_today.by_hour(scope)
    since = [_begin(bucket.begin, hours) for bucket in buckets]
    centre, limits = kpis.p_chart([(b.sums.inspected, b.sums.called) for b in buckets])
    rows: list[dict[str, Any]] = [
        {"at": bucket.begin, "limits": limit, "sums": bucket.sums}
        for bucket, limit in zip(buckets, limits, strict=True)
    ]
    return {
        "by_hour": hours,
        "centre": centre,
        "rows": rows,
        "outside": [row for row in rows if row["limits"].outside],
        "data": {
            "at": [int(bucket.begin.timestamp()) for bucket in buckets],
            "share": [_rounded(limit.share) for limit in limits],
            "low": [_rounded(limit.low) for limit in limits],
            "high": [_rounded(limit.high) for limit in limits],
            "n": [limit.n for limit in limits],
            "hits": [limit.hits for limit in limits],
            "outside": [limit.outside for limit in limits],
            "centre": _rounded(centre),
            "url": figures.called(scope, since=None, until=None),
            "since": since,
            "until": [_begin(b.begin + timedelta(hours=1), True) for b in buckets]
            if hours
            else since,
        },
    }


def _begin(moment: datetime, hours: bool) -> str:
    """As Defects reads it, where a day is meant to its end and a time of day is the end itself."""
    return f"{moment:%Y-%m-%dT%H:%M}" if hours else moment.date().isoformat()


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 5)


# --- places on the part ------------------------------------------------------------------


DRAWN = (
    '<a href="{6}" aria-label="{7}" data-cell="{1},{2},{3},{4}"><title>{7}</title>'
    '<rect x="{2}" y="{1}" width="1" height="1" fill-opacity="{opacity}"/></a>'
)


@dataclass(frozen=True)
class Cell:
    """A place of the 8 × 8 grid. `share` is of the place with the most."""

    number: int
    row: int
    column: int
    calls: int
    confirmed: int
    share: float
    url: str
    said: str

    @property
    def drawn(self) -> SafeString:
        """A square of the grid that opens its list. Made here: a template takes ten times as
        long for sixty of them."""
        url, said = escape(self.url), escape(self.said)
        numbers = (self.number, self.row, self.column, self.calls, self.confirmed, self.share)
        return mark_safe(DRAWN.format(*numbers, url, said, opacity=f"{0.75 * self.share:.3f}"))  # noqa: S308


def _places(request: SignedIn, scope: Scope) -> dict[str, Any]:
    """Places are those of one viewpoint: the one that was asked for, or with the most calls."""
    found = reads_today.places(scope)
    if not found:
        return {"places": None}
    asked = request.GET.get("side", "")
    side = next((one for one in found if one.viewpoint.hex == asked), next(iter(found)))
    cells, most = found[side], max(calls for calls, _bad in found[side].values())
    products = _by_key(scope)
    product = products[side.product]
    link = figures.called(scope, product=product.code, viewpoint=side.code)
    said = _("Row %(row)s, column %(column)s: %(calls)s calls, %(confirmed)s confirmed")
    shown = [
        Cell(
            number,
            number // CELLS,
            number % CELLS,
            calls,
            confirmed,
            calls / most if most else 0.0,
            f"{link}&cell={number}",
            said
            % {
                "row": number // CELLS + 1,
                "column": number % CELLS + 1,
                "calls": calls,
                "confirmed": confirmed,
            },
        )
        for number, (calls, confirmed) in sorted(cells.items())
    ]
    return {
        "places": sorted(shown, key=lambda cell: -cell.calls),
        "places_of": product,
        "places_picture": reads_today.good_picture(side.viewpoint),
        "sides": [
            (one.viewpoint.hex, f"{products[one.product].code} / {one.name}", one == side)
            for one in [*found][:MOST_STREAMS]
        ],
    }


# --- drift -------------------------------------------------------------------------------


def _drift(request: SignedIn, scope: Scope) -> dict[str, Any]:
    """The chart of one stream: the one that was asked for, one with an alert, or the busiest."""
    alerts = reads_today.open_alerts(scope)
    streams = reads_today.streams(scope)
    chosen = drift_streams.shown(streams, alerts, request.GET.get("stream", ""))
    if chosen is None:
        return {"drift": None, "alerts": alerts}
    chart = drift_streams.chart_of(chosen, reads_today.span(scope))
    return {"alerts": alerts, "drift": _drift_chart(scope, chosen, streams, chart)}


def _by_key(scope: Scope) -> dict[UUID, Product]:
    return {product.pk: product for product in scope.visible}


def _drift_chart(
    scope: Scope, chosen: Stream, streams: list[Stream], chart: drift.Chart
) -> dict[str, Any]:
    products = _by_key(scope)
    stations: dict[UUID | None, Station] = {one.pk: one for one in scope.stations}
    sides = {(stream.product, stream.side) for stream in streams}

    def name(stream: Stream) -> str:
        alone = len([one for one in sides if one[0] == stream.product]) == 1
        side = "" if alone else f" / {stream.side}"
        where = f" · {stations[stream.station]}" if stream.station in stations else ""
        return f"{products[stream.product].code}{side}{where}"

    points = chart.points
    return {
        "chart": chart,
        "newest": points[-1] if points else None,
        "name": name(chosen),
        "choices": [
            (stream.key, name(stream), stream == chosen) for stream in streams[:MOST_STREAMS]
        ],
        "least": drift.LEAST_DAYS,
        "data": {
            "at": [_noon(point.day) for point in points],
            "n": [point.n for point in points],
            "mean": [round(point.mean, 5) for point in points],
            "ewma": [round(point.ewma, 5) for point in points],
            "low": [_rounded(point.low) for point in points],
            "high": [_rounded(point.high) for point in points],
            "outside": [point.outside for point in points],
            "usual": sum(point.usual for point in points),
            "centre": round(chart.centre, 5),
            "url": _stream_url(scope, chosen, products[chosen.product], stations),
            "since": [str(point.day) for point in points],
            "until": [str(point.day) for point in points],
        },
    }


def _stream_url(
    scope: Scope,
    stream: Stream,
    product: Product,
    stations: dict[UUID | None, Station],
) -> str:
    """The list of the parts whose scores make a day's mean."""
    none = NONE if stations else None  # a plant without stations has nothing to tell apart
    station = stations[stream.station].code if stream.station in stations else none
    return figures.defects(
        scope,
        product=product.code,
        viewpoint=stream.code,
        line=None,
        station=station,
        model=stream.model,
        verdict="not_failed",
        since=None,
        until=None,
    )


def _noon(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp())


# --- what to do where there is nothing ----------------------------------------------------


def _nothing(request: SignedIn, scope: Scope) -> dict[str, Any]:
    """Why there are no figures, and the next step."""
    if not scope.products:
        rights = Rights(request.user, None)
        return {"empty": "unknown" if scope.visible else "first", "may_create": rights.manage}
    last = reads_today.last_hour(scope)
    if last:
        day = timezone.localdate(last)
        return {"empty": "period", "last": day, "last_query": _period_with(scope, day)}
    product = next((one for one in scope.products if not one.archived_at), scope.products[0])
    rights = Rights(request.user, product)
    return {
        "empty": "start",
        "product": product,
        "next": _next(product) if rights.manage and not product.archived_at else None,
    }


def _period_with(scope: Scope, day: date) -> str:
    return scope.with_(period=None, since=day - timedelta(days=6), until=day)


def _next(product: Product) -> NextStep | None:
    viewpoint = product.viewpoints.order_by("id").first()
    if viewpoint is None:
        return None
    viewpoint.product = product
    usable = reads.dataset_counts(products.good_dataset(viewpoint))["usable"]
    batches = list(Batch.objects.filter(viewpoint=viewpoint).order_by("-id")[:1])
    return next_step(
        viewpoint, usable, reads.runs_of(viewpoint), reads.models_of([viewpoint], 1), batches
    )
