"""What other systems are known by, and what leaves for them (docs/adr/0010-exchange.md)."""

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from inspection.sealed import seal, unseal

from .base import Keyed

SCOPED = (
    "products",
    "datasets",
    "images",
    "runs",
    "models",
    "inspections",
    "report_schedules",  # not `inspections`, which every MES has: what they send leaves the house
    "intakes",  # nor this: it names places of the server, and files there may be deleted
    "reviews",
    "operating_points",
    "webhooks",
    "audit",
    "users",
    "notifications",
)
SCOPES = tuple(f"{noun}:{may}" for noun in SCOPED for may in ("read", "write"))


class ApiKey(Keyed):
    """A hashed, prefixed key with scopes; it never exceeds its owner's role and memberships."""

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_keys"
    )
    name = models.CharField(max_length=80)
    prefix = models.CharField(max_length=12, unique=True)
    key_hash = models.CharField(max_length=128, unique=True)
    scopes = models.JSONField(default=list, help_text="of SCOPES")
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    rotated_from = models.ForeignKey(
        "self",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        help_text="the key that this one takes the place of; both work until that one expires",
    )

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @property
    def usable(self) -> bool:
        """Neither revoked nor expired."""
        now = timezone.now()
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)


class EventType(models.TextChoices):
    """What leaves, by the names that receivers match on."""

    INSPECTION_COMPLETED = "inspection.completed", _("Part inspected")
    BATCH_COMPLETED = "batch.completed", _("Batch done")
    REVIEW_RECORDED = "review.recorded", _("Part reviewed")
    RUN_FINISHED = "run.finished", _("Training run ended")
    MODEL_PROMOTED = "model.promoted", _("Model promoted")
    DRIFT_ALERT = "drift.alert", _("Scores drift")


class Endpoint(Keyed):
    """Where events go. One process at a time delivers to it: it holds the row by `token` until
    `lease_expires_at`, which keeps the order per unit however many processes run."""

    class Kind(models.TextChoices):
        WEBHOOK = "webhook", "Webhook"
        CFX = "cfx", "IPC-CFX"
        MQTT = "mqtt", "MQTT"

    kind = models.CharField(max_length=8, choices=Kind)
    name = models.CharField(max_length=80, unique=True)
    address = models.CharField(max_length=500, help_text="https://…, amqp://host, mqtts://host")
    event_types = models.JSONField(default=list, blank=True, help_text="empty: all of EventType")
    product = models.ForeignKey(
        "Product",
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="endpoints",
        help_text="only what concerns this product; empty: all products",
    )
    options = models.JSONField(
        default=dict, blank=True, help_text="what a kind needs: CFX handle, MQTT topic, user"
    )
    sealed = models.TextField(
        blank=True,
        default="",
        editable=False,
        help_text="`secrets`, as only this house can read them (inspection/sealed.py)",
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    disabled_at = models.DateTimeField(null=True, blank=True)
    disabled_because = models.CharField(max_length=300, blank=True)
    token = models.UUIDField(null=True, blank=True, editable=False)
    lease_expires_at = models.DateTimeField(null=True, blank=True, editable=False)
    connected_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_error = models.CharField(max_length=300, blank=True, editable=False)
    last_error_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    @property
    def enabled(self) -> bool:
        return self.disabled_at is None

    @property
    def secrets(self) -> list[dict[str, Any]]:
        """The newest first: {secret, until}; `until` empty: no end. Never shown again. Saved as
        `sealed`. Raises CannotOpen."""
        return unseal(self.sealed) if self.sealed else []

    @secrets.setter
    def secrets(self, value: list[dict[str, Any]]) -> None:
        self.sealed = seal(value) if value else ""


class OutboxEvent(Keyed):
    """Written in the transaction of its cause, where an endpoint wants it. Its key is what a
    receiver knows it by, over every retry and replay; `sequence_key` keeps the order per unit."""

    type = models.CharField(max_length=60, choices=EventType)
    sequence_key = models.CharField(max_length=80, blank=True)
    product = models.ForeignKey(
        "Product", on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    payload = models.JSONField(help_text="the event's data, under 20 kB")

    class Meta:
        ordering = ("id",)
        indexes = (models.Index(fields=["sequence_key", "id"], name="outbox_order"),)

    def __str__(self) -> str:
        return self.type


class Delivery(Keyed):
    """One event on its way to one endpoint. A replay puts the same row back to `waiting`."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        DELIVERED = "delivered", _("Delivered")
        GIVEN_UP = "given_up", _("Given up")

    endpoint = models.ForeignKey(
        Endpoint,
        on_delete=models.CASCADE,
        related_name="deliveries",
        db_index=False,  # delivery_once and delivery_log begin with it
    )
    event = models.ForeignKey(OutboxEvent, on_delete=models.CASCADE, related_name="deliveries")
    sequence_key = models.CharField(max_length=80, blank=True, help_text="as the event's")
    address = models.CharField(
        max_length=500, blank=True, help_text="a submission's own callback; empty: the endpoint's"
    )
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    attempt = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(default=timezone.now)
    delivered_at = models.DateTimeField(null=True, blank=True)
    replayed_at = models.DateTimeField(
        null=True, blank=True, help_text="when somebody last had it sent once more"
    )

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(fields=["endpoint", "event", "address"], name="delivery_once"),
        )
        indexes = (
            # What is due, in the order of the events; its time as well, so that what waits for
            # its next try is passed over without being read.
            models.Index(
                fields=["endpoint", "event", "id", "next_attempt_at"],
                condition=Q(state="waiting"),
                name="delivery_next",
            ),
            # Whether something of the same unit is still before it.
            models.Index(
                fields=["endpoint", "sequence_key", "event"],
                condition=Q(state="waiting"),
                name="delivery_order",
            ),
            models.Index(fields=["endpoint", "-id"], name="delivery_log"),
            models.Index(
                fields=["endpoint", "-id"],
                condition=Q(state="given_up"),
                name="delivery_given_up",
            ),
        )

    def __str__(self) -> str:
        return f"{self.event} to {self.endpoint}"


class DeliveryAttempt(Keyed):
    """One try, as the delivery log shows it."""

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="attempts")
    number = models.PositiveSmallIntegerField()
    status_code = models.PositiveSmallIntegerField(null=True, blank=True)
    duration_ms = models.PositiveIntegerField(null=True, blank=True)
    error = models.CharField(max_length=300, blank=True)
    answer = models.CharField(max_length=300, blank=True, help_text="how the answer begins")

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return f"attempt {self.number} of {self.delivery}"
