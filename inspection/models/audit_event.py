from typing import Any, NoReturn

from django.conf import settings
from django.db import models

from .base import Keyed


class AppendOnlyError(RuntimeError):
    """Somebody tried to change or delete a line of the audit trail."""


class AppendOnlyQuerySet(models.QuerySet["AuditEvent"]):
    """Bulk writes would pass by `save` and `delete`, so they are closed as well."""

    def update(self, **_values: Any) -> NoReturn:
        raise AppendOnlyError("the audit trail is only appended to")

    def delete(self) -> NoReturn:
        raise AppendOnlyError("the audit trail is never deleted from")


class AuditEvent(Keyed):
    """Who did what to what, before and after. Only ever appended."""

    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="audit_events"
    )
    actor_name = models.CharField(max_length=150)
    action = models.CharField(max_length=60)
    object_type = models.CharField(max_length=40)
    object_id = models.UUIDField()
    object_name = models.CharField(max_length=255)
    product = models.ForeignKey(
        "Product", on_delete=models.PROTECT, null=True, related_name="audit_events"
    )
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)
    reason = models.CharField(max_length=300, blank=True)
    request_id = models.CharField(max_length=64, blank=True)

    objects = AppendOnlyQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        indexes = (
            models.Index(fields=["object_type", "object_id"], name="audit_object"),
            models.Index(fields=["actor", "-id"], name="audit_by_actor"),
            models.Index(fields=["product", "-id"], name="audit_by_product"),
            models.Index(fields=["object_type", "-id"], name="audit_by_type"),
        )

    def __str__(self) -> str:
        return f"{self.actor_name}: {self.action} {self.object_name}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise AppendOnlyError("the audit trail is only appended to")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnlyError("the audit trail is never deleted from")
