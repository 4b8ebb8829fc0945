"""The audit trail: every service that changes something calls `record` in its transaction."""

from typing import Any

from django.db.models import Model

from inspection.logs import request_id
from inspection.models import AuditEvent, Product, User


def record(
    actor: User | None,
    action: str,
    thing: Model,
    *,
    product: Product | None = None,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    reason: str = "",
) -> AuditEvent:
    """Append one line. `actor` None means the system itself."""
    return AuditEvent.objects.create(
        actor=actor,
        actor_name=actor.get_username() if actor else "system",
        action=action,
        object_type=thing._meta.model_name or "",
        object_id=thing.pk,
        object_name=str(thing)[:255],
        product=product,
        before=before or {},
        after=after or {},
        reason=reason[:300],
        request_id=request_id.get(),
    )
