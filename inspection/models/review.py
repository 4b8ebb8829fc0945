from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from .base import Keyed
from .inspection import ReviewState


class ReasonCode(Keyed):
    """Why a part was rejected or a call was false, in the words of the product."""

    product = models.ForeignKey("Product", on_delete=models.CASCADE, related_name="reason_codes")
    code = models.CharField(max_length=40)
    text = models.CharField(max_length=120)
    retired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("product", "code")
        constraints = (
            models.UniqueConstraint(fields=["product", "code"], name="reason_code_once"),
        )

    def __str__(self) -> str:
        return self.text


class Look(models.TextChoices):
    """A second look is blind: who gives it sees neither the verdict nor the first one."""

    FIRST = "first", _("First look")
    SECOND = "second", _("Second look")


class Review(Keyed):
    """An inspector's judgement. Each is a new row; the newest of the first looks holds.

    An undo is a row too: it names the one that it `undoes` and brings back the state before.
    """

    inspection = models.ForeignKey("Inspection", on_delete=models.PROTECT, related_name="reviews")
    state = models.CharField(max_length=16, choices=ReviewState)
    reason_code = models.ForeignKey(
        ReasonCode, on_delete=models.PROTECT, null=True, blank=True, related_name="reviews"
    )
    comment = models.TextField(blank=True)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="reviews"
    )
    look = models.CharField(max_length=8, choices=Look, default=Look.FIRST)
    undoes = models.OneToOneField(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="undone_by"
    )

    second_look_rate = models.FloatField(
        null=True,
        blank=True,
        help_text="drawn for a blind second look with this probability; empty: not drawn",
    )

    class Meta:
        ordering = ("-id",)
        indexes = (
            models.Index(fields=["author", "created_at"], name="review_by_author"),
            models.Index(
                fields=["inspection"],
                condition=Q(second_look_rate__isnull=False),
                name="review_second_looks",
            ),
        )

    def __str__(self) -> str:
        return f"{self.state} by {self.author}"


class ReviewClaim(Keyed):
    """Who has a part on the desk now. One row per inspection and look, so that two people
    are never handed the same part; taken over by a conditional UPDATE once it has expired."""

    inspection = models.ForeignKey("Inspection", on_delete=models.CASCADE, related_name="claims")
    look = models.CharField(max_length=8, choices=Look, default=Look.FIRST)
    holder = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="review_claims"
    )
    expires_at = models.DateTimeField()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["inspection", "look"], name="review_claim_once"),
        )

    def __str__(self) -> str:
        return f"{self.inspection} at {self.holder}"


class Escape(Keyed):
    """A defect that was found downstream of us. One that was reported by mistake is withdrawn:
    it stays on record and counts nowhere. Several of one unit count as one."""

    unit = models.ForeignKey("Unit", on_delete=models.PROTECT, related_name="escapes")
    viewpoint = models.ForeignKey(
        "Viewpoint", on_delete=models.PROTECT, null=True, blank=True, related_name="escapes"
    )
    reason_code = models.ForeignKey(
        ReasonCode, on_delete=models.PROTECT, null=True, blank=True, related_name="escapes"
    )
    found_at = models.DateTimeField()
    found_where = models.CharField(max_length=120)
    comment = models.TextField(blank=True)
    reported_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    idempotency_key = models.CharField(
        max_length=255, blank=True, help_text="of the request that reported it, if it had one"
    )
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    withdrawn_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    withdrawn_reason = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ("-found_at",)
        constraints = (
            models.UniqueConstraint(
                fields=["reported_by", "idempotency_key"],
                condition=~Q(idempotency_key=""),
                name="escape_key_once",
            ),
        )

    def __str__(self) -> str:
        return f"{self.unit} at {self.found_where}"
