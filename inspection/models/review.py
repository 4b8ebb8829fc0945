from django.conf import settings
from django.db import models

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


class Review(Keyed):
    """An inspector's judgement. Each is a new row; the newest holds."""

    inspection = models.ForeignKey("Inspection", on_delete=models.PROTECT, related_name="reviews")
    state = models.CharField(max_length=16, choices=ReviewState)
    reason_code = models.ForeignKey(
        ReasonCode, on_delete=models.PROTECT, null=True, blank=True, related_name="reviews"
    )
    comment = models.TextField(blank=True)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="reviews"
    )

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.state} by {self.author}"


class Escape(Keyed):
    """A defect that was found downstream of us."""

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

    class Meta:
        ordering = ("-found_at",)

    def __str__(self) -> str:
        return f"{self.unit} at {self.found_where}"
