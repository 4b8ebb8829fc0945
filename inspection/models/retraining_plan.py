from django.conf import settings
from django.db import models

from inspection.errors import said_again

from .base import Keyed
from .training_run import TrainingRun


class RetrainingPlan(Keyed):
    """When a viewpoint learns again without being asked: every so many days, on a drift alert,
    or both. The row decides; the scheduler only looks at it."""

    viewpoint = models.OneToOneField(
        "Viewpoint", on_delete=models.CASCADE, related_name="retraining_plan"
    )
    every_days = models.PositiveSmallIntegerField(null=True, blank=True)
    on_drift = models.BooleanField(default=False)
    least_new = models.PositiveIntegerField(
        default=20, help_text="with fewer new good parts since the last run, none is started"
    )
    preset = models.CharField(
        max_length=12, choices=TrainingRun.Preset, default=TrainingRun.Preset.COMPACT
    )
    method = models.CharField(
        max_length=40, choices=TrainingRun.Method, default=TrainingRun.Method.FUSED
    )
    budget_minutes = models.FloatField(default=10)
    due_at = models.DateTimeField(null=True, blank=True)
    drift_at = models.DateTimeField(
        null=True, blank=True, help_text="an alert that no run has answered yet"
    )
    last_run = models.ForeignKey(
        TrainingRun, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    last_looked_at = models.DateTimeField(null=True, blank=True)
    last_note = models.CharField(
        max_length=300, blank=True, help_text="why the last turn did not start a run, in English"
    )
    last_refusal = models.JSONField(
        default=dict, blank=True, help_text="the same for readers of any language"
    )
    changed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )

    @property
    def note(self) -> str:
        """Why the last turn did not start a run, in the reader's language."""
        return said_again(self.last_refusal) or self.last_note

    class Meta:
        ordering = ("id",)
        indexes = (models.Index(fields=["due_at"], name="retraining_due"),)

    def __str__(self) -> str:
        return f"Retraining of {self.viewpoint}"
