"""Which products, line and days a page is about: the top bar's product, line and period.

It lives in the URL (`product=PN-1&line=SMT+1&period=30d`), so that a link says all; days are
those of the plant's zone.
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, QueryDict
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from inspection.models import Product, Station

from .access import SignedIn, visible

KEYS = ("product", "line", "station", "period", "since", "until")
NOT_KEPT = (*KEYS, "after", "before", "page")  # a place in a list is not one in another
USUAL = "7d"
DAYS = {"today": 1, "7d": 7, "30d": 30, "90d": 90, "12m": 365}
CUSTOM = "custom"
PERIODS: dict[str, str | Promise] = {
    "today": _("Today"),
    "7d": _("7 days"),
    "30d": _("30 days"),
    "90d": _("90 days"),
    "12m": _("12 months"),
    CUSTOM: _("From … to"),
}


@dataclass(frozen=True)
class Scope:
    """What was chosen. `since` is included, `until` is not; both begin a day in the plant's
    zone. An unknown product means none, never all."""

    visible: list[Product]
    stations: list[Station]
    product: Product | None
    line: str
    station: Station | None
    period: str
    first_day: date
    last_day: date
    given: dict[str, str]
    others: list[tuple[str, str]]

    @classmethod
    def of(cls, request: SignedIn) -> "Scope":
        """Two questions to the database: the products that the person may see, the stations."""
        return cls.read(request.user, request.GET)

    @classmethod
    def read(cls, user: Any, query: QueryDict) -> "Scope":
        products = list(visible(user, Product).order_by("code"))
        stations = list(Station.objects.order_by("line", "code"))
        wanted = query.get("product", "")
        period, first, last = _days(query)
        return cls(
            visible=products,
            stations=stations,
            product=next((one for one in products if _names(one, wanted)), None),
            line=query.get("line", ""),
            station=next((s for s in stations if _names(s, query.get("station", ""))), None),
            period=period,
            first_day=first,
            last_day=last,
            given=given(query),
            others=[(k, v) for k, values in query.lists() for v in values if k not in NOT_KEPT],
        )

    @cached_property
    def products(self) -> list[Product]:
        """The one that was chosen, or all that the person may see."""
        if self.product:
            return [self.product]
        return [] if self.given.get("product") else self.visible

    @cached_property
    def since(self) -> datetime:
        return _midnight(self.first_day)

    @cached_property
    def until(self) -> datetime:
        return _midnight(self.last_day + timedelta(days=1))

    @cached_property
    def lines(self) -> list[str]:
        return sorted({station.line for station in self.stations if station.line})

    @property
    def chosen_stations(self) -> list[Station] | None:
        """Those of the line or the one that was chosen, none where the one is not of the line;
        None: any, and pictures from none."""
        if "station" in self.given:
            one = self.station
            return [one] if one and self.line in ("", one.line) else []
        if not self.line:
            return None
        return [station for station in self.stations if station.line == self.line]

    @property
    def whole(self) -> bool:
        """Whether nothing but the period was chosen."""
        return not (self.given.keys() & {"product", "line", "station"})

    @property
    def dated(self) -> bool:
        """Whether the days were chosen, and are not the usual ones."""
        return bool(self.given.keys() & {"period", "since", "until"})

    @property
    def query(self) -> str:
        """`product=…&line=…&period=…` for links: what was given, nothing else."""
        return urlencode(self.given)

    @property
    def period_query(self) -> str:
        """Only the period, for a link to everything in it."""
        return urlencode({k: v for k, v in self.given.items() if k in ("period", "since", "until")})

    def with_(self, **values: Any) -> str:
        """The same scope and more, as the query of a link. None takes a value away."""
        merged = {**self.given, **values}
        return urlencode({name: value for name, value in merged.items() if value is not None})

    @property
    def periods(self) -> list[tuple[str, str | Promise]]:
        return list(PERIODS.items())

    @property
    def days(self) -> int:
        return (self.last_day - self.first_day).days + 1

    @cached_property
    def narrowed(self) -> dict[str, Any]:
        """Conditions on rows that have a viewpoint and a station; by keys, of which every question
        makes its SQL in half the time."""
        found: dict[str, Any] = {"viewpoint__product__in": [one.pk for one in self.products]}
        if (stations := self.chosen_stations) is not None:
            found["station__in"] = [one.pk for one in stations]
        return found


def given(query: QueryDict) -> dict[str, str]:
    """The part of a query that says the scope, without what is empty."""
    return {key: value for key in KEYS if (value := query.get(key, ""))}


def query_of(request: HttpRequest) -> str:
    """The scope in this request's address, for the links of the frame. Asks nothing."""
    return urlencode(given(request.GET))


def _names(row: Product | Station, wanted: str) -> bool:
    return bool(wanted) and (row.code.casefold() == wanted.casefold() or str(row.pk) == wanted)


def _days(query: QueryDict) -> tuple[str, date, date]:
    """(period, first day, last day). What makes no sense is the usual period."""
    today = timezone.localdate()
    period = query.get("period", "")
    since, until = _date(query.get("since", "")), _date(query.get("until", ""))
    if (period in ("", CUSTOM)) and (since or until):
        last = min(until or today, today)
        first = since or last - timedelta(days=DAYS[USUAL] - 1)
        return CUSTOM, min(first, last), max(first, last)
    if period == CUSTOM:
        return CUSTOM, today - timedelta(days=DAYS[USUAL] - 1), today
    period = period if period in DAYS else USUAL
    return period, today - timedelta(days=DAYS[period] - 1), today


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        return None


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))
