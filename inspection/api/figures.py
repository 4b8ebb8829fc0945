"""Figures of a product, a line and a time: those of the page Today."""

from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from inspection.models import Product, Station
from inspection.services import tally_sums, trend_facts
from inspection.services.kpi_facts import kpi_facts
from inspection.services.visible import visible

from .base import Base
from .fields import Moment
from .narrow import OfProduct, product_named, stations_named

SUMS = {
    "inspected": 1000,
    "passed": 940,
    "failed": 40,
    "review": 20,
    "confirmed": 16,
    "rejected": 35,
    "accepted": 2,
    "repaired": 4,
    "closed": 0,
    "waiting": 4,
    "missed": 1,
    "audited": 50,
    "audited_bad": 1,
    "opportunities": 4000,
}
UNKNOWN = {
    "value": None,
    "numerator": 0,
    "denominator": 22,
    "why": "unknown",
    "low": None,
    "high": None,
}
KPIS = {
    "sums": SUMS,
    "figures": {
        "fpy_raw": {**UNKNOWN, "value": 0.94, "numerator": 940, "denominator": 1000, "why": None},
        "escape_rate": UNKNOWN,
    },
}
POINT = {
    "at": "2026-11-23T12:00:00+01:00",
    "inspected": 100,
    "called": 6,
    "share": 0.06,
    "low": 0.0,
    "high": 0.131,
    "outside": False,
    "sums": {**SUMS, "inspected": 100},
}
NONE_YET = {**POINT, "inspected": 0, "called": 0, "share": None, "low": None, "high": None}
TREND = {
    "centre": 0.06,
    "points": [
        POINT,
        {**NONE_YET, "at": "2026-11-23T13:00:00+01:00", "sums": dict.fromkeys(SUMS, 0)},
    ],
}
REASONS = {
    "total": 22,
    "reasons": [
        {"code": "BRIDGE", "text": "Solder bridge", "confirmed": 18},
        {"code": None, "text": "", "confirmed": 4},
    ],
}
PLACES = {
    "viewpoints": [
        {
            "viewpoint": "0199f0a2-7c1e-7b60-9d0a-3f6a1c2b4d5e",
            "code": "main",
            "cells": [{"cell": 27, "calls": 9, "confirmed": 3}],
        }
    ]
}


class Span(OfProduct):
    """Which products, stations and time figures are of."""

    line = serializers.CharField(required=False, max_length=80, help_text="all its stations")
    station = serializers.CharField(required=False, max_length=80, help_text="its code or id")
    since = Moment()
    until = Moment()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["since"] >= attrs["until"]:
            raise serializers.ValidationError({"until": ["It must come after `since`."]})
        return attrs


class Figure(serializers.Serializer[Any]):
    value = serializers.FloatField(allow_null=True, help_text="null where nobody can know: `why`")
    numerator = serializers.FloatField()
    denominator = serializers.FloatField()
    why = serializers.CharField(allow_null=True)
    low = serializers.FloatField(allow_null=True)
    high = serializers.FloatField(allow_null=True)


class KpiOut(serializers.Serializer[Any]):
    sums = serializers.DictField(child=serializers.IntegerField())
    figures = serializers.DictField(child=Figure(), help_text="see docs/kpis.md")


class TrendQuery(Span):
    by = serializers.ChoiceField(["hour", "day"], required=False, default="day")


class Point(serializers.Serializer[Any]):
    at = serializers.DateTimeField(help_text="when the hour or day begins")
    inspected = serializers.IntegerField()
    called = serializers.IntegerField(help_text="failed, or in doubt")
    share = serializers.FloatField(allow_null=True, help_text="null where nothing was inspected")
    low = serializers.FloatField(allow_null=True)
    high = serializers.FloatField(allow_null=True)
    outside = serializers.BooleanField(help_text="more, or less, than chance alone allows")
    sums = serializers.DictField(child=serializers.IntegerField())


