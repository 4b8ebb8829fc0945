"""Learning again: what is new since the last model, and plans of when it is done by itself."""

from typing import Any, ClassVar

from django.db import transaction
from django.http import Http404
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from inspection.models import RetrainingPlan, SnapshotImage, TrainingRun, Viewpoint
from inspection.services import retraining, retraining_plans
from inspection.services.locking import lock_row
from inspection.services.retraining import Settings

from .base import Nouns
from .datasets import LearnedImageOut
from .fields import Number, Strict, Whole
from .narrow import OfViewpoint, of_viewpoint
from .schema import IF_MATCH

MONTHLY = {
    "viewpoint": "01990000-0000-7000-8000-000000000000",
    "every_days": 30,
    "on_drift": True,
    "least_new": 20,
}
NEW = {
    "viewpoint": "01990000-0000-7000-8000-000000000000",
    "snapshot": "01990000-0000-7000-8000-000000000001",
    "snapshot_number": 4,
    "snapshot_at": "2026-11-20T06:00:00Z",
    "usable": 231,
    "missing": 0,
    "added": 34,
    "left_out": 2,
    "gone": 1,
}
SETTINGS = ("preset", "method", "budget_minutes")
WHEN = ("every_days", "on_drift", "least_new")


class PlanOut(serializers.ModelSerializer[RetrainingPlan]):
    recipe = serializers.CharField(source="viewpoint.recipe_name")
    changed_by = serializers.CharField(source="changed_by.username", default=None, allow_null=True)

    class Meta:
        model = RetrainingPlan
        fields = (
            "id",
            "created_at",
            "viewpoint",
            "recipe",
            *WHEN,
            *SETTINGS,
            "due_at",
            "drift_at",
            "last_run",
            "last_looked_at",
            "last_note",
            "changed_by",
        )


class PlanChange(Strict):
    every_days = Whole(
        required=False, allow_null=True, min_value=1, max_value=366, help_text="null: not by time"
    )
    on_drift = serializers.BooleanField(required=False, help_text="when scores of good parts drift")
    least_new = Whole(
        required=False, help_text="good parts that are new; with fewer nothing is started"
    )
    preset = serializers.ChoiceField(TrainingRun.Preset.choices, required=False)
    method = serializers.ChoiceField(TrainingRun.Method.choices, required=False)
    budget_minutes = Number(required=False, min_value=0, help_text="time to learn, 0.1 to 10080")


class PlanIn(PlanChange):
    viewpoint = serializers.UUIDField()


class RetrainingPlans(Nouns[RetrainingPlan]):
    """When a viewpoint learns again without being asked; one for each at most. With neither
    `every_days` nor `on_drift` it never does."""

    noun = "runs"
    model = RetrainingPlan
    serializer_class = PlanOut
    passing: ClassVar = ("last_looked_at", "last_note")
    queries: ClassVar = {"list": OfViewpoint}

    def get_queryset(self) -> Any:
        return of_viewpoint(super().get_queryset(), self.user, self.query, "viewpoint")

    @extend_schema(
        request=PlanIn,
        responses={
            201: PlanOut,
            200: OpenApiResponse(PlanOut, "The viewpoint had a plan, which this one replaces"),
        },
        examples=[OpenApiExample("Monthly, and on drift", MONTHLY, request_only=True)],
    )
    def create(self, request: Request) -> Response:
        """Plan it. How to train is, where it is not said, as the newest model was trained."""
        asked = self.asked(PlanIn)
        viewpoint = self.find(Viewpoint, asked.pop("viewpoint"), "viewpoint")
        with transaction.atomic():
            lock_row(viewpoint)
            there = RetrainingPlan.objects.filter(viewpoint=viewpoint).exists()
            plan = self._set(viewpoint, RetrainingPlan(), asked, _usual(viewpoint))
        return self._told(plan, status.HTTP_200_OK if there else status.HTTP_201_CREATED)

    @extend_schema(request=PlanChange, parameters=[IF_MATCH])
    def partial_update(self, request: Request, pk: Any = None) -> Response:
        """Change some of it. Another `every_days` counts from now."""
        asked = self.asked(PlanChange, partial=True)
        found = self.get_object()
        with transaction.atomic():
            lock_row(found.viewpoint)
            plan = self.get_object()
            self.check_match(plan)
            self._set(plan.viewpoint, plan, asked, {name: getattr(plan, name) for name in SETTINGS})
        return self._told(plan, status.HTTP_200_OK)

    def _set(
        self,
        viewpoint: Viewpoint,
        now: RetrainingPlan,
        asked: dict[str, Any],
        settings: dict[str, Any],
    ) -> RetrainingPlan:
        """What is not asked for stays as it is in `now` and `settings`."""
        when = {name: asked.get(name, getattr(now, name)) for name in WHEN}
        how = {name: asked.get(name, settings[name]) for name in SETTINGS}
        return retraining_plans.set_plan(self.user, viewpoint, **when, settings=Settings(**how))

    def _told(self, plan: RetrainingPlan, code: int) -> Response:
        """Read again, with what the list tells."""
        return self.tell(self.visible(RetrainingPlan).get(pk=plan.pk), code)


