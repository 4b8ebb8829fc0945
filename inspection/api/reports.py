"""Reports: order one, watch it being made, download it."""

from typing import Any, ClassVar

from django.http import Http404, HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from inspection.models import JobState, Lot, Report, ReportKind
from inspection.services import report_mail, reports

from .base import Nouns
from .fields import Moment, Strict, Table
from .files import AnyAccept
from .narrow import OfProduct, of_product, product_named

LANGUAGES = ("en", "zh-hant")
FILE = {
    (200, "application/pdf"): OpenApiTypes.BINARY,
    (200, "text/csv"): OpenApiTypes.BINARY,
}


class ReportOut(serializers.ModelSerializer[Report]):
    product = serializers.CharField(source="product.code", help_text="part number")
    lot = serializers.CharField(source="lot.code", default=None, allow_null=True)
    progress = Table()
    mail_state = serializers.ChoiceField(
        Report.Mail.choices, help_text="empty: not sent by e-mail; see `/reports/{id}/mail`"
    )
    requested_by = serializers.CharField(
        source="requested_by.username", default=None, allow_null=True
    )

    class Meta:
        model = Report
        fields = (
            "id",
            "created_at",
            "kind",
            "product",
            "lot",
            "since",
            "until",
            "language",
            "state",
            "progress",
            "error_code",
            "error",
            "size_bytes",
            "file_sha256",
            "contents_sha256",
            "requested_by",
            "finished_at",
            "schedule",
            "mail_state",
        )


class ReportQuery(OfProduct):
    state = serializers.ChoiceField(JobState.values, required=False)
    kind = serializers.ChoiceField(ReportKind.values, required=False)
    mail_state = serializers.ChoiceField(
        [one for one in Report.Mail.choices if one[0]],
        required=False,
        help_text="`failed`: those that a person may send again",
    )


class ReportIn(Strict):
    product = serializers.CharField(max_length=60, help_text="part number, or the product's id")
    kind = serializers.ChoiceField(ReportKind.values)
    lot = serializers.CharField(required=False, max_length=80, help_text="of a lot report")
    since = Moment(required=False, help_text="of a quality report, by whole hours")
    until = Moment(required=False, help_text="not included")
    language = serializers.ChoiceField(LANGUAGES, required=False)


class Reports(Nouns[Report]):
    """A document about a lot or a period: made once, kept, never changed."""

    noun = "inspections"
    model = Report
    serializer_class = ReportOut
    queries: ClassVar = {"list": ReportQuery}

    def get_queryset(self) -> Any:
        rows = of_product(super().get_queryset(), self.user, self.query, "product")
        asked = ("state", "kind", "mail_state")
        return rows.filter(**{name: self.query[name] for name in asked if name in self.query})

    @extend_schema(
        request=ReportIn,
        responses={201: ReportOut},
        examples=[
            OpenApiExample(
                "A lot as CSV",
                {"product": "BOARD-A", "kind": "lot_csv", "lot": "L-7"},
                request_only=True,
            )
        ],
    )
    def create(self, request: Request) -> Response:
        """Order a report; a worker makes it."""
        asked = self.asked(ReportIn)
        product = product_named(self.user, asked.pop("product"))
        if code := asked.pop("lot", None):
            asked["lot"] = Lot.objects.filter(product=product, code=code).first()
            if asked["lot"] is None:
                raise serializers.ValidationError({"lot": [f"{product.code} has no lot {code}."]})
        return self.tell(
            reports.request_report(self.user, product, **asked), status.HTTP_201_CREATED
        )

    @extend_schema(request=None, responses=ReportOut)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: Any = None) -> Response:
        """Stop making it."""
        report = self.get_object()
        reports.cancel_report(self.user, report)
        return self.tell(report)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: Any = None) -> Response:
        """Delete one that has ended, and its file. What it was about stays."""
        reports.delete_report(self.user, self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(responses=FILE)
    @action(detail=True, content_negotiation_class=AnyAccept, pagination_class=None)
    def file(self, request: Request, pk: Any = None) -> HttpResponse:
        """The document, as an attachment; 404 until it is done."""
        report = self.get_object()
        content = reports.content(report)
        if content is None:
            raise Http404("there is no file of this report")
        kind = "application/pdf" if report.is_pdf else "text/csv; charset=utf-8"
        return HttpResponse(
            content,
            content_type=kind,
            headers={
                "Content-Disposition": f'attachment; filename="{reports.file_name(report)}"',
                "X-Content-Type-Options": "nosniff",
                "Cache-Control": "private, no-store",
            },
        )


UNSENT = {
    "id": "0199f0a2-7c1e-7b60-9d0a-3f6a1c2b4d5e",
    "state": "failed",
    "to": ["quality@plant.example"],
    "tries": 5,
    "next_try_at": None,
    "sent_at": None,
    "error": "The mail server could not be reached: [Errno 111] Connection refused",
}


class MailOut(serializers.ModelSerializer[Report]):
    """Of the report with this `id`."""

    state = serializers.ChoiceField(
        Report.Mail.choices, source="mail_state", help_text="empty: not sent by e-mail"
    )
    to = serializers.ListField(child=serializers.CharField(), source="mail_to")
    tries = serializers.IntegerField(source="mail_tries")
    next_try_at = serializers.SerializerMethodField(help_text="while it waits after a try")
    sent_at = serializers.DateTimeField(source="mailed_at", allow_null=True)
    error = serializers.CharField(source="mail_error", help_text="of the last try")

    class Meta:
        model = Report
        fields = ("id", "state", "to", "tries", "next_try_at", "sent_at", "error")

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_next_try_at(self, report: Report) -> str | None:
        if report.mail_state != Report.Mail.WAITING or report.mail_after is None:
            return None
        return serializers.DateTimeField().to_representation(report.mail_after)


class ReportMails(Nouns[Report]):
    """The mail that a schedule had sent of a report."""

    noun = "report_schedules"  # as the schedule: what is sent leaves the house
    model = Report
    serializer_class = MailOut

    @extend_schema(examples=[OpenApiExample("One that failed", UNSENT, response_only=True)])
    def retrieve(self, request: Request, pk: Any = None) -> Response:
        """Whether it was sent, and what went wrong."""
        return super().retrieve(request, pk)

    @extend_schema(request=None, responses={200: MailOut})
    def create(self, request: Request, pk: Any = None) -> Response:
        """Send it again, within a minute. Only what failed: where the connection broke off while
        it was handed over, the first one may have arrived, and it comes twice. Engineers and
        above."""
        report_mail.send_again(self.user, self.get_object())
        return self.tell(self.get_object())
