"""Whether scores drift: the chart of the page Today, for programs."""

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from inspection.errors import UserError
from inspection.models import ModelVersion, Viewpoint
from inspection.services.drift import ENOUGH_PARTS, LEAST_DAYS
from inspection.services.drift_streams import LATELY, MOST_STREAMS, drift_facts
from inspection.services.inspection_choices import NONE

from .figures import OfSpan, Span

STREAM = {
    "viewpoint": "0199f0a2-7c1e-7b60-9d0a-3f6a1c2b4d5e",
    "recipe": "BOARD-A",
    "station": "AOI-1",
    "model": "0199f0a2-7c1e-7b60-9d0a-3f6a1c2b4d5f",
    "model_revision": "model-17",
    "parts": 12840,
    "alert": "0199f0a2-7c1e-7b60-9d0a-3f6a1c2b4d60",
}
DAY = {
    "day": "2026-11-23",
    "parts": 917,
    "mean": 0.44,
    "ewma": 0.351,
    "low": 0.28,
    "high": 0.34,
    "usual": False,
    "outside": True,
}
DRIFT = {
    "stream": STREAM,
    "centre": 0.31,
    "outside_since": "2026-11-23",
    "points": [DAY],
    "streams": [STREAM],
}


class DriftQuery(Span):
    station = serializers.CharField(
        required=False, max_length=80, help_text="its code or id; none: from no station"
    )
    viewpoint = serializers.UUIDField(required=False)
    model = serializers.UUIDField(required=False, help_text="which model version judged")


class StreamOut(serializers.Serializer[Any]):
    """Parts of one viewpoint at one station, judged by one model."""

    viewpoint = serializers.UUIDField()
    recipe = serializers.CharField()
    station = serializers.CharField(allow_null=True)
    model = serializers.UUIDField()
    model_revision = serializers.CharField()
    parts = serializers.IntegerField(
        help_text=f"that passed in the last {LATELY.days} days of the time"
    )
    alert = serializers.UUIDField(allow_null=True, help_text="the key of an open one")


class DriftPoint(serializers.Serializer[Any]):
    day = serializers.DateField(help_text="of the plant's clock")
    parts = serializers.IntegerField(help_text="that passed")
    mean = serializers.FloatField(help_text="of their scores")
    ewma = serializers.FloatField(help_text="smoothed")
    low = serializers.FloatField(
        allow_null=True, help_text=f"null while fewer than {LEAST_DAYS} days are known"
    )
    high = serializers.FloatField(allow_null=True)
    usual = serializers.BooleanField(help_text="one of the days that say what is usual")
    outside = serializers.BooleanField()


class DriftOut(serializers.Serializer[Any]):
    stream = StreamOut(allow_null=True, help_text="whose chart this is; null where nothing passed")
    centre = serializers.FloatField(allow_null=True)
    outside_since = serializers.DateField(
        allow_null=True, help_text="null while the newest point is inside"
    )
    points = DriftPoint(
        many=True, help_text=f"days with fewer than {ENOUGH_PARTS} parts say nothing and are none"
    )
    streams = StreamOut(
        many=True, help_text=f"that there are to choose from, at most {MOST_STREAMS}"
    )


class Drift(OfSpan):
    """The drift of the page Today."""

    noun = "inspections"
    queries: ClassVar = {"get": DriftQuery}

    @extend_schema(responses=DriftOut, examples=[OpenApiExample("One that drifts", DRIFT)])
    def get(self, request: Request) -> Response:
        """The EWMA chart of one stream, by the days since its model was new there: of those that
        fit, one with an open alert, or the busiest. With `viewpoint`, `station` and `model` it is
        that one and no other; what is there to choose from is in `streams`."""
        return Response(drift_facts(self.span()))

    def narrowed(self) -> dict[str, Any]:
        if self.query.get("station") != NONE:
            return {**super().narrowed(), **self._named()}
        if self.query.get("line"):
            raise UserError("not_of_line", "The station is none of that line.", field="station")
        return {"viewpoint__product__in": self.products(), "station": None, **self._named()}

    def _named(self) -> dict[str, Any]:
        """The viewpoint and the model, where they are asked for and may be seen."""
        asked = self.query
        found: dict[str, Any] = {}
        if viewpoint := asked.get("viewpoint"):
            found["viewpoint"] = self.find(Viewpoint, viewpoint, "viewpoint")
        if model := asked.get("model"):
            found["model_version"] = self.find(ModelVersion, model, "model")
        return found
