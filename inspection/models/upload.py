from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .base import Job, Keyed


class Upload(Job):
    """One drop of files into a dataset or a batch. As a job it is the unpacking of its
    archives; single files need no job and leave it `done`."""

    class Folders(models.TextChoices):
        NOTHING = "", _("Folder names mean nothing")
        LABEL = "label", _("A folder is named after the kind of part: good, or a kind of defect")
        LOT = "lot", _("A folder is named after the lot")

    dataset = models.ForeignKey(
        "Dataset", on_delete=models.CASCADE, null=True, blank=True, related_name="uploads"
    )
    batch = models.ForeignKey(
        "Batch", on_delete=models.CASCADE, null=True, blank=True, related_name="uploads"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="uploads"
    )
    expected_files = models.PositiveIntegerField(null=True, blank=True)
    folders = models.CharField(max_length=8, choices=Folders, default=Folders.NOTHING, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    active_at = models.DateTimeField(
        default=timezone.now, help_text="when something last came; renewed about twice a minute"
    )

    class Meta(Job.Meta):
        ordering = ("-id",)
        constraints = (
            models.CheckConstraint(
                condition=Q(dataset__isnull=False) ^ Q(batch__isnull=False),
                name="upload_has_one_target",
            ),
        )

    def __str__(self) -> str:
        return f"Upload {self.id}"


class UploadArchive(Keyed):
    """A zip that waits to be unpacked, or was."""

    upload = models.ForeignKey(Upload, on_delete=models.CASCADE, related_name="archives")
    client_key = models.CharField(max_length=80)
    file_name = models.CharField(max_length=255)
    path = models.CharField(max_length=300, help_text="relative to the staging folder")
    size_bytes = models.PositiveBigIntegerField()
    members_total = models.PositiveIntegerField(null=True)
    members_done = models.PositiveIntegerField(default=0)
    unpacked_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["upload", "client_key"], name="archive_once"),
        )

    def __str__(self) -> str:
        return self.file_name


class UploadReceipt(Keyed):
    """What became of one file. `client_key` makes a repeated send of the same file harmless;
    a member of an archive has the archive's key and its path inside."""

    class Outcome(models.TextChoices):
        ACCEPTED = "accepted", _("Accepted")
        DUPLICATE = "duplicate", _("Already there")
        REFUSED = "refused", _("Refused")

    upload = models.ForeignKey(Upload, on_delete=models.CASCADE, related_name="receipts")
    client_key = models.CharField(max_length=400)
    file_name = models.CharField(max_length=255)
    outcome = models.CharField(max_length=10, choices=Outcome)
    code = models.CharField(max_length=40, blank=True)
    message = models.TextField(blank=True)
    size_bytes = models.PositiveBigIntegerField(default=0)
    image = models.ForeignKey(
        "Image", on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(fields=["upload", "client_key"], name="receipt_once"),
        )

    def __str__(self) -> str:
        return f"{self.file_name}: {self.outcome}"
