from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .base import Keyed
from .batch import Purpose


class Verdict(models.TextChoices):
    PASSED = "Passed", _("Pass")
    FAILED = "Failed", _("Fail")
    ERROR = "Error", _("Error")
    SKIPPED = "Skipped", _("Skipped")


class Disposition(models.TextChoices):
    AUTO = "auto", _("Automatic")
    NEEDS_REVIEW = "needs_review", _("Review")


class ReviewState(models.TextChoices):
    """The states of IPC-CFX."""

    NOT_VERIFIED = "NotVerifiedYet", _("Not verified yet")
    CONFIRMED = "DefectConfirmed", _("Defect confirmed")
    REJECTED = "DefectRejected", _("False call")
    ACCEPTED = "DefectAccepted", _("Defect accepted")
    REPAIRED = "DefectRepaired", _("Defect repaired")
    CLOSED = "DefectClosed", _("Closed")


# What a person may say when there is a defect, whatever became of the part.
DEFECT_STATES = (
    ReviewState.CONFIRMED,
    ReviewState.ACCEPTED,
    ReviewState.REPAIRED,
    ReviewState.CLOSED,
)

# Failed or in doubt, and nobody has looked yet.
WAITS_FOR_A_PERSON = Q(
    Q(verdict=Verdict.FAILED) | Q(disposition=Disposition.NEEDS_REVIEW),
    review_state=ReviewState.NOT_VERIFIED,
    verdict__in=(Verdict.PASSED, Verdict.FAILED),
)

# What waits at the verification station: calls of the machine, doubts, and passed parts that
# were drawn for an audit. Retests are physical parts too, so they wait as well.
TO_VERIFY = (
    Q(review_state=ReviewState.NOT_VERIFIED, purpose=Purpose.PRODUCTION)
    & Q(verdict__in=(Verdict.PASSED, Verdict.FAILED))
    & (
        Q(verdict=Verdict.FAILED)
        | Q(disposition=Disposition.NEEDS_REVIEW)
        | Q(audit_rate__isnull=False)
    )
)


class Inspection(Keyed):
    """What one submission asks about one unit position: 1..n images, one verdict, the worst.

    `verdict` is empty until every image has a result; a time-out or error is never `Passed`.
    """

    viewpoint = models.ForeignKey("Viewpoint", on_delete=models.PROTECT, related_name="inspections")
    batch = models.ForeignKey(
        "Batch", on_delete=models.PROTECT, null=True, blank=True, related_name="inspections"
    )
    chunk = models.ForeignKey(
        "ScoringChunk", on_delete=models.SET_NULL, null=True, related_name="inspections"
    )
    purpose = models.CharField(max_length=10, choices=Purpose, default=Purpose.PRODUCTION)
    origin = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="rescores"
    )
    unit = models.ForeignKey(
        "Unit", on_delete=models.PROTECT, null=True, blank=True, related_name="inspections"
    )
    lot = models.ForeignKey(
        "Lot", on_delete=models.PROTECT, null=True, blank=True, related_name="inspections"
    )
    station = models.ForeignKey(
        "Station", on_delete=models.PROTECT, null=True, blank=True, related_name="inspections"
    )
    work_order = models.CharField(max_length=80, blank=True)
    captured_at = models.DateTimeField(null=True, blank=True)
    model_version = models.ForeignKey(
        "ModelVersion", on_delete=models.PROTECT, related_name="inspections"
    )
    operating_point = models.ForeignKey(
        "OperatingPoint", on_delete=models.PROTECT, related_name="inspections"
    )
    verdict = models.CharField(max_length=8, choices=Verdict, blank=True)
    disposition = models.CharField(max_length=12, choices=Disposition, blank=True)
    score = models.FloatField(null=True, blank=True, help_text="the worst image's, score units")
    p_value = models.FloatField(null=True, blank=True)
    error = models.CharField(max_length=300, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    is_record = models.BooleanField(
        default=False, help_text="first completed production inspection of the unit position"
    )
    review_state = models.CharField(
        max_length=16, choices=ReviewState, default=ReviewState.NOT_VERIFIED
    )
    review_reason = models.ForeignKey(
        "ReasonCode",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="inspections",
        help_text="of the review that holds",
    )
    reviewed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    reviewed_at = models.DateTimeField(null=True, blank=True)
    audit_rate = models.FloatField(
        null=True,
        blank=True,
        help_text="drawn for an audit of passed parts with this probability; empty: not drawn",
    )
    cell = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        help_text="place of the strongest region on an 8 × 8 grid, row by row",
    )
    reference_label = models.CharField(
        max_length=60, blank=True, help_text="what is known of the part in a trial: good or a kind"
    )
    updated_at = models.DateTimeField(
        default=timezone.now,
        editable=False,
        help_text="verdict or review state changed; what a receiver that lost something asks by",
    )

    class Meta:
        ordering = ("-id",)
        # What the Defects page filters by, each together with the key that it pages by.
        indexes = (
            models.Index(fields=["batch", "verdict"], name="inspection_by_batch"),
            models.Index(fields=["viewpoint", "completed_at"], name="inspection_by_end"),
            models.Index(fields=["viewpoint", "-id"], name="inspection_by_view"),
            models.Index(fields=["verdict", "-id"], name="inspection_by_verdict"),
            models.Index(fields=["disposition", "-id"], name="inspection_by_disposition"),
            models.Index(fields=["review_state", "-id"], name="inspection_by_review"),
            models.Index(fields=["review_reason", "-id"], name="inspection_by_reason"),
            models.Index(fields=["lot", "-id"], name="inspection_by_lot"),
            models.Index(fields=["station", "-id"], name="inspection_by_station"),
            models.Index(fields=["unit", "-id"], name="inspection_by_unit"),
            models.Index(fields=["work_order", "-id"], name="inspection_by_order"),
            models.Index(fields=["cell", "-id"], name="inspection_by_cell"),
            models.Index(fields=["score"], name="inspection_by_score"),
            models.Index(fields=["completed_at"], name="inspection_by_time"),
            models.Index(fields=["updated_at", "id"], name="inspection_by_change"),
            models.Index(fields=["-id"], condition=Q(is_record=True), name="inspection_by_record"),
            models.Index(fields=["-id"], condition=WAITS_FOR_A_PERSON, name="inspection_waiting"),
            models.Index(
                fields=["-id"], condition=Q(audit_rate__isnull=False), name="inspection_audits"
            ),
            models.Index(
                fields=["viewpoint", "station"],
                condition=Q(audit_rate__isnull=False, review_state=ReviewState.NOT_VERIFIED),
                name="inspection_audits_due",
            ),
            models.Index(
                fields=["viewpoint", "id"], condition=TO_VERIFY, name="inspection_to_verify"
            ),
        )
        constraints = (
            models.UniqueConstraint(
                fields=["unit", "viewpoint"],
                condition=Q(is_record=True),
                name="inspection_one_record",
            ),
            models.CheckConstraint(
                condition=Q(verdict="", completed_at=None)
                | (~Q(verdict="") & Q(completed_at__isnull=False)),
                name="inspection_verdict_has_time",
            ),
        )

    def __str__(self) -> str:
        return f"Inspection {self.id}"


