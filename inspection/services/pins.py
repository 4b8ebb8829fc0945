"""Short passwords for shared stations. A PIN changes who stands at a verification station and
unlocks it; it opens nothing else. Wrong ones are counted, and after a few only the password
helps."""

import hashlib
from contextlib import suppress

from django.contrib.auth.hashers import check_password, make_password
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet

from inspection.errors import UserError
from inspection.models import User

from .audit import record

SHORTEST, LONGEST = 4, 12
TRIES = 5
PAUSE_S = 300
TOO_SIMPLE = ("0123456789", "9876543210", "abcdefghijklmnopqrstuvwxyz")


def set_pin(user: User, *, password: str, badge: str, pin: str) -> None:
    """Set one's own badge and PIN; the password proves that it is oneself. An empty PIN takes
    it away."""
    if not user.check_password(password):
        raise UserError("wrong_password", "This is not your password.", field="password")
    badge, pin = badge.strip(), pin.strip()
    if pin:
        _check_pin(pin, user, badge)
    before = {"badge": user.badge, "pin": bool(user.pin)}
    user.badge, user.pin = badge, make_password(pin) if pin else ""
    try:
        user.clean_fields(exclude=["password", "username"])
    except ValidationError as error:
        raise UserError("invalid", " ".join(error.messages), field="badge") from error
    if badge and _others(user).filter(_called(badge)).exists():
        raise _badge_taken()
    try:
        with transaction.atomic():
            user.save(update_fields=["badge", "pin"])
            after = {"badge": badge, "pin": bool(pin)}
            record(user, "user.pin_set", user, before=before, after=after)
    except IntegrityError as error:
        raise _badge_taken() from error


def identify(name: str, pin: str, station: str) -> User:
    """Whose badge or user name, and PIN, these are. `station` names the browser: wrong tries
    are counted per person and per station. Takes as long for a name that nobody has."""
    name = name.strip()
    known = User.objects.filter(_called(name), is_active=True, must_change_password=False)
    user = known.exclude(pin="").first() if name else None
    doors = [_door("who", str(user.pk) if user else name.casefold()), _door("at", station)]
    if any(int(cache.get(door, 0)) >= TRIES for door in doors):
        raise UserError(
            "too_many_tries",
            "Too many wrong PINs. Sign in with your password, or wait five minutes.",
            field="pin",
        )
    if user is None:
        make_password(pin)  # as much work as a check
    elif check_password(pin, user.pin):
        cache.delete_many(doors)
        return user
    for door in doors:
        cache.add(door, 0, PAUSE_S)
        with suppress(ValueError):  # it expired just now
            cache.incr(door)
    raise UserError("wrong_pin", "Badge or PIN is wrong, or no PIN is set.", field="pin")


def _door(kind: str, name: str) -> str:
    """The key that wrong tries are counted under; hashed, since people type anything."""
    return f"pin:{kind}:{hashlib.sha256(name.encode()).hexdigest()}"


def _called(name: str) -> Q:
    return Q(username__iexact=name) | Q(badge__iexact=name)


def _others(user: User) -> QuerySet[User]:
    return User.objects.exclude(pk=user.pk)


def _check_pin(pin: str, user: User, badge: str) -> None:
    if not SHORTEST <= len(pin) <= LONGEST or not pin.isalnum():
        raise UserError(
            "bad_pin",
            "A PIN has {least} to {most} digits or letters.",
            least=SHORTEST,
            most=LONGEST,
            field="pin",
        )
    low = pin.casefold()
    named = {user.username.casefold(), badge.casefold()}
    if len(set(low)) == 1 or low in named or any(low in row for row in TOO_SIMPLE):
        raise UserError("simple_pin", "This PIN is guessed at once. Choose another.", field="pin")


def _badge_taken() -> UserError:
    return UserError("badge_taken", "Somebody else has this badge, or is called so.", field="badge")
