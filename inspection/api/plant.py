"""The plant as programs read it: stations, drift, the audit trail."""

from typing import Any, ClassVar

from rest_framework import serializers

from inspection.models import AuditEvent, DriftAlert, Station
from inspection.services import audit_trail

from .base import Nouns
from .fields import Moment, Strict, Table
from .narrow import OfViewpoint, of_viewpoint, stations_named


class StationOut(serializers.ModelSerializer[Station]):
    class Meta:
        model = Station
        fields = ("id", "created_at", "code", "name", "line", "camera")


class StationQuery(Strict):
    line = serializers.CharField(required=False, max_length=80)
    code = serializers.CharField(required=False, max_length=80)


class Stations(Nouns[Station]):
    """Where pictures are taken; `code` is what the MES calls it."""

    noun = "products"
    model = Station
    serializer_class = StationOut
    queries: ClassVar = {"list": StationQuery}

    def get_queryset(self) -> Any:
        rows = Station.objects.all()
        if line := self.query.get("line"):
            rows = rows.filter(line=line)
        if code := self.query.get("code"):
            rows = rows.filter(code__iexact=code)
        return rows


class DriftAlertOut(serializers.ModelSerializer[DriftAlert]):
    station = serializers.CharField(source="station.code", default=None, allow_null=True)
    model_revision = serializers.CharField(source="model_version.revision")
    recipe = serializers.CharField(source="viewpoint.recipe_name")

    class Meta:
        model = DriftAlert
        fields = (
            "id",
            "created_at",
            "viewpoint",
            "recipe",
            "station",
            "model_version",
            "model_revision",
            "began_at",
            "ended_at",
            "value",
            "low",
            "high",
        )


class AlertQuery(OfViewpoint):
    line = serializers.CharField(required=False, max_length=80, help_text="all its stations")
    station = serializers.CharField(required=False, max_length=80, help_text="its code or id")
    open = serializers.BooleanField(required=False, allow_null=True, default=None)


class DriftAlerts(Nouns[DriftAlert]):
    """Scores of passed parts left the limits that they kept when the model was new there."""

    noun = "models"
    model = DriftAlert
    serializer_class = DriftAlertOut
    queries: ClassVar = {"list": AlertQuery}

    def get_queryset(self) -> Any:
        rows = of_viewpoint(super().get_queryset(), self.user, self.query, "viewpoint")
        if (stations := stations_named(self.query)) is not None:
            rows = rows.filter(station__in=stations)
        still = self.query.get("open")
        return rows if still is None else rows.filter(ended_at__isnull=still)


class AuditOut(serializers.ModelSerializer[AuditEvent]):
    actor = serializers.CharField(source="actor_name", help_text="system: nobody")
    product = serializers.CharField(source="product.code", default=None, allow_null=True)
    before = Table()
    after = Table()

    class Meta:
        model = AuditEvent
        fields = (
            "id",
            "created_at",
            "actor",
            "action",
            "object_type",
            "object_id",
            "object_name",
            "product",
            "before",
            "after",
            "reason",
            "request_id",
        )


class AuditQuery(Strict):
    type = serializers.CharField(required=False, max_length=40, help_text="inspection, batch, …")
    object = serializers.UUIDField(required=False, help_text="what it befell")
    who = serializers.CharField(required=False, max_length=150, help_text="user name, or system")
    since = Moment(required=False)
    until = Moment(required=False)


class Audit(Nouns[AuditEvent]):
    """Who did what to what. Administrators read everything; engineers what befell their
    products; others nothing."""

    noun = "audit"
    model = AuditEvent
    serializer_class = AuditOut
    queries: ClassVar = {"list": AuditQuery}

    def get_queryset(self) -> Any:
        asked = dict(self.query)
        thing = asked.pop("object", None)
        rows = audit_trail.narrowed(audit_trail.readable(self.user), thing=thing, **asked)
        return rows.select_related("product")
