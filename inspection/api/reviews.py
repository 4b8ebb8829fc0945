"""What people say of parts, the words they say it with, and defects found downstream."""

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from inspection.ids import first_id_of
from inspection.models import (
    Escape,
    Inspection,
    Look,
    Product,
    ReasonCode,
    Review,
    ReviewState,
    Viewpoint,
)
from inspection.services import bulk_reviews, escapes, reason_codes, reviews, submissions
from inspection.services.submission_fields import HIGHEST_POSITION

from .base import Nouns
from .fields import Moment, Strict
from .narrow import OfProduct, of_product, product_named


class ReviewOut(serializers.ModelSerializer[Review]):
    author = serializers.CharField(source="author.username")
    reason_code = serializers.CharField(source="reason_code.code", default=None, allow_null=True)

    class Meta:
        model = Review
        fields = (
            "id",
            "created_at",
            "inspection",
            "state",
            "reason_code",
            "comment",
            "author",
            "look",
            "undoes",
        )


class ReviewQuery(OfProduct):
    inspection = serializers.UUIDField(required=False)
    since = Moment(required=False, help_text="said from then on")
    until = Moment(required=False, help_text="said before then")


TO_SAY = [state for state in ReviewState.values if state != ReviewState.NOT_VERIFIED]


class ReviewIn(Strict):
    inspection = serializers.UUIDField()
    state = serializers.ChoiceField(TO_SAY)
    reason_code = serializers.CharField(required=False, max_length=40, help_text="of the product")
    comment = serializers.CharField(required=False, max_length=2000, allow_blank=True)
    look = serializers.ChoiceField(Look.values, required=False)
    seen = serializers.ChoiceField(
        ReviewState.values,
        required=False,
        help_text="`verification` as you saw it; 409 where another judged meanwhile",
    )


class BulkIn(Strict):
    inspections = serializers.ListField(
        child=serializers.UUIDField(), allow_empty=False, max_length=bulk_reviews.MOST_AT_ONCE
    )
    state = serializers.ChoiceField(TO_SAY)
    reason_code = serializers.CharField(
        required=False, max_length=40, help_text="of the product of each part"
    )
    comment = serializers.CharField(required=False, max_length=2000, allow_blank=True)
    seen = serializers.ChoiceField(
        ReviewState.values,
        required=False,
        help_text="`verification` of all of them as you saw it; a part that another judged "
        "meanwhile is refused",
    )


class RefusedOut(serializers.Serializer[Any]):
    inspection = serializers.UUIDField()
    code = serializers.CharField(help_text="as a problem has it: changed_meanwhile, no_verdict, …")
    detail = serializers.CharField()


class BulkOut(serializers.Serializer[Any]):
    reviews = ReviewOut(many=True, help_text="that were written, in the order of the parts")
    refused = RefusedOut(many=True, help_text="parts of which nothing was written")


FALSE_CALLS = {
    "inspections": ["0199f0a2-7c1e-7b60-9d0a-3f6a1c2b4d5e"],
    "state": "DefectRejected",
    "seen": "NotVerifiedYet",
}


