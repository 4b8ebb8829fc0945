from pathlib import Path

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from .base import Keyed


class PartialFile(Keyed):
    """A file that comes in pieces, each kept as soon as it is there. With an `upload` it ends as
    every file of that upload does; without one it becomes a picture of its owner's."""

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="partial_files"
    )
    upload = models.ForeignKey(
        "Upload", on_delete=models.CASCADE, null=True, blank=True, related_name="partial_files"
    )
    client_key = models.CharField(max_length=80)
    file_name = models.CharField(max_length=255)
    length = models.PositiveBigIntegerField(help_text="bytes that were announced")
    offset = models.PositiveBigIntegerField(default=0, help_text="bytes that are safely here")
    metadata = models.CharField(max_length=2000, blank=True, help_text="as the sender wrote it")
    expires_at = models.DateTimeField()
    finished_at = models.DateTimeField(
        null=True, blank=True, help_text="taken or refused: the bytes are no longer here"
    )
    image = models.ForeignKey(
        "Image", on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    code = models.CharField(max_length=40, blank=True, help_text="why it was refused")
    message = models.TextField(blank=True)

    class Meta:
        ordering = ("id",)
        indexes = (
            models.Index(
                fields=["owner", "expires_at"],
                condition=Q(finished_at=None),
                name="partial_unfinished",
            ),
        )
        constraints = (
            models.CheckConstraint(
                condition=Q(offset__lte=models.F("length")), name="partial_offset_within"
            ),
        )

    def __str__(self) -> str:
        return self.file_name

    @property
    def path(self) -> Path:
        """Where the bytes are until the file is whole and taken."""
        return Path(settings.STAGING_DIR) / f"partial-{self.pk}"

    @property
    def whole(self) -> bool:
        """Every announced byte is here."""
        return self.offset == self.length

    @property
    def expired(self) -> bool:
        """Nobody may go on with it."""
        return self.finished_at is None and self.expires_at < timezone.now()