class InspectionImage(Keyed):
    """A picture that an inspection asks about."""

    inspection = models.ForeignKey(Inspection, on_delete=models.CASCADE, related_name="pictures")
    image = models.ForeignKey("Image", on_delete=models.PROTECT, related_name="inspection_items")
    index = models.PositiveSmallIntegerField(default=0)
    file_name = models.CharField(max_length=255)

    class Meta:
        ordering = ("inspection", "index")
        constraints = (
            models.UniqueConstraint(
                fields=["inspection", "index"], name="inspection_image_index_once"
            ),
        )

    def __str__(self) -> str:
        return self.file_name


class ImageResult(Keyed):
    """One image scored by one model version at one operating point. Never updated."""

    inspection = models.ForeignKey(Inspection, on_delete=models.CASCADE, related_name="results")
    picture = models.OneToOneField(InspectionImage, on_delete=models.PROTECT, related_name="result")
    model_version = models.ForeignKey(
        "ModelVersion", on_delete=models.PROTECT, related_name="results"
    )
    operating_point = models.ForeignKey(
        "OperatingPoint", on_delete=models.PROTECT, related_name="results"
    )
    verdict = models.CharField(max_length=8, choices=Verdict)
    disposition = models.CharField(max_length=12, choices=Disposition)
    score = models.FloatField(null=True)
    paper_score = models.FloatField(null=True)
    p_value = models.FloatField(null=True)
    scores = models.JSONField(
        default=dict, blank=True, help_text="what the model's parts say, by name; score units"
    )
    regions = models.JSONField(default=list)
    view_key = models.CharField(max_length=160, blank=True)
    restored_key = models.CharField(max_length=160, blank=True)
    heatmap_key = models.CharField(max_length=160, blank=True)
    map_key = models.CharField(max_length=160, blank=True)
    queue_ms = models.PositiveIntegerField(null=True)
    infer_ms = models.PositiveIntegerField(null=True)
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return f"{self.verdict} {self.score}"


FREED = "expired:"  # what the keys of old submissions begin with, so that they may come again


class Submission(Keyed):
    """What makes a submission of the MES unique, in a table of its own, because inspections
    may be partitioned by time and such a table cannot carry these keys."""

    inspection = models.OneToOneField(
        Inspection, on_delete=models.CASCADE, related_name="submission"
    )
    station = models.ForeignKey("Station", on_delete=models.PROTECT, related_name="submissions")
    external_id = models.CharField(max_length=120)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="submissions"
    )
    idempotency_key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64)
    expires_at = models.DateTimeField(help_text="of the idempotency key")
    callback_url = models.CharField(max_length=500, blank=True)
    panel_side = models.CharField(max_length=20, blank=True, help_text="`side` as it was sent")
    part_number = models.CharField(max_length=120, blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["station", "external_id"], name="submission_external_id_once"
            ),
            models.UniqueConstraint(
                fields=["owner", "idempotency_key"], name="submission_key_once"
            ),
        )
        indexes = (
            models.Index(
                fields=["expires_at"],
                condition=~Q(idempotency_key__startswith=FREED),
                name="submission_key_expires",
            ),
        )

    def __str__(self) -> str:
        return self.external_id
