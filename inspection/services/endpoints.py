"""Endpoints: where events go. Made, changed and switched by people; replays and tests.

An endpoint for all products is an administrator's; one for a product is its engineers' too.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from inspection import policies
from inspection.errors import UserError, WrongState
from inspection.models import (
    Delivery,
    Endpoint,
    OutboxEvent,
    Product,
    Role,
    User,
)
from inspection.sealed import CannotOpen

from .access import require
from .audit import record
from .deliveries import happened
from .endpoint_checks import (
    check_may_name,
    check_password,
    check_reviewer,
    checked_name,
    checked_types,
    where,
)
from .endpoint_kinds import KINDS
from .locking import lock_row
from .notifications import notify
from .webhook_signing import in_force, new_secret

TEST_EVENT = "endpoint.test"
OVERLAP_HOURS, LONGEST_OVERLAP_HOURS = 24, 24 * 30
REPLAYED = (Delivery.State.GIVEN_UP, Delivery.State.DELIVERED)
# On their way again at one time; what happens meanwhile waits behind them, as its event is younger.
MOST_REPLAYED = 1_000
DELETED = "deleted"  # why it is off while it goes
DELETED_AT_ONCE, DELETE_TRIES = 1_000, 5


def role_needed(product: Product | None) -> Role:
    """Who may change an endpoint of this product, or of all products."""
    return policies.ADMINISTER if product is None else policies.MANAGE


def visible(user: User) -> QuerySet[Endpoint]:
    """The endpoints that the user may see: those that they may change."""
    mine = Endpoint.objects.filter(product__in=policies.products_with(user, policies.MANAGE))
    if policies.can(user, policies.ADMINISTER, None):
        mine = Endpoint.objects.all()
    return mine.select_related("product")


def create(
    user: User | None,
    *,
    kind: str,
    name: str,
    address: str,
    product: Product | None = None,
    event_types: Iterable[str] = (),
    options: Mapping[str, Any] | None = None,
    secret: str = "",
) -> tuple[Endpoint, str]:
    """A new endpoint, on at once, and the secret that its receiver verifies by, which is never
    shown again (webhooks; else empty). `secret`: the password of a broker."""
    require(user, role_needed(product), product)
    if kind not in KINDS:
        raise UserError("unknown_kind", "Choose what speaks there.", field="kind")
    address, kept = KINDS[kind].checked(address, options or {})
    check_may_name(user, kind)
    check_reviewer(user, kept)
    check_password(secret)
    shown = new_secret() if kind == Endpoint.Kind.WEBHOOK else ""
    endpoint = Endpoint(
        kind=kind,
        name=checked_name(name),
        address=address,
        product=product,
        event_types=checked_types(event_types),
        options=kept,
        created_by=user,
    )
    endpoint.secrets = _first_secret(shown or secret)
    with transaction.atomic():
        _save(endpoint, force_insert=True)
        record(user, "endpoint.created", endpoint, product=product, after=_seen(endpoint))
    return endpoint, shown


def edit(
    user: User | None,
    endpoint: Endpoint,
    *,
    name: str,
    address: str,
    event_types: Iterable[str] = (),
    options: Mapping[str, Any] | None = None,
    secret: str = "",
) -> None:
    """Change it. What waits goes to the new address. `secret`: another password of a broker;
    empty keeps it, where it still goes to the same place as the same user."""
    _require(user, endpoint)
    address, kept = KINDS[endpoint.kind].checked(address, options or {})
    name, types = checked_name(name), checked_types(event_types)
    check_password(secret)
    with transaction.atomic():
        lock_row(endpoint)
        endpoint.refresh_from_db()  # what others changed since it was read stays
        before, fields = _seen(endpoint), ["name", "address", "event_types", "options"]
        moved = where(address, kept) != where(endpoint.address, endpoint.options)
        if (address, kept) != (endpoint.address, endpoint.options):
            check_reviewer(user, kept)
        if endpoint.kind != Endpoint.Kind.WEBHOOK:
            if moved:
                check_may_name(user, endpoint.kind)
            if secret:
                endpoint.secrets = _first_secret(secret)
                fields.append("sealed")
            elif moved and endpoint.sealed:
                raise UserError(
                    "password_again",
                    "Write the password again: it was for another place or another user.",
                    field="secret",
                )
        endpoint.name, endpoint.event_types = name, types
        endpoint.address, endpoint.options = address, kept
        _save(endpoint, update_fields=fields)
        _write_down(user, "endpoint.edited", endpoint, before)


def rotate_secret(
    user: User | None, endpoint: Endpoint, *, overlap_hours: int = OVERLAP_HOURS
) -> str:
    """A new secret, shown once. The one before signs beside it for `overlap_hours` more."""
    _require(user, endpoint)
    if endpoint.kind != Endpoint.Kind.WEBHOOK:
        raise WrongState("no_secret", "Only webhooks are signed by a secret.")
    if not 0 <= overlap_hours <= LONGEST_OVERLAP_HOURS:
        raise UserError(
            "bad_overlap", "The old secret can sign 0 to 720 hours more.", field="overlap_hours"
        )
    until = (timezone.now() + timedelta(hours=overlap_hours)).isoformat()
    secret = new_secret()
    with transaction.atomic():
        lock_row(endpoint)
        row = Endpoint.objects.get(pk=endpoint.pk)
        kept = _readable(row)
        signing = in_force(kept)
        old = [
            {"secret": one["secret"], "until": one.get("until") or until}
            for one in kept
            if one["secret"] in signing
        ]
        endpoint.secrets = [{"secret": secret, "until": None}, *(old if overlap_hours else [])]
        endpoint.save(update_fields=["sealed"])
        _write_down(user, "endpoint.secret_rotated", endpoint, {}, overlap_hours=overlap_hours)
    return secret


def _readable(endpoint: Endpoint) -> list[dict[str, Any]]:
    """Its secrets; none where they cannot be opened any more: a new one is the remedy."""
    try:
        return endpoint.secrets
    except CannotOpen:
        return []


def disable(user: User | None, endpoint: Endpoint, reason: str = "") -> None:
    """Deliver nothing more; what waits is kept, but what happens from now on is not written."""
    _require(user, endpoint)
    _switch_off(user, endpoint, reason or "switched off")


def enable(user: User | None, endpoint: Endpoint) -> None:
    """Deliver again, beginning with what waits."""
    _require(user, endpoint)
    with transaction.atomic():
        off = Endpoint.objects.filter(pk=endpoint.pk, disabled_at__isnull=False)
        if not off.update(disabled_at=None, disabled_because=""):
            raise WrongState("already_on", "{endpoint} is on already.", endpoint=endpoint)
        endpoint.refresh_from_db()
        _write_down(user, "endpoint.enabled", endpoint, {})


def gone(endpoint: Endpoint) -> None:
    """The receiver answered 410: nothing more is sent, and its engineers are told, once."""
    with transaction.atomic():
        if not _switch_off(None, endpoint, "its receiver answered 410 Gone"):
            return  # several deliveries were on their way at once
        notify(
            role_needed(endpoint.product),
            kind="endpoint",
            title=format_lazy(_("{name} is switched off"), name=endpoint.name),
            text=_("Its receiver answered 410 Gone. When it is there again, switch it on."),
            url=f"/settings/endpoints/{endpoint.pk}/",
            product=endpoint.product,
        )


def delete(user: User | None, endpoint: Endpoint) -> None:
    """Remove it with its log and with what waits for it.

    It is switched off first, for all to see, so that no verdict is written for it meanwhile; a
    log of millions goes piece by piece, and the row itself at the end.
    """
    _require(user, endpoint)
    _switch_off(user, endpoint, DELETED)
    for _last_try in range(DELETE_TRIES):
        _forget_deliveries(endpoint)
        try:
            with transaction.atomic():
                seen = _seen(endpoint)
                record(user, "endpoint.deleted", endpoint, product=endpoint.product, before=seen)
                Endpoint.objects.filter(pk=endpoint.pk).delete()
            return
        except IntegrityError:  # a verdict that began before: its delivery is there by now
            continue
    raise WrongState(
        "still_told", "{name} is off, but still being told. Delete it again.", name=endpoint.name
    )


def _forget_deliveries(endpoint: Endpoint) -> None:
    rows = Delivery.objects.filter(endpoint=endpoint).order_by("pk").values_list("pk", flat=True)
    while keys := list(rows[:DELETED_AT_ONCE]):
        Delivery.objects.filter(pk__in=keys).delete()


# --- deliveries --------------------------------------------------------------------------


def replay(user: User | None, delivery: Delivery) -> None:
    """Deliver once more, with all its tries; the receiver knows it by the same id."""
    _require(user, delivery.endpoint)
    with transaction.atomic():
        rows = Delivery.objects.filter(pk=delivery.pk).exclude(state=Delivery.State.WAITING)
        if not rows.update(**_afresh()):
            raise WrongState("still_waiting", "This delivery is on its way already.")
        delivery.refresh_from_db()
        _write_down(user, "delivery.replayed", delivery.endpoint, {}, event=str(delivery.event_id))


def try_now(user: User | None, delivery: Delivery) -> None:
    """Do not wait for the next try of a delivery that waits."""
    _require(user, delivery.endpoint)
    with transaction.atomic():
        rows = Delivery.objects.filter(pk=delivery.pk, state=Delivery.State.WAITING)
        if not rows.update(next_attempt_at=timezone.now()):
            raise WrongState("not_waiting", "This delivery does not wait any more.")
        delivery.refresh_from_db()
        _write_down(user, "delivery.hurried", delivery.endpoint, {}, event=str(delivery.event_id))


def replay_many(
    user: User | None, endpoint: Endpoint, *, state: str, since: datetime, until: datetime
) -> tuple[int, bool]:
    """Deliver everything once more that happened from `since` until `until` and is in `state`,
    given up or delivered. What was sent once more since `until` is left out, so that the same
    asked again sends nothing twice. Returns how many, the oldest first and no more than fit into
    MOST_REPLAYED on their way at once, and whether there are more. Raises UserError; WrongState
    where nothing fits."""
    _require(user, endpoint)
    _check_replay(state, since, until)
    of_state = Delivery.objects.filter(endpoint=endpoint, state=state)
    again = Q(replayed_at__gte=until)
    rows = of_state.filter(happened(since, until)).exclude(again).order_by("id")
    with transaction.atomic():
        lock_row(endpoint)  # the same asked twice at once: the second sees what the first did
        room = MOST_REPLAYED - _on_their_way_again(endpoint)
        found = list(rows.values_list("pk", flat=True)[: max(room, 0) + 1])
        if found and room < 1:
            raise WrongState(
                "still_replaying",
                "Those sent once more before are still on their way. Go on when they have arrived.",
            )
        keys = found[:room]
        count = sum(
            of_state.filter(pk__in=keys[at : at + 500]).update(**_afresh())
            for at in range(0, len(keys), 500)
        )
        if count:
            span = {"since": since.isoformat(), "until": until.isoformat()}
            _write_down(user, "endpoint.replayed", endpoint, {}, state=state, **span, count=count)
    return count, len(found) > len(keys)


def _on_their_way_again(endpoint: Endpoint) -> int:
    rows = Delivery.objects.filter(endpoint=endpoint, state=Delivery.State.WAITING)
    return rows.filter(replayed_at__isnull=False).count()


def _check_replay(state: str, since: datetime, until: datetime) -> None:
    if state not in REPLAYED:
        raise UserError(
            "bad_state",
            "Choose what was given up or what was delivered; what waits is on its way already.",
            field="state",
        )
    if since >= until:
        raise UserError("bad_range", "The end must come after the beginning.", field="until")
    if until > timezone.now():
        raise UserError(
            "not_yet",
            "The end must not lie in the future: what is sent once more after it is left out.",
            field="until",
        )


def send_test(user: User | None, endpoint: Endpoint) -> Delivery:
    """A signed event of type `endpoint.test` that means nothing."""
    _require(user, endpoint)
    if endpoint.kind != Endpoint.Kind.WEBHOOK:
        raise WrongState(
            "no_test", "Only webhooks take a test event; a broker shows by connecting."
        )
    if not endpoint.enabled:
        raise WrongState(
            "is_off", "{endpoint} is switched off. Switch it on first.", endpoint=endpoint
        )
    with transaction.atomic():
        event = OutboxEvent.objects.create(
            type=TEST_EVENT, product=endpoint.product, payload={"endpoint": endpoint.name}
        )
        delivery = Delivery.objects.create(endpoint=endpoint, event=event)
        _write_down(user, "endpoint.tested", endpoint, {}, event=str(event.pk))
    return delivery


# --- how it is written -------------------------------------------------------------------


def _require(user: User | None, endpoint: Endpoint) -> None:
    require(user, role_needed(endpoint.product), endpoint.product)


def _afresh() -> dict[str, Any]:
    return {
        "state": Delivery.State.WAITING,
        "attempt": 0,
        "next_attempt_at": timezone.now(),
        "delivered_at": None,
        "replayed_at": timezone.now(),
    }


def _switch_off(user: User | None, endpoint: Endpoint, reason: str) -> bool:
    """False where it is off already."""
    with transaction.atomic():
        on = Endpoint.objects.filter(pk=endpoint.pk, disabled_at=None)
        if not on.update(disabled_at=timezone.now(), disabled_because=reason[:300]):
            return False
        endpoint.refresh_from_db()
        _write_down(user, "endpoint.disabled", endpoint, {}, because=reason)
    return True


def _write_down(
    user: User | None, action: str, endpoint: Endpoint, before: dict[str, Any], **more: Any
) -> None:
    after = {**_seen(endpoint), **more}
    record(user, action, endpoint, product=endpoint.product, before=before, after=after)


def _seen(endpoint: Endpoint) -> dict[str, Any]:
    """What the audit trail says of it: everything but its secrets."""
    return {
        "kind": endpoint.kind,
        "name": endpoint.name,
        "address": endpoint.address,
        "event_types": endpoint.event_types,
        "options": endpoint.options,
        "enabled": endpoint.enabled,
    }


def _first_secret(secret: str) -> list[dict[str, Any]]:
    return [{"secret": secret, "until": None}] if secret else []


def _save(endpoint: Endpoint, **how: Any) -> None:
    """Two of one name are confused by everybody; the database refuses the second."""
    try:
        with transaction.atomic():
            endpoint.save(**how)
    except IntegrityError:
        raise UserError(
            "name_taken",
            "There is an endpoint “{name}” already.",
            name=endpoint.name,
            field="name",
        ) from None
