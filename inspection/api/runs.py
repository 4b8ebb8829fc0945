"""Training runs: start one, watch it, decide on suspicious pictures, cancel, resume."""

from typing import Any, ClassVar

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from inspection.models import (
    Dataset,
    JobState,
    RunLogLine,
    RunSample,
    SnapshotImage,
    TrainingRun,
    Viewpoint,
)
from inspection.picture_answers import picture
from inspection.services import pictures, training
from inspection.services.run_curves import curves

from .base import Nouns
from .fields import Number, Strict, Table, Whole
from .files import IMAGE, AnyAccept
from .narrow import OfViewpoint, of_viewpoint


class Stage(serializers.Serializer[Any]):
    name = serializers.CharField()
    state = serializers.CharField()


class RunOut(serializers.ModelSerializer[TrainingRun]):
    recipe = serializers.CharField(source="viewpoint.recipe_name")
    progress = Table(help_text="of the stage that is running")
    eta_s = serializers.SerializerMethodField(help_text="seconds until it ends, where known")
    model_version = serializers.SerializerMethodField(help_text="what it produced")
    metrics = Table()
    stages = Stage(many=True)
    repair_zones = serializers.JSONField()
    symmetries = serializers.ListField(child=serializers.CharField())
    started_by = serializers.CharField(source="started_by.username", default=None, allow_null=True)

    class Meta:
        model = TrainingRun
        fields = (
            "id",
            "created_at",
            "number",
            "viewpoint",
            "recipe",
            "snapshot",
            "method",
            "preset",
            "budget_minutes",
            "steps",
            "seed",
            "vetting",
            "vetted",
            "trigger",
            "repair_zones",
            "symmetries",
            "started_by",
            "state",
            "stages",
            "stage",
            "progress",
            "eta_s",
            "attempt",
            "queued_at",
            "started_at",
            "finished_at",
            "cancel_requested_at",
            "error_code",
            "error",
            "metrics",
            "model_version",
        )

    @extend_schema_field(serializers.FloatField(allow_null=True))
    def get_eta_s(self, run: TrainingRun) -> float | None:
        return run.progress.get("eta_total_s") if run.state == JobState.RUNNING else None

    @extend_schema_field(serializers.UUIDField(allow_null=True))
    def get_model_version(self, run: TrainingRun) -> Any:
        made = getattr(run, "model_version", None)
        return made.pk if made else None


class RunQuery(OfViewpoint):
    state = serializers.ChoiceField(JobState.values, required=False)


class RunIn(Strict):
    viewpoint = serializers.UUIDField()
    preset = serializers.ChoiceField(TrainingRun.Preset.values)
    budget_minutes = Number(min_value=0, help_text="time to learn, 0.1 to 10080")
    method = serializers.ChoiceField(TrainingRun.Method.values, required=False)
    seed = Whole(required=False)
    steps = Whole(required=False, allow_null=True)
    vetting = serializers.ChoiceField(TrainingRun.Vetting.values, required=False)
    dataset = serializers.UUIDField(required=False, help_text="else the good parts")


class MetricsQuery(Strict):
    stage = serializers.CharField(required=False, max_length=20)
    after = Whole(required=False, help_text="a step of `stage`; only later ones are told")


CURVES: dict[str, Any] = {
    "type": "object",
    "description": "by stage",
    "additionalProperties": {
        "type": "object",
        "required": ["steps", "values"],
        "properties": {
            "steps": {"type": "array", "items": {"type": "integer"}},
            "values": {
                "type": "object",
                "description": "by name, one for each step",
                "additionalProperties": {"type": "array", "items": {"type": ["number", "null"]}},
            },
        },
    },
}


class LogLineOut(serializers.ModelSerializer[RunLogLine]):
    class Meta:
        model = RunLogLine
        fields = ("id", "created_at", "attempt", "level", "message")


class SampleOut(serializers.ModelSerializer[RunSample]):
    columns = serializers.JSONField()

    class Meta:
        model = RunSample
        fields = ("id", "created_at", "stage", "step", "columns")


class VettingOut(serializers.ModelSerializer[SnapshotImage]):
    flags = serializers.JSONField(source="vet_flags")
    rank = serializers.IntegerField(source="vet_rank", allow_null=True, help_text="1: the worst")
    score = serializers.FloatField(source="vet_score", allow_null=True)
    suggests_exclusion = serializers.BooleanField(source="vet_suggests_exclusion")

    class Meta:
        model = SnapshotImage
        fields = (
            "id",
            "image",
            "file_name",
            "decision",
            "reason",
            "decided_at",
            "rank",
            "score",
            "flags",
            "suggests_exclusion",
        )


class DecisionIn(Strict):
    keep = serializers.BooleanField(help_text="false leaves it out of this run")


class LeftOut(serializers.Serializer[Any]):
    left_out = serializers.IntegerField()


