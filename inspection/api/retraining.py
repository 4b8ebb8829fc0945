"""Retraining plans: when a viewpoint learns again by itself."""

from typing import Any, ClassVar

from django.db import transaction
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from inspection.models import RetrainingPlan, TrainingRun, Viewpoint
from inspection.services import retraining, retraining_plans
from inspection.services.locking import lock_row
from inspection.services.retraining import Settings

from .base import Nouns
from .fields import Number, Strict, Whole
from .narrow import OfViewpoint, of_viewpoint
from .schema import IF_MATCH

MONTHLY = {
    "viewpoint": "01990000-0000-7000-8000-000000000000",
    "every_days": 30,
    "on_drift": True,
    "least_new": 20,
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


def _usual(viewpoint: Viewpoint) -> dict[str, Any]:
    """As the page offers them."""
    usual = retraining.usual_settings(viewpoint)
    return {name: getattr(usual, name) for name in SETTINGS}
