from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from .base import Job, Keyed


class Purpose(models.TextChoices):
    PRODUCTION = "production", _("Production")
    TRIAL = "trial", _("Trial")
    GOLDEN = "golden", _("Golden set")
    RESCORE = "rescore", _("Re-score")


class Batch(Keyed):
    """Images submitted together. Model and operating point are pinned when it is opened, so
    that one batch is never judged by two models."""

    viewpoint = models.ForeignKey("Viewpoint", on_delete=models.PROTECT, related_name="batches")
    number = models.PositiveIntegerField()
    name = models.CharField(max_length=120)
    purpose = models.CharField(max_length=10, choices=Purpose, default=Purpose.PRODUCTION)
    lot = models.ForeignKey("Lot", on_delete=models.PROTECT, null=True, related_name="batches")
    station = models.ForeignKey(
        "Station", on_delete=models.PROTECT, null=True, related_name="batches"
    )
    model_version = models.ForeignKey(
        "ModelVersion", on_delete=models.PROTECT, related_name="batches"
    )
    operating_point = models.ForeignKey(
        "OperatingPoint", on_delete=models.PROTECT, related_name="batches"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    intake = models.ForeignKey(
        "Intake",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="batches",
        help_text="the watched folder that its pictures come from",
    )
    keep_open = models.BooleanField(
        default=False, help_text="more pictures follow later: only a person closes it"
    )
    sealed_at = models.DateTimeField(null=True, blank=True, help_text="nothing more is coming")
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(
        null=True, blank=True, help_text="sealed, and every part has a verdict; set once"
    )

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(fields=["viewpoint", "number"], name="batch_number_once"),
        )

    def __str__(self) -> str:
        return self.name


class Lane(models.TextChoices):
    """Single units that somebody waits for go before the chunks of batches."""

    FAST = "fast", _("Single unit")
    BATCH = "score", _("Batch")


class ScoringChunk(Job):
    """A few inspections of one batch that one worker scores in about two seconds; or, in the
    fast lane, the one inspection of a submission, which belongs to no batch."""

    batch = models.ForeignKey(
        Batch, on_delete=models.CASCADE, null=True, blank=True, related_name="chunks"
    )
    number = models.PositiveIntegerField()
    lane = models.CharField(max_length=8, choices=Lane, default=Lane.BATCH)

    class Meta(Job.Meta):
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(fields=["batch", "number"], name="chunk_number_once"),
            models.CheckConstraint(
                condition=models.Q(lane="fast", batch=None)
                | (models.Q(lane="score") & models.Q(batch__isnull=False)),
                name="chunk_lane",
            ),
        )
        indexes = (  # type: ignore[assignment]  # one more than every job has
            *Job.Meta.indexes,
            models.Index(
                fields=["id"], condition=models.Q(lane="fast", state="queued"), name="chunk_fast"
            ),
        )

    def __str__(self) -> str:
        return f"{self.batch} chunk {self.number}" if self.batch_id else f"single unit {self.pk}"