class Reviews(Nouns[Review]):
    """An inspector's judgement. Each is a new row; an undo is one too."""

    noun = "reviews"
    model = Review
    serializer_class = ReviewOut
    queries: ClassVar = {"list": ReviewQuery}

    def get_queryset(self) -> Any:
        path = "inspection__viewpoint__product"
        rows = of_product(super().get_queryset(), self.user, self.query, path)
        if inspection := self.query.get("inspection"):
            rows = rows.filter(inspection=inspection)
        if since := self.query.get("since"):
            rows = rows.filter(pk__gte=first_id_of(since))
        if until := self.query.get("until"):
            rows = rows.filter(pk__lt=first_id_of(until))
        return rows

    @extend_schema(
        request=ReviewIn,
        responses={201: ReviewOut},
        examples=[
            OpenApiExample(
                "A false call",
                {
                    "inspection": "0199f0a2-7c1e-7b60-9d0a-3f6a1c2b4d5e",
                    "state": "DefectRejected",
                    "seen": "NotVerifiedYet",
                },
                request_only=True,
            )
        ],
    )
    def create(self, request: Request) -> Response:
        """Say what a part is."""
        asked = self.asked(ReviewIn)
        inspection = self.find(Inspection, asked["inspection"], "inspection")
        if "seen" in asked:
            inspection.review_state = asked["seen"]
        review = reviews.record_review(
            self.user,
            inspection,
            state=asked["state"],
            reason_code=_reason(inspection.viewpoint.product, asked.get("reason_code")),
            comment=asked.get("comment", ""),
            look=asked.get("look", Look.FIRST),
        )
        return self.tell(review, status.HTTP_201_CREATED)

    @extend_schema(
        request=BulkIn,
        responses={201: BulkOut, 200: OpenApiResponse(BulkOut, "Every part was refused")},
        examples=[OpenApiExample("False calls", FALSE_CALLS, request_only=True)],
    )
    @action(detail=False, methods=["post"], pagination_class=None)
    def bulk(self, request: Request) -> Response:
        """Say the same of many parts, as the page Defects does. One that is not there, that the
        caller may not judge, or whose product lacks the reason code refuses all. Otherwise each
        is written or refused on its own, and `refused` says why."""
        asked = self.asked(BulkIn)
        parts = bulk_reviews.parts_to_judge(self.user, asked["inspections"])
        products = {part.viewpoint.product for part in parts}
        reasons = {one.pk: _reason(one, asked.get("reason_code")) for one in products}
        for part in parts:
            part.review_state = asked.get("seen", part.review_state)
        said = bulk_reviews.record_reviews(
            self.user,
            parts,
            state=asked["state"],
            reason_of=lambda part: reasons[part.viewpoint.product_id],
            comment=asked.get("comment", ""),
        )
        refused = [
            {"inspection": part.pk, "code": error.code, "detail": error.message}
            for part, error in said.refused
        ]
        told = {"reviews": ReviewOut(said.written, many=True).data, "refused": refused}
        code = status.HTTP_201_CREATED if said.written else status.HTTP_200_OK
        return Response(told, status=code)

    @extend_schema(request=None, responses={201: ReviewOut})
    @action(detail=True, methods=["post"])
    def undo(self, request: Request, pk: Any = None) -> Response:
        """Bring back the state before: one's own newest, or, as an engineer, anybody's. The undo
        is a review of its own."""
        undone = reviews.undo_review(self.user, self.get_object())
        return self.tell(undone, status.HTTP_201_CREATED)


def _reason(product: Product, code: str | None) -> ReasonCode | None:
    if not code:
        return None
    found = ReasonCode.objects.filter(product=product, code__iexact=code).first()
    if found is None:
        said = f"{product.code} has no reason code {code}."
        raise serializers.ValidationError({"reason_code": [said]})
    return found


class ReasonCodeOut(serializers.ModelSerializer[ReasonCode]):
    class Meta:
        model = ReasonCode
        fields = ("id", "created_at", "product", "code", "text", "retired_at")


class ReasonCodeQuery(OfProduct):
    retired = serializers.BooleanField(required=False, allow_null=True, default=None)


class ReasonCodeIn(Strict):
    product = serializers.CharField(max_length=60, help_text="part number, or the product's id")
    code = serializers.CharField(max_length=40)
    text = serializers.CharField(max_length=120)


class ReasonCodes(Nouns[ReasonCode]):
    """What people call the defects of one product."""

    noun = "reviews"
    model = ReasonCode
    serializer_class = ReasonCodeOut
    queries: ClassVar = {"list": ReasonCodeQuery}

    def get_queryset(self) -> Any:
        rows = of_product(super().get_queryset(), self.user, self.query, "product")
        retired = self.query.get("retired")
        return rows if retired is None else rows.filter(retired_at__isnull=not retired)

    @extend_schema(request=ReasonCodeIn, responses={201: ReasonCodeOut})
    def create(self, request: Request) -> Response:
        """A new code; one that was retired comes back with the new text."""
        asked = self.asked(ReasonCodeIn)
        product = product_named(self.user, asked.pop("product"))
        made = reason_codes.create_reason_code(self.user, product, **asked)
        return self.tell(made, status.HTTP_201_CREATED)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: Any = None) -> Response:
        """Retire it: what was judged with it keeps it."""
        reason_codes.retire_reason_code(self.user, self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)


class EscapeOut(serializers.ModelSerializer[Escape]):
    serial_number = serializers.CharField(source="unit.serial_number")
    panel_id = serializers.CharField(source="unit.panel_id")
    position_number = serializers.IntegerField(source="unit.position_number")
    product = serializers.CharField(source="unit.product.code", help_text="part number")
    reason_code = serializers.CharField(source="reason_code.code", default=None, allow_null=True)
    reported_by = serializers.CharField(source="reported_by.username")
    withdrawn_by = serializers.CharField(
        source="withdrawn_by.username", default=None, allow_null=True
    )

    class Meta:
        model = Escape
        fields = (
            "id",
            "created_at",
            "serial_number",
            "panel_id",
            "position_number",
            "product",
            "viewpoint",
            "found_at",
            "found_where",
            "reason_code",
            "comment",
            "reported_by",
            "withdrawn_at",
            "withdrawn_by",
            "withdrawn_reason",
        )


