"""Who may read what of the audit trail, and how it is narrowed."""

from datetime import datetime
from uuid import UUID

from django.db.models import QuerySet

from inspection import policies
from inspection.ids import first_id_of
from inspection.models import AuditEvent, User

SYSTEM = "system"


def may_read(user: User) -> bool:
    """Whether `readable` gives anything."""
    return (
        policies.can(user, policies.ADMINISTER, None)
        or policies.products_with(user, policies.MANAGE).exists()
    )


def readable(user: User) -> QuerySet[AuditEvent]:
    """Administrators see everything; who engineers a product, what befell it. Raises NotAllowed
    for others."""
    if policies.can(user, policies.ADMINISTER, None):
        return AuditEvent.objects.all()
    products = policies.products_with(user, policies.MANAGE)
    if not products.exists():
        policies.check(user, policies.ADMINISTER, None)
    return AuditEvent.objects.filter(product__in=products)


def narrowed(
    rows: QuerySet[AuditEvent],
    *,
    type: str = "",
    thing: UUID | None = None,
    named: str = "",
    who: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
) -> QuerySet[AuditEvent]:
    """Each filter by itself: what it befell (`type`, `thing` by key, `named` by a part of its
    name), who did it (`system`: nobody), when."""
    if type:
        rows = rows.filter(object_type=type)
    if thing:
        rows = rows.filter(object_id=thing)
    if named:
        rows = rows.filter(object_name__icontains=named)
    if who:
        rows = rows.filter(actor=None) if who == SYSTEM else rows.filter(actor_name=who)
    if since:
        rows = rows.filter(pk__gte=first_id_of(since))
    if until:
        rows = rows.filter(pk__lt=first_id_of(until))
    return rows
