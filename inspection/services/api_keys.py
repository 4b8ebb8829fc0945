"""Keys that programs sign in with: shown once, kept as a hash, never above their owner."""

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from inspection import policies
from inspection.errors import NotAllowed, UserError, WrongState
from inspection.models import SCOPES, ApiKey, User

from .audit import record

MARK = "kin_"  # so that a key is known for one wherever it turns up
PREFIX, SECRET_BYTES = 8, 32  # characters after the mark; bytes of chance
LONGEST_DAYS = 3650
OVERLAP_HOURS, MOST_OVERLAP_HOURS = 24, 24 * 30
SEEN_EVERY = timedelta(minutes=1)  # `last_used_at` is no more exact than this
ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"


def create_key(
    user: User, *, name: str, scopes: Iterable[str], days: int | None = 365
) -> tuple[ApiKey, str]:
    """A new key of `user`'s own, and its text, which nobody can read again.

    `days`: until it expires; None: never. Raises UserError naming the field.
    """
    wanted = _scopes(scopes)
    if not name.strip():
        raise UserError("name_missing", "Say what uses the key: “MES line 3”.", field="name")
    with transaction.atomic():
        key, text = _new(user, name=name.strip()[:80], scopes=wanted, expires_at=_end(days))
        record(user, "api_key.created", key, after=_seen(key))
    return key, text


def rotate_key(
    user: User, key: ApiKey, *, overlap_hours: int = OVERLAP_HOURS
) -> tuple[ApiKey, str]:
    """A key that takes the place of `key`, which goes on working for `overlap_hours`, so that no
    submission fails while a program is given the new one. It lasts as long as the old one did."""
    _check_own(user, key)
    if not key.usable:
        raise WrongState("key_ended", "This key works no more; make a new one.")
    if not 0 <= overlap_hours <= MOST_OVERLAP_HOURS:
        raise UserError(
            "bad_overlap", "0 to {most} hours.", most=MOST_OVERLAP_HOURS, field="overlap_hours"
        )
    now = timezone.now()
    lasts = key.expires_at - key.created_at if key.expires_at else None
    with transaction.atomic():
        fresh, text = _new(
            key.owner,
            name=key.name,
            scopes=key.scopes,
            expires_at=now + lasts if lasts else None,
            rotated_from=key,
        )
        before, ends = _seen(key), now + timedelta(hours=overlap_hours)
        if key.expires_at is None or key.expires_at > ends:
            key.expires_at = ends
            key.save(update_fields=["expires_at"])
        record(user, "api_key.rotated", fresh, before=before, after=_seen(fresh))
    return fresh, text


def revoke_key(user: User, key: ApiKey) -> None:
    """End a key now. One's own, or, as an administrator, anybody's."""
    _check_own(user, key)
    with transaction.atomic():
        there = ApiKey.objects.filter(pk=key.pk, revoked_at=None)
        if not there.update(revoked_at=timezone.now()):
            raise WrongState("already_revoked", "This key was revoked already.")
        record(user, "api_key.revoked", key, before=_seen(key))


def keys_of(user: User) -> QuerySet[ApiKey]:
    """One's own keys, or, for an administrator, everybody's, the newest first."""
    everything = ApiKey.objects.select_related("owner")
    if policies.can(user, policies.ADMINISTER, None):
        return everything
    return everything.filter(owner=user)


def find_key(text: str) -> ApiKey | None:
    """The key with that text, if it works and its owner may sign in; notes that it was used."""
    prefix = text[: len(MARK) + PREFIX]
    key = ApiKey.objects.select_related("owner").filter(prefix=prefix).first()
    known = key.key_hash if key else ""
    if not hmac.compare_digest(known.encode(), _hash(text).encode()) or key is None:
        return None
    if not (key.usable and key.owner.is_active):
        return None
    _used(key)
    return key


def _used(key: ApiKey) -> None:
    now = timezone.now()
    long_ago = Q(last_used_at=None) | Q(last_used_at__lt=now - SEEN_EVERY)
    if key.last_used_at is None or key.last_used_at < now - SEEN_EVERY:
        ApiKey.objects.filter(long_ago, pk=key.pk).update(last_used_at=now)


def _new(owner: User, **fields: object) -> tuple[ApiKey, str]:
    prefix = MARK + "".join(secrets.choice(ALPHABET) for _ in range(PREFIX))
    text = f"{prefix}_{secrets.token_urlsafe(SECRET_BYTES)}"
    key = ApiKey.objects.create(owner=owner, prefix=prefix, key_hash=_hash(text), **fields)
    return key, text


def _hash(text: str) -> str:
    """256 bits of chance need no slow hash."""
    return hashlib.sha256(text.encode()).hexdigest()


def _scopes(scopes: Iterable[str]) -> list[str]:
    wanted = sorted(set(scopes))
    if unknown := [scope for scope in wanted if scope not in SCOPES]:
        raise UserError(
            "unknown_scope", "There is no scope {scope}.", scope=unknown[0], field="scopes"
        )
    if not wanted:
        raise UserError("scopes_missing", "Tick what the key may do.", field="scopes")
    return wanted


def _end(days: int | None) -> datetime | None:
    if days is None:
        return None
    if not 1 <= days <= LONGEST_DAYS:
        raise UserError("bad_days", "1 to {most} days, or never.", most=LONGEST_DAYS, field="days")
    return timezone.now() + timedelta(days=days)


def _check_own(user: User, key: ApiKey) -> None:
    if key.owner_id != user.pk and not policies.can(user, policies.ADMINISTER, None):
        raise NotAllowed("not_allowed", "This key is somebody else's.")


def _seen(key: ApiKey) -> dict[str, object]:
    return {
        "key": key.prefix,
        "owner": key.owner.get_username(),
        "scopes": key.scopes,
        "expires_at": key.expires_at.isoformat() if key.expires_at else None,
    }
