"""What an endpoint may be called, and what not everybody who may change one may make of it."""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from inspection import policies
from inspection.errors import UserError
from inspection.models import Endpoint, EventType, User

from .endpoint_kinds import CONTROL


def where(address: str, options: Mapping[str, Any]) -> tuple[Any, ...]:
    """To whom a password is shown."""
    parts = urlsplit(address)
    told = (options.get("user"), options.get("ca_file"), options.get("virtual_host"))
    return parts.scheme, parts.hostname, parts.port, *told


def check_may_name(user: User | None, kind: str) -> None:
    """Webhooks reach public addresses and listed networks only. Brokers stand inside the plant,
    so whoever names one makes this machine call any address of it."""
    if kind == Endpoint.Kind.WEBHOOK or user is None:
        return
    if not policies.can(user, policies.ADMINISTER, None):
        raise UserError(
            "administrator_names_brokers",
            "Only an administrator can say where a broker is and who signs in there. Everything "
            "else of it can be changed here.",
            field="address",
        )


def check_password(secret: str) -> None:
    """It goes into protocols of lines."""
    if CONTROL.search(secret):
        raise UserError(
            "bad_option", "A password has no line breaks or control characters.", field="secret"
        )


def check_reviewer(user: User | None, options: Mapping[str, Any]) -> None:
    """What comes in is recorded under that name, so only an administrator lends another's."""
    named = options.get("reviewer")
    if not named or user is None or named == user.get_username():
        return
    if not policies.can(user, policies.ADMINISTER, None):
        raise UserError(
            "not_your_name",
            "Only an administrator can name somebody else here: reviews would stand under a name "
            "that never gave them. Leave it empty, or write your own user name.",
            field="reviewer",
        )


def checked_name(name: str) -> str:
    """As it is kept. Raises UserError."""
    name = " ".join(name.split())
    if not name or len(name) > 80:
        raise UserError("bad_name", "Give it a name of 1 to 80 characters.", field="name")
    return name


def checked_types(types: Iterable[str]) -> list[str]:
    """Each once. Raises UserError for an event that there is none of."""
    chosen = list(dict.fromkeys(types))
    for one in chosen:
        if one not in EventType.values:
            raise UserError(
                "unknown_event", "There is no event “{event}”.", event=one, field="event_types"
            )
    return chosen
