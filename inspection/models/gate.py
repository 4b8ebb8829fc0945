from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from .base import Keyed


class GateCheck(Keyed):
    """A candidate held against the active model on the golden set, picture by picture.

    Two golden batches do the scoring; `outcome` is written once, when both are done.
    """

    class State(models.TextChoices):
        RUNNING = "running", _("Running")
        DONE = "done", _("Done")
        STOPPED = "stopped", _("Stopped")

    candidate = models.ForeignKey(
        "ModelVersion", on_delete=models.PROTECT, related_name="gate_checks"
    )
    baseline = models.ForeignKey(
        "ModelVersion", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    dataset = models.ForeignKey("Dataset", on_delete=models.PROTECT, related_name="gate_checks")
    digest = models.CharField(max_length=64, help_text="what the golden set was: SHA-256")
    candidate_batch = models.OneToOneField(
        "Batch", on_delete=models.PROTECT, related_name="gate_as_candidate"
    )
    baseline_batch = models.OneToOneField(
        "Batch",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="gate_as_baseline",
    )
    state = models.CharField(max_length=8, choices=State, default=State.RUNNING)
    passed = models.BooleanField(null=True, blank=True)
    outcome = models.JSONField(default=dict, blank=True)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                fields=["candidate"], condition=Q(state="running"), name="gate_one_running"
            ),
        )

    def __str__(self) -> str:
        return f"Gate of {self.candidate}"
