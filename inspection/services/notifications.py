"""What people should know of: one row each, shown by the bell in the frame until it is read."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils import timezone, translation

from inspection.live.push import push_to
from inspection.models import RANK, Notification, Product, Role, User

KEPT_DAYS = 90
COUNTED = 99  # beyond it the bell says "99+": nobody counts further


def notify(
    who: User | Iterable[User] | Role,
    *,
    kind: str,
    title: Any,
    text: Any = "",
    url: str = "",
    product: Product | None = None,
) -> list[Notification]:
    """Tell people something; returns their notifications, written in the caller's transaction.

    `who` is one user, several, or everybody who has at least that role for `product` (for all
    products, where it is None). `title` and `text` may be lazy translations.
    """
    rows = [_row(user, kind, title, text, url) for user in _people(who, product)]
    Notification.objects.bulk_create(rows)
    for row in rows:
        push_to(row.user_id, "notification", title=row.title, text=row.text, url=row.url)
    return rows


def _row(user: User, kind: str, title: Any, text: Any, url: str) -> Notification:
    """In the language of whoever is told."""
    with translation.override(user.language or translation.get_language()):
        words = str(title)[:200], str(text)
    return Notification(user=user, kind=kind[:40], title=words[0], text=words[1], url=url[:300])


def _people(who: User | Iterable[User] | Role, product: Product | None) -> list[User]:
    if isinstance(who, Role):
        return list(with_role(who, product))
    users = {user.pk: user for user in ([who] if isinstance(who, User) else who)}
    return [user for user in users.values() if user.is_active]


def with_role(role: Role, product: Product | None) -> QuerySet[User]:
    """Everybody active who has at least `role` for `product` (over all products, for None)."""
    enough = [name for name, rank in RANK.items() if rank >= RANK[role]]
    where = Q(memberships__product=None)
    if product is not None:
        where |= Q(memberships__product=product)
    found = Q(is_superuser=True) | (Q(memberships__role__in=enough) & where)
    return User.objects.filter(found, is_active=True).distinct()


def notifications_of(user: User) -> QuerySet[Notification]:
    """One's own, newest first; nobody reads another's."""
    return Notification.objects.filter(user=user)


def unread_count(user: User) -> int:
    """How many are unread, at most COUNTED + 1: one short walk along an index."""
    return _unread(user)[: COUNTED + 1].count()


def mark_read(user: User, keys: Iterable[UUID] | None = None) -> int:
    """Mark these notifications of the user (all, for None) as read; returns how many were not."""
    rows = _unread(user)
    if keys is not None:
        rows = rows.filter(pk__in=list(keys))
    marked = rows.order_by().update(read_at=timezone.now())
    if marked:
        push_to(user.pk, "read")
    return marked


def drop_old() -> int:
    """Delete what was read long ago; what nobody read stays."""
    before = timezone.now() - timedelta(days=KEPT_DAYS)
    return Notification.objects.filter(read_at__lt=before).delete()[0]


def _unread(user: User) -> QuerySet[Notification]:
    return Notification.objects.filter(user=user, read_at=None)
