from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from .base import Keyed


class Intake(Keyed):
    """A watched folder, of this machine or of an S3 store: what a machine drops there becomes
    inspections in production. One worker at a time looks: it holds the row by `token`."""

    class Afterwards(models.TextChoices):
        LEAVE = "leave", _("Leave it where it is")
        MOVE = "move", _("Move it to processed/ or rejected/")
        DELETE = "delete", _("Delete it once it is accepted")

    name = models.CharField(max_length=80, unique=True)
    viewpoint = models.ForeignKey("Viewpoint", on_delete=models.CASCADE, related_name="intakes")
    station = models.ForeignKey(
        "Station", on_delete=models.PROTECT, null=True, blank=True, related_name="intakes"
    )
    location = models.CharField(max_length=500, help_text="/folder, or s3://bucket/prefix")
    pattern = models.CharField(max_length=200, help_text="{lot}_{serial}_{position}.png")
    stable_seconds = models.PositiveIntegerField(
        default=5, help_text="how long size and time of a file must stay the same"
    )
    quiet_minutes = models.PositiveIntegerField(
        default=15, help_text="without a file for so long, the batch of a lot is closed"
    )
    afterwards = models.CharField(max_length=8, choices=Afterwards, default=Afterwards.LEAVE)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        related_name="intakes",
        help_text="files come in with this person's rights",
    )
    paused_at = models.DateTimeField(null=True, blank=True)
    last_look_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_error = models.TextField(blank=True, editable=False)
    token = models.UUIDField(null=True, blank=True, editable=False)
    lease_expires_at = models.DateTimeField(null=True, blank=True, editable=False)
    # A round is one pass over every file; in a large folder it takes several looks.
    round_number = models.PositiveIntegerField(default=0, editable=False)
    resume_after = models.BinaryField(
        default=b"", blank=True, help_text="the path behind which the next look goes on"
    )

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class IntakeFile(Keyed):
    """One file that was seen, and what became of it. A file that is written anew under the same
    name is another one. `identity` is set while it counts: its content and the unit it shows, so
    that no file is judged twice."""

    class Outcome(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        ACCEPTED = "accepted", _("Accepted")
        DUPLICATE = "duplicate", _("Already there")
        REJECTED = "rejected", _("Rejected")

    intake = models.ForeignKey(Intake, on_delete=models.CASCADE, related_name="files")
    path = models.CharField(max_length=500, help_text="below the folder, as it can be shown")
    path_hash = models.CharField(max_length=64, help_text="SHA-256 of the path as it is")
    size = models.PositiveBigIntegerField()
    version = models.CharField(max_length=80, help_text="its time in nanoseconds, or its ETag")
    same_since = models.DateTimeField(help_text="when this size and version were first seen")
    seen_in_round = models.PositiveIntegerField(default=0, help_text="the last one, while it waits")
    sha256 = models.CharField(max_length=64, blank=True)
    identity = models.CharField(max_length=64, blank=True)
    outcome = models.CharField(max_length=10, choices=Outcome, default=Outcome.WAITING)
    code = models.CharField(max_length=40, blank=True)
    message = models.TextField(blank=True)
    inspection = models.ForeignKey(
        "Inspection", on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    put_away_at = models.DateTimeField(
        null=True, blank=True, help_text="moved or deleted, as was told"
    )

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                fields=["intake", "identity"],
                condition=~Q(identity=""),
                name="intake_file_accepted_once",
            ),
            models.UniqueConstraint(
                fields=["intake", "path_hash"],
                condition=Q(outcome="waiting"),
                name="intake_file_waits_once",
            ),
        )
        indexes = (
            models.Index(fields=["intake", "path_hash", "-id"], name="intake_file_known"),
            models.Index(fields=["intake", "outcome", "-id"], name="intake_file_log"),
        )

    def __str__(self) -> str:
        return f"{self.path}: {self.outcome}"
