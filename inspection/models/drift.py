from django.db import models
from django.db.models import Q

from .base import Keyed


class DriftAlert(Keyed):
    """Scores of passed parts left the limits that they kept when the model was new there.

    One row from the first point outside to the first one inside again; at most one is open per
    stream (viewpoint, station, model).
    """

    viewpoint = models.ForeignKey(
        "Viewpoint", on_delete=models.CASCADE, related_name="drift_alerts"
    )
    station = models.ForeignKey(
        "Station", on_delete=models.PROTECT, null=True, blank=True, related_name="drift_alerts"
    )
    model_version = models.ForeignKey(
        "ModelVersion", on_delete=models.PROTECT, related_name="drift_alerts"
    )
    # Names the stream while the alert is open, then its own key: unique where NULLs are not.
    stream = models.CharField(max_length=120, unique=True)
    began_at = models.DateTimeField(help_text="begin of the first day outside")
    ended_at = models.DateTimeField(null=True, blank=True)
    value = models.FloatField(help_text="EWMA when it was seen last, score units")
    low = models.FloatField()
    high = models.FloatField()

    class Meta:
        ordering = ("-began_at",)
        indexes = (
            models.Index(
                fields=["viewpoint"], condition=Q(ended_at__isnull=True), name="drift_open"
            ),
        )

    def __str__(self) -> str:
        return f"{self.viewpoint} since {self.began_at:%Y-%m-%d}"
