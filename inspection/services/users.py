"""People who sign in: made, disabled and reset by an administrator, without e-mail."""

import secrets

from django.conf import settings
from django.contrib.sessions.models import Session
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext_noop

from inspection import policies
from inspection.errors import UserError, WrongState
from inspection.live.push import hang_up
from inspection.models import Membership, Product, Role, User

from .access import require
from .audit import record

LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"  # none that are taken for another
GROUPS, GROUP_LENGTH = 4, 5  # 100 bits
LAST_DISABLED = gettext_noop(
    "{name} is the last administrator and cannot be disabled. Make somebody else administrator "
    "first."
)
LAST_DEMOTED = gettext_noop(
    "{name} is the last administrator and cannot be given another role. Make somebody else "
    "administrator first."
)


def one_time_password() -> str:
    """Random, and easy to read out: `k7mqh-9xwdp-…`."""
    groups = ("".join(secrets.choice(LETTERS) for _ in range(GROUP_LENGTH)) for _ in range(GROUPS))
    return "-".join(groups)


def create_user(
    user: User | None,
    *,
    username: str,
    role: Role | str | None = None,
    product: Product | None = None,
    full_name: str = "",
) -> tuple[User, str]:
    """The new user and the one-time password, which is shown once and kept nowhere."""
    require(user, policies.ADMINISTER, None)
    chosen = _role(role) if role is not None else None
    first, _, last = full_name.strip().partition(" ")
    who = User(
        username=username.strip(),
        first_name=first,
        last_name=last.strip(),
        must_change_password=True,
    )
    password = one_time_password()
    who.set_password(password)
    with transaction.atomic():
        _check_new(who)
        _insert(who)
        record(user, "user.created", who, after={"username": who.username, "name": full_name})
        if chosen is not None:
            set_role(user, who, chosen, product)
    return who, password


def choose_language(user: User, language: str) -> None:
    """The language of one's own pages, mails and reports."""
    if language not in dict(settings.LANGUAGES):
        raise UserError("unknown_language", "There is no such language here.", field="language")
    User.objects.filter(pk=user.pk).update(language=language)


def disable_user(user: User | None, who: User) -> User:
    """Nobody signs in as `who` any more, and who is signed in is out at once."""
    require(user, policies.ADMINISTER, None)
    with transaction.atomic():
        who = hold(who)
        if not who.is_active:
            raise WrongState("already_disabled", "{name} is disabled already.", name=who.username)
        _check_another_administrator(who, LAST_DISABLED)
        _set_active(user, who, False)
        end_sessions(who)
    return who


def enable_user(user: User | None, who: User) -> User:
    """Let `who` sign in again, with the password they had."""
    require(user, policies.ADMINISTER, None)
    with transaction.atomic():
        who = hold(who)
        if who.is_active:
            raise WrongState("already_enabled", "{name} is not disabled.", name=who.username)
        _set_active(user, who, True)
    return who


def reset_password(user: User | None, who: User) -> str:
    """A new one-time password for `who`, whose sessions end."""
    require(user, policies.ADMINISTER, None)
    password = one_time_password()
    with transaction.atomic():
        who.set_password(password)
        who.must_change_password = True
        who.pin = ""  # whoever knew the old password may have set it
        who.save(update_fields=["password", "must_change_password", "pin"])
        end_sessions(who)
        record(user, "user.password_reset", who)
    return password


def set_role(
    user: User | None, who: User, role: Role | str | None, product: Product | None = None
) -> Membership | None:
    """Give `who` a role for a product (None: all); a role of None takes it away."""
    require(user, policies.ADMINISTER, product)
    chosen = _role(role) if role is not None else None
    with transaction.atomic():
        hold(who)
        held = who.memberships.filter(product=product).first()
        before = held.role if held else None
        if before == chosen:
            return held
        if product is None and before == Role.ADMINISTRATOR and not who.is_superuser:
            _check_another_administrator(who, LAST_DEMOTED)
        membership = _write_role(who, product, chosen)
        hang_up(who.pk)
        now = {"role": chosen and chosen.value}
        record(user, "user.role_set", who, product=product, before={"role": before}, after=now)
    return membership


