"""Inspections: what was asked about single parts, and what was said of them.

Submitting one is in `submissions`.
"""

from typing import Any, ClassVar

from django.http import Http404, HttpResponse
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from inspection.models import (
    Disposition,
    Inspection,
    InspectionImage,
    Purpose,
    ReviewState,
    Verdict,
)
from inspection.picture_answers import picture
from inspection.services import golden, pictures, retraining
from inspection.services.inspection_search import search
from inspection.services.verdict_facts import FACTS_OF, results_of, verdict_facts

from .base import Nouns
from .fields import Strict
from .files import IMAGE, AnyAccept
from .inspection_query import InspectionQuery
from .pagination import ByChange, NewestFirst

COMPLETED = {
    "id": "0199f0a2-7c1e-7b60-9d0a-3f6a1c2b4d5e",
    "status": "completed",
    "result": "Failed",
    "disposition": "auto",
    "score": 1.31,
    "threshold": 0.99,
    "review_threshold": 0.95,
    "p_value": 0.004,
    "model_revision": "model-17",
    "error": "",
    "defects": [
        {
            "image": 0,
            "x": 0.25,
            "y": 0.5,
            "width": 0.1,
            "height": 0.2,
            "area": 0.01,
            "peak": 1.31,
            "p_value": 0.004,
        }
    ],
    "timing_ms": {"queue": 12, "infer": 410, "total": 460},
    "external_id": "MES-000123",
    "station_id": "AOI-1",
    "recipe": {"name": "BOARD-A", "revision": "model-17"},
    "work_order": "WO-1",
    "lot_id": "L-1",
    "panel_id": "",
    "serial_number": "SN000123",
    "position_number": 0,
    "side": "",
    "part_number": "BOARD-A",
    "verification": "NotVerifiedYet",
    "reason_code": None,
    "purpose": "production",
    "decision_of_record": True,
    "batch": None,
    "captured_at": "2026-11-23T12:00:00+00:00",
    "created_at": "2026-11-23T12:00:01+00:00",
    "completed_at": "2026-11-23T12:00:02+00:00",
    "reviewed_at": None,
    "updated_at": "2026-11-23T12:00:02+00:00",
}


class Defect(serializers.Serializer[Any]):
    """Where a picture differs from good parts; fractions of its width and height."""

    image = serializers.IntegerField(help_text="which picture, from 0")
    x = serializers.FloatField()
    y = serializers.FloatField()
    width = serializers.FloatField()
    height = serializers.FloatField()
    area = serializers.FloatField(allow_null=True)
    peak = serializers.FloatField(allow_null=True, help_text="score units")
    p_value = serializers.FloatField(allow_null=True)


class Timing(serializers.Serializer[Any]):
    queue = serializers.IntegerField(allow_null=True)
    infer = serializers.IntegerField(allow_null=True)
    total = serializers.IntegerField(allow_null=True, help_text="from arrival to verdict")


class Recipe(serializers.Serializer[Any]):
    name = serializers.CharField()
    revision = serializers.CharField()


class InspectionOut(serializers.Serializer[Any]):
    """As `services.verdict_facts` says it, for REST, events and MQTT alike."""

    id = serializers.UUIDField()
    status = serializers.ChoiceField(["queued", "completed"])
    result = serializers.ChoiceField(
        Verdict.values,
        allow_null=True,
        help_text="null: no verdict yet; never Passed then",
    )
    disposition = serializers.ChoiceField(Disposition.values, allow_null=True)
    score = serializers.FloatField(allow_null=True)
    threshold = serializers.FloatField(help_text="a score above it fails")
    review_threshold = serializers.FloatField()
    p_value = serializers.FloatField(allow_null=True)
    model_revision = serializers.CharField()
    error = serializers.CharField()
    defects = Defect(many=True, help_text="the strongest first, at most 50")
    timing_ms = Timing()
    external_id = serializers.CharField(allow_null=True)
    station_id = serializers.CharField(allow_null=True)
    recipe = Recipe()
    work_order = serializers.CharField()
    lot_id = serializers.CharField()
    panel_id = serializers.CharField()
    serial_number = serializers.CharField()
    position_number = serializers.IntegerField()
    side = serializers.CharField()
    part_number = serializers.CharField()
    verification = serializers.ChoiceField(ReviewState.values)
    reason_code = serializers.CharField(allow_null=True)
    purpose = serializers.ChoiceField(Purpose.values)
    decision_of_record = serializers.BooleanField(help_text="only these are counted in figures")
    batch = serializers.UUIDField(allow_null=True)
    captured_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()
    completed_at = serializers.DateTimeField(allow_null=True)
    reviewed_at = serializers.DateTimeField(allow_null=True)
    updated_at = serializers.DateTimeField(help_text="moves with every verdict and review")

    def to_representation(self, instance: Inspection) -> dict[str, Any]:
        known = self.context.get("results")
        return verdict_facts(instance, None if known is None else known.get(instance.pk, []))


