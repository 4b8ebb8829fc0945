"""Model versions: which one judges, how the gate lets others through, where their limits lie."""

from typing import Any, ClassVar

from django.http import Http404
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from inspection.models import GateCheck, Lot, ModelVersion, OperatingPoint
from inspection.services import gate, limit_facts, models, rescoring
from inspection.services.batch_facts import batch_facts

from .base import Nouns
from .batches import BatchOut
from .fields import Number, Strict, Table, Whole
from .narrow import OfViewpoint, of_viewpoint


class OperatingPointOut(serializers.ModelSerializer[OperatingPoint]):
    author = serializers.CharField(source="author.username", default=None, allow_null=True)

    class Meta:
        model = OperatingPoint
        fields = (
            "id",
            "created_at",
            "number",
            "alpha_fail",
            "alpha_review",
            "threshold_fail",
            "threshold_review",
            "reason",
            "author",
            "in_force",
        )


class ModelOut(serializers.ModelSerializer[ModelVersion]):
    """`manifest` leaves out the calibration's scores; `calibration_parts` counts them."""

    recipe = serializers.CharField(source="viewpoint.recipe_name")
    revision = serializers.CharField(help_text="`recipe.revision` of a submission")
    promoted_by = serializers.CharField(
        source="promoted_by.username", default=None, allow_null=True
    )
    operating_point = serializers.SerializerMethodField(help_text="the limits in force")
    metrics = serializers.SerializerMethodField()
    files = serializers.SerializerMethodField(help_text="SHA-256 by name")
    calibration_parts = serializers.SerializerMethodField()
    images_per_second = serializers.FloatField(allow_null=True)

    class Meta:
        model = ModelVersion
        fields = (
            "id",
            "created_at",
            "number",
            "revision",
            "viewpoint",
            "recipe",
            "training_run",
            "state",
            "method",
            "is_first_try",
            "scoring_backbone",
            "backbone_is_stand_in",
            "images_per_second",
            "promoted_at",
            "promoted_by",
            "replaced",
            "manifest_sha256",
            "metrics",
            "files",
            "calibration_parts",
            "operating_point",
        )

    @extend_schema_field(OperatingPointOut(allow_null=True))
    def get_operating_point(self, version: ModelVersion) -> Any:
        points = [point for point in version.operating_points.all() if point.in_force]
        return OperatingPointOut(points[0]).data if points else None

    @extend_schema_field(Table())
    def get_metrics(self, version: ModelVersion) -> Any:
        return version.manifest.get("metrics") or {}

    @extend_schema_field(Table())
    def get_files(self, version: ModelVersion) -> Any:
        return version.manifest.get("files") or {}

    def get_calibration_parts(self, version: ModelVersion) -> int:
        return len((version.manifest.get("calibration") or {}).get("scores") or ())


class StandingOut(serializers.Serializer[Any]):
    """How a model stands with the gate now."""

    word = serializers.ChoiceField(
        ["none", "not_run", "running", "stopped", "stale", "failed", "passed"]
    )
    blocks = serializers.BooleanField(help_text="a promotion then needs `override`")
    check_id = serializers.UUIDField(allow_null=True)


class GateOut(serializers.ModelSerializer[GateCheck]):
    outcome = Table(
        help_text="figures of both models, failures (`rule`: errors, must_catch, must_pass, "
        "recall, false_calls or looked_at), and every flip with its parts"
    )
    requested_by = serializers.CharField(
        source="requested_by.username", default=None, allow_null=True
    )

    class Meta:
        model = GateCheck
        fields = (
            "id",
            "created_at",
            "candidate",
            "baseline",
            "dataset",
            "digest",
            "candidate_batch",
            "baseline_batch",
            "state",
            "passed",
            "outcome",
            "requested_by",
            "finished_at",
        )


class ModelQuery(OfViewpoint):
    state = serializers.ChoiceField(ModelVersion.State.values, required=False)


class PromoteIn(Strict):
    reason = serializers.CharField(max_length=300)
    override = serializers.CharField(
        required=False, max_length=300, help_text="why the gate is passed over"
    )


class RollbackIn(Strict):
    reason = serializers.CharField(required=False, max_length=300)


