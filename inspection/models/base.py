from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from inspection.ids import new_id


class Keyed(models.Model):
    """What every row has: a time-ordered key and when it came to be."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        abstract = True


class JobState(models.TextChoices):
    QUEUED = "queued", _("Queued")
    RUNNING = "running", _("Running")
    PAUSED = "paused", _("Waiting for a decision")
    DONE = "done", _("Done")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")


ENDED = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


class Job(Keyed):
    """Long work. The row is the only truth: a message carries its id and nothing else.

    `token` fences: who claims a row writes a new one, and every later write of that worker
    names it; a worker whose lease ran out finds its token gone and stops.
    """

    state = models.CharField(max_length=12, choices=JobState, default=JobState.QUEUED)
    token = models.UUIDField(null=True, blank=True, editable=False)
    attempt = models.PositiveSmallIntegerField(default=0)
    max_attempts = models.PositiveSmallIntegerField(default=4)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    queued_at = models.DateTimeField(default=timezone.now)
    published_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    worker = models.CharField(max_length=200, blank=True)
    progress = models.JSONField(default=dict, blank=True)
    error_code = models.CharField(max_length=60, blank=True)
    error = models.TextField(blank=True)

    class Meta:
        abstract = True
        indexes = (
            models.Index(fields=["state", "lease_expires_at"], name="%(class)s_lease"),
            models.Index(fields=["state", "published_at"], name="%(class)s_queue"),
        )

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def cancelling(self) -> bool:
        return self.cancel_requested_at is not None and not self.ended