class PictureResult(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    verdict = serializers.ChoiceField(Verdict.values)
    score = serializers.FloatField(allow_null=True)
    p_value = serializers.FloatField(allow_null=True)
    scores = serializers.DictField(help_text="what the model's parts say, by name")
    error = serializers.CharField()
    layers = serializers.DictField(
        child=serializers.CharField(), help_text="addresses of view, restored and heatmap"
    )


class PictureOut(serializers.Serializer[Any]):
    """A picture that an inspection asks about, and what was said of it."""

    index = serializers.IntegerField()
    image = serializers.UUIDField()
    file_name = serializers.CharField()
    width = serializers.IntegerField()
    height = serializers.IntegerField()
    content = serializers.CharField(help_text="address of the picture, encoded anew")
    result = PictureResult(allow_null=True)


class GoldenIn(Strict):
    label = serializers.CharField(max_length=60, help_text="good, or the kind of defect")  # type: ignore[assignment]
    must = serializers.BooleanField(help_text="every model must pass or catch it")


class GoldenOut(serializers.Serializer[Any]):
    dataset = serializers.UUIDField()
    pictures = serializers.IntegerField()


class LearnIn(Strict):
    inspections = serializers.ListField(
        child=serializers.UUIDField(),
        allow_empty=False,
        max_length=retraining.MOST_SELECTED,
        help_text="false calls that an inspector rejected, and parts that passed",
    )


class LearnedOut(serializers.Serializer[Any]):
    added = serializers.IntegerField(help_text="pictures that joined the good parts")
    already = serializers.IntegerField(help_text="pictures that were among them")
    viewpoints = serializers.ListField(
        child=serializers.UUIDField(), help_text="whose next run learns them; see their `changes`"
    )


LEARN = {"inspections": ["0199f0a2-7c1e-7b60-9d0a-3f6a1c2b4d5e"]}


class Inspections(Nouns[Inspection]):
    """What was asked about one part, and what was said of it."""

    noun = "inspections"
    model = Inspection
    serializer_class = InspectionOut
    queries: ClassVar = {"list": InspectionQuery}

    def get_queryset(self) -> Any:
        return super().get_queryset().select_related(*FACTS_OF)

    @extend_schema(examples=[OpenApiExample("A part that failed", COMPLETED)])
    def list(self, request: Request) -> Response:
        """Newest first; with `updated_since` by their last change, oldest first. Asked by
        `serial_number`, `panel_id` or `updated_since` it tells of production only, unless
        `purpose` says another."""
        paginator = ByChange() if self.query.get("updated_since") else NewestFirst()
        self._paginator = paginator
        below = paginator.below(request) if isinstance(paginator, NewestFirst) else None
        found = search(self.user, self.query, below).only("pk", "updated_at")
        keys = self.paginate_queryset(found)
        rows = Inspection.objects.select_related(*FACTS_OF).in_bulk([key.pk for key in keys or ()])
        page = [rows[key.pk] for key in keys or () if key.pk in rows]
        context = {**self.get_serializer_context(), "results": results_of(page)}
        told = InspectionOut(page, many=True, context=context)
        return self.get_paginated_response(told.data)

    @extend_schema(examples=[OpenApiExample("A part that failed", COMPLETED)])
    def retrieve(self, request: Request, pk: Any = None) -> Response:
        """The verdict as it stands. Without one `result` is null, never Passed."""
        return super().retrieve(request, pk)

    @extend_schema(responses=PictureOut(many=True))
    @action(detail=True, pagination_class=None)
    def pictures(self, request: Request, pk: Any = None) -> Response:
        """Its pictures with the result of each."""
        rows = _pictures(self.get_object())
        at = request.build_absolute_uri(request.path)
        return Response([_told(row, at) for row in rows])

    @extend_schema(responses=IMAGE)
    @action(
        detail=True,
        url_path="pictures/<int:index>/<slug:layer>",
        content_negotiation_class=AnyAccept,
        pagination_class=None,
    )
    def picture(
        self, request: Request, pk: Any = None, index: int = 0, layer: str = ""
    ) -> HttpResponse:
        """`content`: the picture; `view`: what the model saw; `restored`: what it made of it;
        `heatmap`: where they differ."""
        found = _pictures(self.get_object()).filter(index=index).first() if index < 2**15 else None
        if found is None:
            raise Http404("no such picture")
        if layer == "content":
            return picture(lambda: pictures.preview(found.image))
        result = getattr(found, "result", None)
        if result is None:
            raise Http404("no result yet")
        return picture(lambda: pictures.layer(result, layer))

    @extend_schema(request=GoldenIn, responses={201: GoldenOut})
    @action(detail=True, methods=["post"], pagination_class=None, also="datasets:write")
    def golden(self, request: Request, pk: Any = None) -> Response:
        """Put its pictures into the golden set, that later models are held against."""
        inspection, asked = self.get_object(), self.asked(GoldenIn)
        added = golden.take_over(self.user, inspection, **asked)
        told = {"dataset": golden.golden_set(inspection.viewpoint).pk, "pictures": len(added)}
        return Response(told, status=status.HTTP_201_CREATED)

    @extend_schema(
        request=LearnIn,
        responses={
            201: LearnedOut,
            200: OpenApiResponse(LearnedOut, "All of them were among the good parts already"),
        },
        examples=[OpenApiExample("A false call", LEARN, request_only=True)],
    )
    @action(detail=False, methods=["post"], pagination_class=None, also="datasets:write")
    def learn(self, request: Request) -> Response:
        """“These are good parts”: their pictures join those that their viewpoints learn from, and
        the next run learns them. One part that may not be learned refuses all: one with a defect,
        one that nobody has judged, one of the golden set. Engineers and above."""
        chosen = retraining.parts_named(self.user, self.asked(LearnIn)["inspections"])
        done = retraining.propose_good_parts(self.user, chosen)
        told = {
            "added": len(done.added),
            "already": done.already,
            "viewpoints": [viewpoint.pk for viewpoint in done.viewpoints],
        }
        code = status.HTTP_201_CREATED if done.added else status.HTTP_200_OK
        return Response(told, status=code)


def _pictures(inspection: Inspection) -> Any:
    rows = InspectionImage.objects.filter(inspection=inspection)
    return rows.select_related("image", "result").order_by("index")


def _told(row: InspectionImage, at: str) -> dict[str, Any]:
    result = getattr(row, "result", None)
    below = f"{at}/{row.index}"
    return {
        "index": row.index,
        "image": row.image_id,
        "file_name": row.file_name,
        "width": row.image.width,
        "height": row.image.height,
        "content": f"{below}/content",
        "result": _result(result, below) if result else None,
    }


def _result(result: Any, below: str) -> dict[str, Any]:
    there = {name: bool(getattr(result, field)) for name, (field, _) in pictures.LAYERS.items()}
    return {
        **{name: getattr(result, name) for name in ("id", "verdict", "score", "p_value")},
        "scores": result.scores,
        "error": result.error,
        "layers": {name: f"{below}/{name}" for name, has in there.items() if has},
    }