class RescoreIn(Strict):
    lot = serializers.CharField(max_length=80, help_text="as the MES calls it")
    reason = serializers.CharField(max_length=300)


class PointIn(Strict):
    """Each line by its rate or by its score."""

    alpha_fail = Number(required=False, help_text="at most this share of good parts fails")
    alpha_review = Number(required=False)
    threshold_fail = Number(required=False, help_text="score units")
    threshold_review = Number(required=False)
    reason = serializers.CharField(max_length=300)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        for line in ("fail", "review"):
            given = [name for name in (f"alpha_{line}", f"threshold_{line}") if name in attrs]
            if len(given) != 1:
                raise serializers.ValidationError(
                    {f"alpha_{line}": [f"Give either alpha_{line} or threshold_{line}."]}
                )
        return attrs


class WhatIfQuery(Strict):
    alpha_fail = Number(min_value=0, max_value=1)
    alpha_review = Number(min_value=0, max_value=1)
    lots = Whole(required=False, default=10, min_value=1, max_value=50)
    defects_per_1000 = Number(required=False, min_value=0, max_value=1000)


class StepOut(serializers.Serializer[Any]):
    alpha = serializers.FloatField()
    threshold = serializers.FloatField()


class ExpectedOut(serializers.Serializer[Any]):
    expected = serializers.FloatField()
    low = serializers.IntegerField()
    high = serializers.IntegerField()


class RateOut(serializers.Serializer[Any]):
    hits = serializers.IntegerField()
    of = serializers.IntegerField()
    value = serializers.FloatField(allow_null=True)
    low = serializers.FloatField()
    high = serializers.FloatField()


class CostOut(serializers.Serializer[Any]):
    value = serializers.FloatField()
    low = serializers.FloatField()
    high = serializers.FloatField()
    escapes = serializers.FloatField()
    overkill = serializers.FloatField()


class ChangeOut(serializers.Serializer[Any]):
    was = serializers.CharField()
    will = serializers.CharField()
    count = serializers.IntegerField()


