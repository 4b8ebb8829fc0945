from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from .base import Job, Keyed


class ReportKind(models.TextChoices):
    LOT_PDF = "lot_pdf", _("Lot report, PDF")
    LOT_CSV = "lot_csv", _("Lot report, CSV")
    WEEKLY_PDF = "weekly_pdf", _("Quality report, PDF")


class ReportSchedule(Keyed):
    """Reports that are made by themselves and sent by e-mail, at one hour of the plant's day."""

    class Every(models.TextChoices):
        DAY = "day", _("Every day")
        WEEK = "week", _("Every week")

    product = models.ForeignKey(
        "Product", on_delete=models.CASCADE, related_name="report_schedules"
    )
    kind = models.CharField(max_length=12, choices=ReportKind)
    every = models.CharField(max_length=4, choices=Every, default=Every.WEEK)
    weekday = models.PositiveSmallIntegerField(default=0, help_text="0: Monday")
    hour = models.PositiveSmallIntegerField(default=6, help_text="in the plant's zone")
    language = models.CharField(max_length=10, default="en")
    recipients = models.JSONField(default=list)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    next_at = models.DateTimeField()
    last_at = models.DateTimeField(null=True, blank=True)
    next_since = models.DateTimeField(
        null=True,
        blank=True,
        help_text="where the next report begins after a change of its time, or once it is sent "
        "again; else a day or week before its end",
    )
    ended_at = models.DateTimeField(null=True, blank=True, help_text="nothing more is sent")

    class Meta:
        ordering = ("-id",)
        indexes = (models.Index(fields=["ended_at", "next_at"], name="report_schedule_due"),)

    def __str__(self) -> str:
        return f"{self.get_kind_display()}, {self.get_every_display()}"

    @property
    def enabled(self) -> bool:
        return self.ended_at is None


class Report(Job):
    """A document about a lot or a period: made once by a worker, kept, and never changed."""

    class Mail(models.TextChoices):
        """Whether it was sent. `sending` is written before the server is spoken to: a mail
        whose fate nobody knows stays there and is never sent again by itself."""

        NONE = "", _("Not sent by e-mail")
        WAITING = "waiting", _("Waiting to be sent")
        SENDING = "sending", _("Being sent")
        SENT = "sent", _("Sent")
        FAILED = "failed", _("Could not be sent")

    kind = models.CharField(max_length=12, choices=ReportKind)
    product = models.ForeignKey("Product", on_delete=models.PROTECT, related_name="reports")
    lot = models.ForeignKey(
        "Lot", on_delete=models.PROTECT, null=True, blank=True, related_name="reports"
    )
    since = models.DateTimeField(null=True, blank=True)
    until = models.DateTimeField(null=True, blank=True, help_text="not included")
    language = models.CharField(max_length=10, default="en")
    file_key = models.CharField(max_length=200, blank=True)
    file_sha256 = models.CharField(max_length=64, blank=True)
    contents_sha256 = models.CharField(
        max_length=64, blank=True, help_text="of the facts, as the document prints it"
    )
    size_bytes = models.PositiveBigIntegerField(default=0)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="reports"
    )
    schedule = models.ForeignKey(
        ReportSchedule, on_delete=models.SET_NULL, null=True, blank=True, related_name="reports"
    )
    mail_to = models.JSONField(default=list, blank=True)
    mail_taken = models.JSONField(
        default=list,
        blank=True,
        help_text="for whom of `mail_to` the server took it: they are not sent it again",
    )
    mail_state = models.CharField(max_length=8, choices=Mail, default=Mail.NONE, blank=True)
    mail_tries = models.PositiveSmallIntegerField(default=0)
    mail_after = models.DateTimeField(null=True, blank=True, help_text="not tried before")
    mail_error = models.CharField(max_length=300, blank=True)
    mailed_at = models.DateTimeField(null=True, blank=True)

    class Meta(Job.Meta):
        ordering = ("-id",)
        indexes = (  # type: ignore[assignment]
            *Job.Meta.indexes,
            models.Index(fields=["product", "-id"], name="report_by_product"),
            models.Index(fields=["mail_state", "mail_after"], name="report_mail"),
        )

    def __str__(self) -> str:
        about = self.lot.code if self.lot else self.product.code
        return f"{self.get_kind_display()} {about}"

    @property
    def last_day(self) -> datetime | None:
        """The last moment of the period, for people: `until` is not part of it."""
        return self.until - timedelta(seconds=1) if self.until else None

    @property
    def is_pdf(self) -> bool:
        return self.kind != ReportKind.LOT_CSV
