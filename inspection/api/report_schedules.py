"""Report schedules: which report is made by itself, when, and whom it is sent to."""

from typing import Any, ClassVar

from django.db import transaction
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from inspection.models import ReportKind, ReportSchedule
from inspection.services import report_schedules
from inspection.services.locking import lock_row

from .base import Nouns
from .fields import Strict, Whole
from .narrow import OfProduct, of_product, product_named
from .reports import LANGUAGES
from .schema import IF_MATCH

WEEKLY = {
    "product": "BOARD-A",
    "kind": "weekly_pdf",
    "every": "week",
    "weekday": 0,
    "hour": 6,
    "recipients": ["quality@plant.example"],
}


class ScheduleOut(serializers.ModelSerializer[ReportSchedule]):
    product = serializers.CharField(source="product.code", help_text="part number")
    recipients = serializers.ListField(child=serializers.CharField())
    enabled = serializers.BooleanField()
    next_at = serializers.SerializerMethodField(help_text="null while it is off")
    created_by = serializers.CharField(source="created_by.username", default=None, allow_null=True)

    class Meta:
        model = ReportSchedule
        fields = (
            "id",
            "created_at",
            "product",
            "kind",
            "every",
            "weekday",
            "hour",
            "language",
            "recipients",
            "enabled",
            "ended_at",
            "next_at",
            "last_at",
            "created_by",
        )

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_next_at(self, schedule: ReportSchedule) -> str | None:
        if not schedule.enabled:
            return None
        # As every other time, in one zone; else the ETag of what was just made is another than
        # that of what is read.
        return serializers.DateTimeField().to_representation(schedule.next_at)


class ScheduleChange(Strict):
    kind = serializers.ChoiceField(ReportKind.choices)
    every = serializers.ChoiceField(ReportSchedule.Every.choices)
    weekday = Whole(required=False, max_value=6, help_text="of `week`; 0: Monday")
    hour = Whole(max_value=23, help_text="of the plant's day")
    recipients = serializers.ListField(
        child=serializers.CharField(max_length=254), help_text="1 to 20 e-mail addresses"
    )
    language = serializers.ChoiceField(LANGUAGES, required=False)


class ScheduleIn(ScheduleChange):
    product = serializers.CharField(max_length=60, help_text="part number, or the product's id")


class ScheduleQuery(OfProduct):
    enabled = serializers.BooleanField(required=False, allow_null=True, default=None)


class ReportSchedules(Nouns[ReportSchedule]):
    """Reports that are made by themselves and sent by e-mail. A lot report is made of every lot
    of which something was judged in the day or week before; after a change of its time, since
    its last report. A quality report is of the whole days of the plant before: sent on Monday at
    six, of the seven days that ended with Sunday."""

    noun = "report_schedules"
    model = ReportSchedule
    serializer_class = ScheduleOut
    queries: ClassVar = {"list": ScheduleQuery}

    def get_queryset(self) -> Any:
        rows = of_product(super().get_queryset(), self.user, self.query, "product")
        on = self.query.get("enabled")
        return rows if on is None else rows.filter(ended_at__isnull=on)

    @extend_schema(
        request=ScheduleIn,
        responses={201: ScheduleOut},
        examples=[OpenApiExample("Quality, every Monday", WEEKLY, request_only=True)],
    )
    def create(self, request: Request) -> Response:
        """A new schedule, on at once. Engineers and above."""
        asked = self.asked(ScheduleIn)
        product = product_named(self.user, asked.pop("product"))
        made = report_schedules.schedule_report(self.user, product, **asked)
        return self.tell(made, status.HTTP_201_CREATED)

    @extend_schema(request=ScheduleChange, parameters=[IF_MATCH])
    def partial_update(self, request: Request, pk: Any = None) -> Response:
        """Change some fields. At another time, its next report is the first one of that time."""
        asked = self.asked(ScheduleChange, partial=True)
        found = self.get_object()
        with transaction.atomic():
            lock_row(found)
            schedule = self.get_object()
            self.check_match(schedule)
            report_schedules.edit_schedule(self.user, schedule, **asked)
        return self.tell(self.get_object())

    @extend_schema(responses={204: None}, parameters=[IF_MATCH])
    def destroy(self, request: Request, pk: Any = None) -> Response:
        """Remove it. The reports that it ordered stay, and their mails are sent."""
        found = self.get_object()
        with transaction.atomic():
            lock_row(found)
            schedule = self.get_object()
            self.check_match(schedule)
            report_schedules.delete_schedule(self.user, schedule)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=None, responses=ScheduleOut)
    @action(detail=True, methods=["post"])
    def enable(self, request: Request, pk: Any = None) -> Response:
        """Send it again, from its next time on; what it missed is not made up for."""
        found = self.get_object()
        with transaction.atomic():
            lock_row(found)
            report_schedules.resume_schedule(self.user, self.get_object())
        return self.tell(self.get_object())

    @extend_schema(request=None, responses=ScheduleOut)
    @action(detail=True, methods=["post"])
    def disable(self, request: Request, pk: Any = None) -> Response:
        """Send nothing more until it is enabled; as “End” of the page Reports."""
        report_schedules.end_schedule(self.user, self.get_object())
        return self.tell(self.get_object())