class EscapeQuery(OfProduct):
    serial_number = serializers.CharField(required=False, max_length=120, help_text="exact")
    panel_id = serializers.CharField(required=False, max_length=120, help_text="exact")
    withdrawn = serializers.BooleanField(required=False, allow_null=True, default=None)
    since = Moment(required=False, help_text="found from then on")
    until = Moment(required=False, help_text="found before then")


class EscapeIn(Strict):
    serial_number = serializers.CharField(required=False, max_length=120, allow_blank=True)
    panel_id = serializers.CharField(
        required=False, max_length=120, allow_blank=True, help_text="empty: on no panel"
    )
    position_number = serializers.IntegerField(
        required=False,
        min_value=0,
        max_value=HIGHEST_POSITION,
        help_text="where a panel or serial number has several",
    )
    product = serializers.CharField(
        required=False, max_length=60, help_text="where several products have this serial number"
    )
    viewpoint = serializers.UUIDField(required=False)
    found_where = serializers.CharField(max_length=120)
    found_at = Moment(required=False)
    reason_code = serializers.CharField(required=False, max_length=40)
    comment = serializers.CharField(required=False, max_length=2000, allow_blank=True)


class WithdrawIn(Strict):
    reason = serializers.CharField(max_length=escapes.REASON_LENGTH)


NAMES_OF_A_UNIT = ("serial_number", "panel_id", "position_number")
AGAIN = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description="A new UUID for every report, the same one to ask again.",
)


class Escapes(Nouns[Escape]):
    """A defect that was found downstream of us. Several of one unit count as one."""

    noun = "reviews"
    model = Escape
    serializer_class = EscapeOut
    queries: ClassVar = {"list": EscapeQuery}

    def get_queryset(self) -> Any:
        rows = of_product(super().get_queryset(), self.user, self.query, "unit__product")
        if serial := self.query.get("serial_number"):
            rows = rows.filter(unit__serial_number=serial)
        if panel := self.query.get("panel_id"):
            rows = rows.filter(unit__panel_id=panel)
        withdrawn = self.query.get("withdrawn")
        if withdrawn is not None:
            rows = rows.filter(withdrawn_at__isnull=not withdrawn)
        if since := self.query.get("since"):
            rows = rows.filter(found_at__gte=since)
        if until := self.query.get("until"):
            rows = rows.filter(found_at__lt=until)
        return rows

    @extend_schema(
        parameters=[AGAIN],
        request=EscapeIn,
        responses={
            200: OpenApiResponse(EscapeOut, "On record already, by its key or word for word"),
            201: EscapeOut,
        },
        examples=[
            OpenApiExample(
                "Found at the customer's",
                {"serial_number": "SN000123", "found_where": "incoming goods, Northwind"},
                request_only=True,
            ),
            OpenApiExample(
                "One position of a panel",
                {"panel_id": "P-77", "position_number": 3, "found_where": "final test"},
                request_only=True,
            ),
        ],
    )
    def create(self, request: Request) -> Response:
        """Put on record that a unit left with a defect. The unit is named as it was submitted;
        where that fits several positions, the refusal names them."""
        asked = self.asked(EscapeIn)
        if key := request.headers.get("Idempotency-Key", ""):
            asked["idempotency_key"] = submissions.read_key(key)
        code, viewpoint = asked.pop("reason_code", None), asked.pop("viewpoint", None)
        if "product" in asked:
            asked["product"] = product_named(self.user, asked["product"])
        if viewpoint:
            asked["viewpoint"] = self.find(Viewpoint, viewpoint, "viewpoint")
        if code:
            asked["reason_code"] = _reason(asked.get("product") or self._product(asked), code)
        escape, new = escapes.report_once(self.user, **asked)
        return self.tell(escape, status.HTTP_201_CREATED if new else status.HTTP_200_OK)

    def _product(self, asked: dict[str, Any]) -> Product:
        """Of the unit; raises UserError as a report would."""
        said = {name: asked[name] for name in NAMES_OF_A_UNIT if name in asked}
        return escapes.unit_named(self.user, **said).product

    @extend_schema(request=WithdrawIn, responses={200: EscapeOut})
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: Any = None) -> Response:
        """Take back a report that was a mistake: one's own, or, as an engineer, anybody's. It
        stays on record, and counts nowhere any more."""
        asked = self.asked(WithdrawIn)
        return self.tell(escapes.withdraw_escape(self.user, self.get_object(), **asked))