class TrendOut(serializers.Serializer[Any]):
    centre = serializers.FloatField(allow_null=True, help_text="the share of all of it")
    points = Point(many=True, help_text=f"at most {trend_facts.MOST_POINTS}")


class OfReason(serializers.Serializer[Any]):
    code = serializers.CharField(allow_null=True, help_text="null: those without a reason")
    text = serializers.CharField()
    confirmed = serializers.IntegerField()


class ReasonsOut(serializers.Serializer[Any]):
    total = serializers.IntegerField(help_text="confirmed defects, with any reason or none")
    reasons = OfReason(many=True, help_text=f"at most {trend_facts.MOST_REASONS}")


class OfCell(serializers.Serializer[Any]):
    cell = serializers.IntegerField(help_text="on an 8 × 8 grid, row by row from 0")
    calls = serializers.IntegerField()
    confirmed = serializers.IntegerField()


class OfSide(serializers.Serializer[Any]):
    viewpoint = serializers.UUIDField()
    code = serializers.CharField()
    cells = OfCell(many=True)


class PlacesOut(serializers.Serializer[Any]):
    viewpoints = OfSide(
        many=True, help_text=f"at most {trend_facts.MOST_SIDES}: ask for a product to see its own"
    )


class OfSpan(Base):
    """What is asked of a product, or all that the caller may see, a line or station, a time."""

    queries: ClassVar = {"get": Span}

    def products(self) -> list[UUID]:
        if said := self.query.get("product"):
            return [product_named(self.user, said).pk]
        return list(visible(self.user, Product).values_list("pk", flat=True))

    def stations(self) -> list[Station] | None:
        """None: any, and pictures from none."""
        return stations_named(self.query)

    def narrowed(self) -> dict[str, Any]:
        """Conditions on rows that have a viewpoint and a station."""
        narrowed: dict[str, Any] = {"viewpoint__product__in": self.products()}
        if (stations := self.stations()) is not None:
            narrowed["station__in"] = stations
        return narrowed

    def span(self) -> tally_sums.Span:
        return tally_sums.Span(self.query["since"], self.query["until"], self.narrowed())


class Kpis(OfSpan):
    """The figures of the page Today."""

    noun = "inspections"

    @extend_schema(responses=KpiOut, examples=[OpenApiExample("A line on one day", KPIS)])
    def get(self, request: Request) -> Response:
        """Sums and figures of decisions of record, by whole hours, each with its denominator."""
        asked = self.query
        found = kpi_facts(self.products(), asked["since"], asked["until"], self.stations())
        return Response(found)


class Trend(OfSpan):
    """The share of called parts over time, as the page Today draws it."""

    noun = "inspections"
    queries: ClassVar = {"get": TrendQuery}

    @extend_schema(responses=TrendOut, examples=[OpenApiExample("Two hours", TREND)])
    def get(self, request: Request) -> Response:
        """The p-chart: every hour or day of the plant's clock until now, also those in which
        nothing was inspected, with what chance alone allows (p̄ ± 3 σ)."""
        by_hour = self.query["by"] == "hour"
        return Response(trend_facts.trend_facts(self.span(), by_hour=by_hour))


class Reasons(OfSpan):
    """The Pareto of the page Today."""

    noun = "inspections"

    @extend_schema(responses=ReasonsOut, examples=[OpenApiExample("Two reasons", REASONS)])
    def get(self, request: Request) -> Response:
        """Confirmed defects by reason, the most frequent first, those without one too."""
        return Response(trend_facts.reason_facts(self.span()))


class Places(OfSpan):
    """Where on the part, as the page Today shows it."""

    noun = "inspections"

    @extend_schema(responses=PlacesOut, examples=[OpenApiExample("One side", PLACES)])
    def get(self, request: Request) -> Response:
        """Calls and confirmed defects by place of the strongest region, per viewpoint, the one
        with most calls first."""
        return Response({"viewpoints": trend_facts.place_facts(self.span())})
