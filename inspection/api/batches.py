"""Batches: pictures submitted together, judged by one model at one operating point."""

from typing import Any, ClassVar

from django.http import Http404
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from inspection.models import Batch, ModelVersion, Purpose, Viewpoint
from inspection.services import batch_intake, batches, flips, pictures, uploads
from inspection.services.batch_counts import batch_summaries
from inspection.services.batch_facts import batch_facts
from inspection.services.verdict_facts import verdict_facts

from .base import Nouns
from .fields import Strict, Whole
from .inspections import InspectionOut, Recipe
from .narrow import OfViewpoint, of_viewpoint, station_named


class Counts(serializers.Serializer[Any]):
    """`passed`, `failed` and `review` exclude each other; `scored` is what has a verdict."""

    total = serializers.IntegerField()
    scored = serializers.IntegerField()
    passed = serializers.IntegerField()
    failed = serializers.IntegerField()
    review = serializers.IntegerField()
    errors = serializers.IntegerField()  # type: ignore[assignment]
    skipped = serializers.IntegerField()
    state = serializers.ChoiceField(["open", "scoring", "done", "cancelling", "cancelled"])
    eta_s = serializers.FloatField(allow_null=True, help_text="seconds until the rest is scored")


class BatchOut(serializers.Serializer[Any]):
    """As `services.batch_facts` says it, for REST, events and MQTT alike."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    purpose = serializers.ChoiceField(Purpose.values)
    recipe = Recipe()
    lot_id = serializers.CharField()
    work_order = serializers.CharField()
    station_id = serializers.CharField(allow_null=True)
    counts = Counts()
    created_at = serializers.DateTimeField()
    sealed_at = serializers.DateTimeField(allow_null=True)
    completed_at = serializers.DateTimeField(allow_null=True)

    def to_representation(self, instance: Batch) -> dict[str, Any]:
        counts = self.context.get("counts", {}).get(instance.pk)
        return batch_facts(instance, counts)


class BatchQuery(OfViewpoint):
    purpose = serializers.ChoiceField(Purpose.values, required=False)
    lot = serializers.CharField(required=False, max_length=80)


class BatchIn(Strict):
    viewpoint = serializers.UUIDField()
    name = serializers.CharField(max_length=120)
    purpose = serializers.ChoiceField(
        [Purpose.PRODUCTION.value, Purpose.TRIAL.value], required=False
    )
    lot = serializers.CharField(required=False, max_length=80)
    work_order = serializers.CharField(required=False, max_length=80)
    station = serializers.CharField(required=False, max_length=80, help_text="its code")
    model = serializers.UUIDField(required=False, help_text="else the one that judges")


class BatchImageIn(Strict):
    image = serializers.UUIDField(help_text="of a picture that you sent or may see")
    file_name = serializers.CharField(required=False, max_length=255)
    serial_number = serializers.CharField(required=False, max_length=120, allow_blank=True)
    panel_id = serializers.CharField(required=False, max_length=120, allow_blank=True)
    position_number = Whole(required=False, help_text="on the panel; 0: not on one")
    reference_label = serializers.CharField(
        required=False, max_length=60, help_text="in a trial: good, or the kind of defect"
    )


class KeepOpenIn(Strict):
    keep = serializers.BooleanField()


class FlipsQuery(Strict):
    was = serializers.ChoiceField(list(flips.BANDS), required=False)
    now = serializers.ChoiceField(list(flips.BANDS), required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("was" in attrs) != ("now" in attrs):
            raise serializers.ValidationError({"was": ["Give was and now together."]})
        return attrs


class MoveOut(serializers.Serializer[Any]):
    was = serializers.CharField()
    now = serializers.CharField()
    count = serializers.IntegerField()


class FlipOut(serializers.Serializer[Any]):
    before = InspectionOut()
    after = InspectionOut()


class FlipsOut(serializers.Serializer[Any]):
    """Of a lot that was judged again: what changed, at most 500 parts, the worst first."""

    done = serializers.IntegerField()
    total = serializers.IntegerField()
    moves = MoveOut(many=True)
    parts = FlipOut(many=True)


OPEN = OpenApiExample(
    "A lot",
    {
        "viewpoint": "0199f0a2-7c1e-7b60-9d0a-3f6a1c2b4d5e",
        "name": "Lot L-7, night",
        "lot": "L-7",
        "work_order": "WO-12",
        "station": "AOI-1",
    },
    request_only=True,
)
MOST_FLIPS = 500


class Batches(Nouns[Batch]):
    """Model and limits are pinned when a batch is opened, and never change."""

    noun = "inspections"
    model = Batch
    serializer_class = BatchOut
    queries: ClassVar = {"list": BatchQuery, "flips": FlipsQuery}

    def get_queryset(self) -> Any:
        rows = of_viewpoint(super().get_queryset(), self.user, self.query, "viewpoint")
        if purpose := self.query.get("purpose"):
            rows = rows.filter(purpose=purpose)
        if lot := self.query.get("lot"):
            rows = rows.filter(lot__code=lot)
        return rows.select_related("station", "lot", "model_version", "viewpoint__product")

    def list(self, request: Request) -> Response:
        """Newest first."""
        page = self.paginate_queryset(self.get_queryset()) or []
        context = {**self.get_serializer_context(), "counts": batch_summaries(page)}
        told = BatchOut(page, many=True, context=context)
        return self.get_paginated_response(told.data)

    @extend_schema(request=BatchIn, responses={201: BatchOut}, examples=[OPEN])
    def create(self, request: Request) -> Response:
        """Open a batch; pictures are added to it until it is sealed."""
        asked = self.asked(BatchIn)
        viewpoint = self.find(Viewpoint, asked["viewpoint"], "viewpoint")
        model = asked.get("model")
        batch = batches.open_batch(
            self.user,
            viewpoint,
            name=asked["name"],
            purpose=asked.get("purpose", Purpose.PRODUCTION),
            lot_code=asked.get("lot", ""),
            work_order=asked.get("work_order", ""),
            station=station_named(asked.get("station")),
            model_version=self.find(ModelVersion, model, "model") if model else None,
        )
        return self.tell(batch, status.HTTP_201_CREATED)

    @extend_schema(
        request=BatchImageIn,
        responses={200: InspectionOut, 201: InspectionOut},
        examples=[
            OpenApiExample(
                "With its serial number",
                {"image": "0199f0a2-7c1e-7b60-9d0a-3f6a1c2b4d5e", "serial_number": "SN000123"},
                request_only=True,
            )
        ],
    )
    @action(detail=True, methods=["post"], pagination_class=None)
    def images(self, request: Request, pk: Any = None) -> Response:
        """Ask about one picture. A batch judges a picture of a unit once: the second time is a 200
        with the same inspection. The same picture with another serial number, or another place on
        a panel, is another part."""
        batch, asked = self.get_object(), self.asked(BatchImageIn)
        batch_intake.check_may_submit(self.user, batch)
        image = pictures.find(self.user, asked.pop("image"))
        inspection, created = batch_intake.submit_image(self.user, batch, image, **asked)
        code = status.HTTP_201_CREATED if created else status.HTTP_200_OK
        return Response(verdict_facts(inspection), status=code)

    @extend_schema(request=None, responses=BatchOut)
    @action(detail=True, methods=["post"])
    def seal(self, request: Request, pk: Any = None) -> Response:
        """No more pictures: what is left becomes the last chunk. Twice does no harm."""
        batch = self.get_object()
        uploads.close_all(self.user, batch)
        batches.seal(self.user, batch)
        return self.tell(self.get_object())

    @extend_schema(request=None, responses=BatchOut)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: Any = None) -> Response:
        """Stop scoring. What has a verdict keeps it; the rest is skipped."""
        batches.cancel_batch(self.user, self.get_object())
        return self.tell(self.get_object())

    @extend_schema(request=KeepOpenIn, responses=BatchOut)
    @action(detail=True, methods=["post"])
    def keep_open(self, request: Request, pk: Any = None) -> Response:
        """Whether only a person or program closes it, however long nothing comes."""
        batch = self.get_object()
        uploads.keep_open(self.user, batch, self.asked(KeepOpenIn)["keep"])
        return self.tell(self.get_object())

    @extend_schema(responses=FlipsOut)
    @action(detail=True, pagination_class=None)
    def flips(self, request: Request, pk: Any = None) -> Response:
        """Which verdicts of a lot another model changes; 404 for a batch that repeats nothing."""
        batch = self.get_object()
        if batch.purpose != Purpose.RESCORE:
            raise Http404("not a lot that was judged again")
        moves, done, total = flips.moves(batch)
        rows = flips.flipped(batch, self.query.get("was", ""), self.query.get("now", ""))
        rows = rows.select_related(*flips.TOLD)[:MOST_FLIPS]
        told = {
            "done": done,
            "total": total,
            "moves": [{"was": m.was, "now": m.will, "count": m.count} for m in moves],
            "parts": [
                {"before": verdict_facts(row.origin), "after": verdict_facts(row)}
                for row in rows
                if row.origin
            ],
        }
        return Response(told)