class LotChangeOut(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(["lot", "batch"])
    id = serializers.UUIDField()
    name = serializers.CharField()
    total = serializers.IntegerField()
    changed = serializers.IntegerField()
    moves = ChangeOut(many=True)


class WhatIfOut(serializers.Serializer[Any]):
    """Figures of other limits; nothing changes."""

    calibration_parts = serializers.IntegerField()
    smallest_alpha = serializers.FloatField()
    fail = StepOut()  # type: ignore[assignment]
    review = StepOut()
    false_calls_per_1000 = ExpectedOut()
    looked_at = serializers.FloatField(help_text="share of good parts that a person is asked about")
    missed_defects = RateOut()
    costs_per_1000 = CostOut(allow_null=True)
    currency = serializers.CharField()
    lots = LotChangeOut(many=True)


class Models(Nouns[ModelVersion]):
    """What a run produced. At most one is active per viewpoint: it judges."""

    noun = "models"
    model = ModelVersion
    serializer_class = ModelOut
    queries: ClassVar = {"list": ModelQuery}

    def get_queryset(self) -> Any:
        rows = of_viewpoint(super().get_queryset(), self.user, self.query, "viewpoint")
        if state := self.query.get("state"):
            rows = rows.filter(state=state)
        return rows.prefetch_related("operating_points__author")

    @extend_schema(
        request=PromoteIn,
        responses=ModelOut,
        examples=[
            OpenApiExample(
                "After a better gate", {"reason": "catches the bridge of lot 7"}, request_only=True
            )
        ],
    )
    @action(detail=True, methods=["post"])
    def promote(self, request: Request, pk: Any = None) -> Response:
        """Let it judge from now on. Where there is a golden set the gate must have let it
        through, or `override` says why not."""
        version, asked = self.get_object(), self.asked(PromoteIn)
        override = asked.get("override", "")
        models.promote(self.user, version, asked["reason"], override=override)
        return self.tell(self.get_object())

    @extend_schema(request=RollbackIn, responses=ModelOut)
    @action(detail=True, methods=["post"])
    def rollback(self, request: Request, pk: Any = None) -> Response:
        """Let the model judge again that judged before this one; answers with that model. Refused
        unless this one judges now, so that asking twice does not go back two steps."""
        version, asked = self.get_object(), self.asked(RollbackIn)
        target = models.rollback(self.user, version, asked.get("reason", ""))
        return self.tell(self.get_queryset().get(pk=target.pk))

    @extend_schema(request=RescoreIn, responses={201: BatchOut})
    @action(detail=True, methods=["post"])
    def rescore(self, request: Request, pk: Any = None) -> Response:
        """Judge a lot again by this model; what was said before stays. Answers with the batch."""
        version, asked = self.get_object(), self.asked(RescoreIn)
        product = version.viewpoint.product_id
        lot = get_object_or_404(Lot, product=product, code=asked["lot"])
        batch = rescoring.rescore_lot(self.user, lot, version, reason=asked["reason"])
        return Response(batch_facts(batch), status=status.HTTP_201_CREATED)

    @extend_schema(responses=StandingOut)
    @action(detail=True, pagination_class=None)
    def standing(self, request: Request, pk: Any = None) -> Response:
        """How it stands with the gate now."""
        stands = gate.standing(self.get_object())
        check = stands.check.pk if stands.check else None
        return Response({"word": stands.word, "blocks": stands.blocks, "check_id": check})

    @extend_schema(responses=GateOut(many=True), filters=True)
    @action(detail=True)
    def gates(self, request: Request, pk: Any = None) -> Response:
        """Its checks against the golden set, newest first."""
        rows = GateCheck.objects.filter(candidate=self.get_object())
        return self.page_of(rows.select_related("requested_by"), GateOut)

    @extend_schema(request=None, responses={201: GateOut})
    @gates.mapping.post
    def start_gate(self, request: Request, pk: Any = None) -> Response:
        """Hold it against the golden set now, beside the model that judges."""
        check = gate.start(self.user, self.get_object())
        return Response(GateOut(check).data, status=status.HTTP_201_CREATED)


class Gates(Nouns[GateCheck]):
    """One check of a model against the golden set."""

    noun = "models"
    model = GateCheck
    serializer_class = GateOut


class OperatingPoints(Nouns[OperatingPoint]):
    """The limits of one model: never edited, only replaced."""

    noun = "operating_points"
    tag = "operating_points"
    model = OperatingPoint
    serializer_class = OperatingPointOut
    queries: ClassVar = {"what_if": WhatIfQuery}

    def _version(self) -> ModelVersion:
        key = self.kwargs["version"]
        found = self.visible(ModelVersion).filter(pk=key).first()
        if found is None:
            raise Http404("no such model")
        return found

    @extend_schema(operation_id="operating_points_list")
    def list(self, request: Request, version: Any = None) -> Response:
        """Those of the model, newest first; one is in force."""
        rows = OperatingPoint.objects.filter(model_version=self._version())
        return self.page_of(rows.select_related("author"))

    @extend_schema(
        request=PointIn,
        responses={201: OperatingPointOut},
        operation_id="operating_points_create",
        examples=[
            OpenApiExample(
                "Fewer false calls",
                {"alpha_fail": 0.01, "alpha_review": 0.03, "reason": "too many false calls"},
                request_only=True,
            )
        ],
    )
    def create(self, request: Request, version: Any = None) -> Response:
        """Draw the lines anew, and say why. Batches that are open keep theirs."""
        found, asked = self._version(), self.asked(PointIn)
        point = models.set_operating_point(self.user, found, **asked)
        return self.tell(point, status.HTTP_201_CREATED)

    @extend_schema(responses=WhatIfOut, operation_id="operating_points_what_if")
    @action(detail=False, pagination_class=None)
    def what_if(self, request: Request, version: Any = None) -> Response:
        """What other rates would promise, miss and cost, and what they would change in the last
        lots."""
        found, asked = self._version(), self.query
        per_1000 = asked.get("defects_per_1000")
        told = limit_facts.limit_facts(
            found,
            asked["alpha_fail"],
            asked["alpha_review"],
            lots=asked["lots"],
            defect_rate=None if per_1000 is None else per_1000 / 1000,
        )
        return Response(told)
