"""Keys of what leaves for other systems; the machinery comes with the exchange itself."""

from django.conf import settings
from django.db import models

from .base import Keyed


class ApiKey(Keyed):
    """A hashed, prefixed key with scopes; it never exceeds its owner's role."""

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_keys"
    )
    name = models.CharField(max_length=80)
    prefix = models.CharField(max_length=12, unique=True)
    key_hash = models.CharField(max_length=128, unique=True)
    scopes = models.JSONField(default=list)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class Endpoint(Keyed):
    """Where events go."""

    class Kind(models.TextChoices):
        WEBHOOK = "webhook", "Webhook"
        CFX = "cfx", "IPC-CFX"
        MQTT = "mqtt", "MQTT"

    kind = models.CharField(max_length=8, choices=Kind)
    name = models.CharField(max_length=80, unique=True)
    address = models.CharField(max_length=500)
    event_types = models.JSONField(default=list)
    disabled_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.name


class OutboxEvent(Keyed):
    """Written in the transaction of its cause; `sequence_key` keeps the order per unit."""

    type = models.CharField(max_length=60)
    sequence_key = models.CharField(max_length=80, blank=True)
    payload = models.JSONField()

    class Meta:
        ordering = ("id",)
        indexes = (models.Index(fields=["sequence_key", "id"], name="outbox_order"),)

    def __str__(self) -> str:
        return self.type