class ChangesOut(serializers.Serializer[Any]):
    """Good parts, counted against the snapshot that the last model learned from."""

    viewpoint = serializers.UUIDField()
    snapshot = serializers.UUIDField(allow_null=True, help_text="null: no model has learned yet")
    snapshot_number = serializers.IntegerField(allow_null=True)
    snapshot_at = serializers.DateTimeField(allow_null=True)
    usable = serializers.IntegerField(help_text="of which the next run learns, in all")
    missing = serializers.IntegerField(help_text="so many more before a run can be started")
    added = serializers.IntegerField(help_text="new since then")
    left_out = serializers.IntegerField(help_text="of it, left out since")
    gone = serializers.IntegerField(help_text="of it, taken out of the dataset since")


class GoneImageOut(serializers.ModelSerializer[SnapshotImage]):
    sha256 = serializers.CharField(source="image.sha256")

    class Meta:
        model = SnapshotImage
        fields = ("image", "file_name", "sha256")


class Changes(Nouns[Viewpoint]):
    """What the next run of a viewpoint would learn that its last model did not."""

    noun = "datasets"
    model = Viewpoint
    serializer_class = ChangesOut

    def _changes(self) -> retraining.Changes:
        return retraining.changes(self._viewpoint())

    def _viewpoint(self) -> Viewpoint:
        found = self.visible(Viewpoint).filter(pk=self.kwargs["viewpoint"]).first()
        if found is None:
            raise Http404("no such viewpoint")
        return found

    @extend_schema(
        responses=ChangesOut,
        examples=[OpenApiExample("A week later", NEW, response_only=True)],
    )
    def retrieve(self, request: Request, viewpoint: Any = None) -> Response:
        """What is new since the last model, and what was left out of it since."""
        found = self._changes()
        last = found.snapshot
        told = {
            "viewpoint": viewpoint,
            "snapshot": last.pk if last else None,
            "snapshot_number": last.number if last else None,
            "snapshot_at": last.created_at if last else None,
            "usable": found.usable,
            "missing": found.missing,
            "added": found.added.count(),
            "left_out": found.left_out.count(),
            "gone": found.gone.count(),
        }
        return Response(ChangesOut(told).data)

    @extend_schema(responses=LearnedImageOut(many=True), filters=True)
    def added(self, request: Request, viewpoint: Any = None) -> Response:
        """Good parts that are new, newest first; `origin` is the inspection that one was taken
        over from."""
        return self.page_of(self._changes().added, LearnedImageOut)

    @extend_schema(responses=LearnedImageOut(many=True), filters=True)
    def left_out(self, request: Request, viewpoint: Any = None) -> Response:
        """What the last model learned from and the next one will not, with the reason of each."""
        return self.page_of(self._changes().left_out, LearnedImageOut)

    @extend_schema(responses=GoneImageOut(many=True), filters=True)
    def gone(self, request: Request, viewpoint: Any = None) -> Response:
        """What the last model learned from and is no good part of the dataset any more."""
        return self.page_of(self._changes().gone, GoneImageOut)


def _usual(viewpoint: Viewpoint) -> dict[str, Any]:
    """As the page offers them."""
    usual = retraining.usual_settings(viewpoint)
    return {name: getattr(usual, name) for name in SETTINGS}
