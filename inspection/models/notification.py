from django.conf import settings
from django.db import models

from .base import Keyed


class Notification(Keyed):
    """Something that a person should know of: shown in the frame until it is read."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notifications"
    )
    kind = models.CharField(max_length=40)
    title = models.CharField(max_length=200)
    text = models.TextField(blank=True)
    url = models.CharField(max_length=300, blank=True, help_text="path of the page about it")
    read_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        indexes = (models.Index(fields=["user", "read_at", "-id"], name="notification_unread"),)

    def __str__(self) -> str:
        return self.title