START = OpenApiExample(
    "Ten minutes on a CPU",
    {
        "viewpoint": "0199f0a2-7c1e-7b60-9d0a-3f6a1c2b4d5e",
        "preset": "compact",
        "budget_minutes": 10,
        "vetting": "exclude",
    },
    request_only=True,
)


class Runs(Nouns[TrainingRun]):
    """A job that turns a snapshot of good parts into a model version."""

    noun = "runs"
    model = TrainingRun
    serializer_class = RunOut
    queries: ClassVar = {"list": RunQuery, "metrics": MetricsQuery}

    def get_queryset(self) -> Any:
        rows = of_viewpoint(super().get_queryset(), self.user, self.query, "viewpoint")
        if state := self.query.get("state"):
            rows = rows.filter(state=state)
        return rows.select_related("model_version")

    @extend_schema(request=RunIn, responses={201: RunOut}, examples=[START])
    def create(self, request: Request) -> Response:
        """Start a run on the pictures that the dataset has now."""
        asked = self.asked(RunIn)
        viewpoint = self.find(Viewpoint, asked.pop("viewpoint"), "viewpoint")
        if "dataset" in asked:
            asked["dataset"] = self.find(Dataset, asked["dataset"], "dataset")
        run = training.start_run(self.user, viewpoint, **asked)
        return self.tell(run, status.HTTP_201_CREATED)

    @extend_schema(request=None, responses=RunOut)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: Any = None) -> Response:
        """Stop it: a waiting run at once, a running one within seconds."""
        run = self.get_object()
        training.cancel_run(self.user, run)
        return self.tell(run)

    @extend_schema(request=None, responses=RunOut)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: Any = None) -> Response:
        """Go on with a failed or cancelled run from its last checkpoint."""
        run = self.get_object()
        training.resume_run(self.user, run)
        return self.tell(run)

    @extend_schema(responses={200: CURVES})
    @action(detail=True, pagination_class=None)
    def metrics(self, request: Request, pk: Any = None) -> Response:
        """Curves by stage, thinned to 2,000 steps each."""
        asked = self.query
        return Response(curves(self.get_object(), asked.get("stage", ""), asked.get("after", -1)))

    @extend_schema(responses=LogLineOut(many=True), filters=True)
    @action(detail=True)
    def log(self, request: Request, pk: Any = None) -> Response:
        """What it said, newest first."""
        return self.page_of(self.get_object().log_lines.all(), LogLineOut)

    @extend_schema(responses=SampleOut(many=True), filters=True)
    @action(detail=True)
    def samples(self, request: Request, pk: Any = None) -> Response:
        """Strips of restorations as it learned, newest first."""
        return self.page_of(self.get_object().samples.all(), SampleOut)

    @extend_schema(responses=IMAGE)
    @action(
        detail=True,
        url_path="samples/<uuid:sample>/content",
        content_negotiation_class=AnyAccept,
        pagination_class=None,
    )
    def sample(self, request: Request, pk: Any = None, sample: Any = None) -> HttpResponse:
        """One strip, as WebP."""
        found = self.get_object().samples.filter(pk=sample).first()
        if found is None:
            raise Http404("no such sample")
        return picture(lambda: pictures.stored(found.storage_key, "image/webp"))

    @extend_schema(responses=VettingOut(many=True), filters=True)
    @action(detail=True)
    def vetting(self, request: Request, pk: Any = None) -> Response:
        """Suspicious pictures that somebody is to decide on."""
        return self.page_of(self.get_object().snapshot.items.filter(vet_flagged=True), VettingOut)

    @extend_schema(request=DecisionIn, responses=VettingOut)
    @action(detail=True, methods=["post"], url_path="vetting/<uuid:item>")
    def decide(self, request: Request, pk: Any = None, item: Any = None) -> Response:
        """Keep a suspicious picture, or leave it out of this run."""
        run = self.get_object()
        found = get_object_or_404(run.snapshot.items.all(), pk=item)
        training.decide_vetting(self.user, run, found, self.asked(DecisionIn)["keep"])
        return Response(VettingOut(found).data)

    @extend_schema(request=None, responses=LeftOut)
    @action(detail=True, methods=["post"], url_path="vetting/suggested")
    def suggested(self, request: Request, pk: Any = None) -> Response:
        """Leave out everything that the vetting suggests and nobody decided on."""
        left_out = training.decide_all_suggested(self.user, self.get_object())
        return Response({"left_out": left_out})

    @extend_schema(request=None, responses=RunOut)
    @action(detail=True, methods=["post"], url_path="vetting/continue")
    def go_on(self, request: Request, pk: Any = None) -> Response:
        """Let the run go on with what was not left out."""
        run = self.get_object()
        training.continue_after_vetting(self.user, run)
        return self.tell(run)
