"""Sums that the Today page reads instead of millions of rows. Hours in UTC, or quarters of them
where the plant's zone is not whole hours away, so that its days are sums of them; over decisions
of record only; `services.tallies` keeps them exact."""

from django.db import models

from .base import Keyed


class HourlyTally(Keyed):
    """What happened to the decisions of record of one viewpoint, station, model and hour."""

    # Names the columns that make a row unique; a constraint over them would not hold where
    # one is NULL (SQLite, PostgreSQL before 15).
    key = models.CharField(max_length=160, unique=True)
    viewpoint = models.ForeignKey("Viewpoint", on_delete=models.CASCADE, related_name="tallies")
    station = models.ForeignKey(
        "Station", on_delete=models.PROTECT, null=True, blank=True, related_name="tallies"
    )
    model_version = models.ForeignKey(
        "ModelVersion", on_delete=models.PROTECT, related_name="tallies"
    )
    hour = models.DateTimeField(help_text="its begin, by when the inspection was completed")
    inspected = models.PositiveIntegerField(default=0)
    passed = models.PositiveIntegerField(default=0, help_text="by the machine, nobody need look")
    failed = models.PositiveIntegerField(default=0, help_text="by the machine, nobody need look")
    review = models.PositiveIntegerField(default=0, help_text="the machine asked for a person")
    confirmed = models.PositiveIntegerField(default=0, help_text="DefectConfirmed")
    rejected = models.PositiveIntegerField(
        default=0, help_text="DefectRejected, of parts that the machine did not pass: false calls"
    )
    accepted = models.PositiveIntegerField(default=0, help_text="DefectAccepted")
    repaired = models.PositiveIntegerField(default=0, help_text="DefectRepaired")
    closed = models.PositiveIntegerField(default=0, help_text="DefectClosed")
    waiting = models.PositiveIntegerField(
        default=0, help_text="failed or in doubt, and not verified yet"
    )
    missed = models.PositiveIntegerField(
        default=0, help_text="passed by the machine, found defective by a person"
    )
    # Audits of passed parts. A part that was drawn with probability π stands for 1/π parts;
    # in hundredths of a part, so that sums are whole numbers and do not depend on their order.
    audited = models.PositiveIntegerField(default=0, help_text="drawn for an audit and judged")
    audited_bad = models.PositiveIntegerField(default=0)
    audit_weight = models.PositiveBigIntegerField(default=0, help_text="Σ 1/π, in hundredths")
    audit_weight_bad = models.PositiveBigIntegerField(default=0)
    audit_weight_squares = models.PositiveBigIntegerField(
        default=0, help_text="Σ 1/π², in ten-thousandths"
    )
    scores = models.PositiveIntegerField(default=0, help_text="passed parts with a score")
    score_sum = models.FloatField(default=0.0)
    score_squares = models.FloatField(default=0.0)

    class Meta:
        ordering = ("hour",)
        indexes = (
            models.Index(fields=["hour"], name="tally_by_hour"),
            models.Index(
                fields=["viewpoint"], condition=models.Q(waiting__gt=0), name="tally_waiting"
            ),
        )

    def __str__(self) -> str:
        return f"{self.viewpoint} {self.hour:%Y-%m-%d %H}h"


class DefectTally(Keyed):
    """Defects by reason and by place on the part: what a Pareto shows."""

    key = models.CharField(max_length=200, unique=True, help_text="as in HourlyTally")
    viewpoint = models.ForeignKey(
        "Viewpoint", on_delete=models.CASCADE, related_name="defect_tallies"
    )
    station = models.ForeignKey(
        "Station", on_delete=models.PROTECT, null=True, blank=True, related_name="defect_tallies"
    )
    hour = models.DateTimeField()
    reason_code = models.ForeignKey(
        "ReasonCode", on_delete=models.PROTECT, null=True, blank=True, related_name="tallies"
    )
    cell = models.PositiveSmallIntegerField(null=True, blank=True)
    calls = models.PositiveIntegerField(default=0, help_text="not passed by the machine")
    confirmed = models.PositiveIntegerField(default=0, help_text="a person says: a defect")

    class Meta:
        indexes = (models.Index(fields=["hour"], name="defect_tally_by_hour"),)

    def __str__(self) -> str:
        return f"{self.viewpoint} {self.hour:%Y-%m-%d %H}h {self.reason_code or '-'}"
