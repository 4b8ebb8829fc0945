from django.conf import settings
from django.db import models

from .base import Keyed


class Image(Keyed):
    """An uploaded picture, addressed by the SHA-256 of its bytes. Kept as it came;
    a browser is only ever sent re-encodes of it."""

    sha256 = models.CharField(max_length=64, unique=True)
    original_name = models.CharField(max_length=255)
    format = models.CharField(max_length=8)
    size_bytes = models.PositiveBigIntegerField()
    width = models.PositiveIntegerField(help_text="pixels, upright")
    height = models.PositiveIntegerField(help_text="pixels, upright")
    mode = models.CharField(max_length=12)
    notes = models.JSONField(default=list, blank=True)
    storage_key = models.CharField(max_length=120, unique=True)
    thumbnail_key = models.CharField(max_length=120)
    uploaded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )

    def __str__(self) -> str:
        return self.original_name


class ImageOwner(Keyed):
    """Somebody who sent the bytes of a picture, and so may use it though it is nowhere yet. Bytes
    that several people send are one picture with several owners."""

    image = models.ForeignKey(Image, on_delete=models.CASCADE, related_name="owners")
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="images"
    )

    class Meta:
        constraints = (models.UniqueConstraint(fields=["owner", "image"], name="image_owner_once"),)

    def __str__(self) -> str:
        return f"{self.image} from {self.owner}"