def end_sessions(who: User) -> int:
    """Sign `who` out everywhere. Returns how many sessions there were."""
    current = Session.objects.filter(expire_date__gte=timezone.now()).iterator()
    theirs = [s.pk for s in current if s.get_decoded().get("_auth_user_id") == str(who.pk)]
    Session.objects.filter(pk__in=theirs).delete()
    hang_up(who.pk)
    return len(theirs)


def readable(user: User) -> QuerySet[User]:
    """Everybody, for administrators of everything. Raises NotAllowed for others."""
    policies.check(user, policies.ADMINISTER, None)
    return User.objects.all()


def readable_memberships(user: User) -> QuerySet[Membership]:
    """Who has which role: everybody, for administrators of everything; for those of a product the
    people who may sign in and do something there. Raises NotAllowed for others."""
    rows = Membership.objects.select_related("user", "product")
    if policies.can(user, policies.ADMINISTER, None):
        return rows
    mine = policies.products_with(user, policies.ADMINISTER)
    if not mine.exists():
        policies.check(user, policies.ADMINISTER, None)
    return rows.filter(Q(product=None) | Q(product__in=mine), user__is_active=True)


def named(username: str) -> User:
    """Who may sign in under that name; raises UserError where nobody may."""
    who = User.objects.filter(username__iexact=username, is_active=True).first()
    if who is None:
        raise UserError(
            "no_such_user",
            "There is no user “{name}”. An administrator of everything makes users.",
            name=username,
            field="username",
        )
    return who


def hold(who: User) -> User:
    """The user as the database knows them, with all administrators held still: otherwise two
    who disable each other at the same moment would both succeed."""
    for administrator in administrators().order_by("pk"):
        lock_row_of(administrator)
    return User.objects.get(pk=who.pk)


def lock_row_of(who: User) -> None:
    """As `lock_row`; a user has no created_at."""
    User.objects.filter(pk=who.pk).update(date_joined=who.date_joined)


def administrators() -> QuerySet[User]:
    """Users who can sign in and administer everything."""
    everything = Q(memberships__role=Role.ADMINISTRATOR, memberships__product=None)
    return User.objects.filter(everything | Q(is_superuser=True), is_active=True).distinct()


def _role(role: Role | str) -> Role:
    try:
        return Role(role)
    except ValueError:
        names = ", ".join(Role.values)
        raise UserError(
            "bad_role",
            "{role} is no role. Roles are: {names}.",
            role=role,
            names=names,
            field="role",
        ) from None


def _write_role(who: User, product: Product | None, role: Role | None) -> Membership | None:
    if role is None:
        who.memberships.filter(product=product).delete()
        return None
    return Membership.objects.update_or_create(user=who, product=product, defaults={"role": role})[
        0
    ]


def _check_new(who: User) -> None:
    if User.objects.filter(username__iexact=who.username).exists():
        raise _taken(who)
    try:
        who.clean_fields()
    except ValidationError as error:
        key, messages = next(iter(error.message_dict.items()))
        raise UserError(
            "invalid", "{label}: {trouble}", label=key, trouble=" ".join(messages), field=key
        ) from error


def _insert(who: User) -> None:
    try:
        with transaction.atomic():
            who.save(force_insert=True)
    except IntegrityError as error:
        raise _taken(who) from error


def _taken(who: User) -> UserError:
    return UserError(
        "username_taken",
        "There is a user {name} already. Choose another name, or enable that user.",
        name=who.username,
        field="username",
    )


def _set_active(user: User | None, who: User, active: bool) -> None:
    User.objects.filter(pk=who.pk).update(is_active=active)
    before, who.is_active = who.is_active, active
    action = "user.enabled" if active else "user.disabled"
    record(user, action, who, before={"is_active": before}, after={"is_active": active})


def _check_another_administrator(who: User, sentence: str) -> None:
    all_ = administrators()
    if all_.filter(pk=who.pk).exists() and not all_.exclude(pk=who.pk).exists():
        raise WrongState("last_administrator", sentence, name=who.username)
