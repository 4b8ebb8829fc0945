from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from .base import Keyed
from .training_run import TrainingRun


class ModelVersion(Keyed):
    """What a run produced. At most one is active per viewpoint; the database sees to it."""

    class State(models.TextChoices):
        CANDIDATE = "candidate", _("Candidate")
        ACTIVE = "active", _("Active")
        RETIRED = "retired", _("Retired")

    viewpoint = models.ForeignKey(
        "Viewpoint", on_delete=models.PROTECT, related_name="model_versions"
    )
    number = models.PositiveIntegerField()
    training_run = models.OneToOneField(
        "TrainingRun", on_delete=models.PROTECT, related_name="model_version"
    )
    state = models.CharField(max_length=10, choices=State, default=State.CANDIDATE)
    method = models.CharField(max_length=40)
    folder = models.CharField(max_length=200, help_text="relative to the models folder")
    manifest = models.JSONField()
    manifest_sha256 = models.CharField(max_length=64)
    scoring_backbone = models.CharField(max_length=40)
    backbone_is_stand_in = models.BooleanField()
    scale_low = models.FloatField(help_text="model's own absolute colour scale, score units")
    scale_high = models.FloatField(help_text="model's own absolute colour scale, score units")
    images_per_second = models.FloatField(null=True, blank=True)
    promoted_at = models.DateTimeField(null=True, blank=True)
    promoted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    replaced = models.ForeignKey(
        "self",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        help_text="the one that judged before it: where a rollback leads",
    )

    class Meta:
        ordering = ("-number",)
        constraints = (
            models.UniqueConstraint(fields=["viewpoint", "number"], name="model_number_once"),
            models.UniqueConstraint(
                fields=["viewpoint"], condition=Q(state="active"), name="model_one_active"
            ),
        )

    def __str__(self) -> str:
        return f"Model {self.number} of {self.viewpoint}"

    @property
    def revision(self) -> str:
        """What an MES calls it: the revision of a recipe."""
        return f"model-{self.number}"

    @property
    def has_judged(self) -> bool:
        """It judges, or did: by promotion, or as the first of its viewpoint."""
        return self.state == self.State.ACTIVE or self.promoted_at is not None

    @property
    def is_first_try(self) -> bool:
        """Trained with the preset that shows that everything works: not for decisions."""
        return bool(self.manifest.get("preset") == TrainingRun.Preset.TINY)


class OperatingPoint(Keyed):
    """Thresholds of a model version, with reason and author. Never edited, only replaced."""

    model_version = models.ForeignKey(
        ModelVersion, on_delete=models.CASCADE, related_name="operating_points"
    )
    number = models.PositiveIntegerField()
    alpha_fail = models.FloatField()
    alpha_review = models.FloatField()
    threshold_fail = models.FloatField(help_text="a score above it fails; score units")
    threshold_review = models.FloatField(help_text="a score above it needs review; score units")
    reason = models.CharField(max_length=300)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    in_force = models.BooleanField(default=True)

    class Meta:
        ordering = ("-number",)
        constraints = (
            models.UniqueConstraint(
                fields=["model_version", "number"], name="operating_point_number_once"
            ),
            models.UniqueConstraint(
                fields=["model_version"], condition=Q(in_force=True), name="operating_point_one"
            ),
        )

    def __str__(self) -> str:
        return f"Operating point {self.number} of {self.model_version}"
