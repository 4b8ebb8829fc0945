"""What each kind of endpoint asks for besides its address: forms, the API and the checks of
`services.endpoints` read it from here.

Another kind is one more `EndpointKind` in KINDS and a courier (`inspection.exchange.couriers`).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from inspection.errors import UserError
from inspection.models import Endpoint

from . import webhook_addresses
from .broker_options import CFX_OPTIONS, MQTT_OPTIONS, check_cfx, check_mqtt
from .endpoint_options import Option

__all__ = ["KINDS", "EndpointKind", "Option", "Options"]

Options = Mapping[str, Any]
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def _nothing_more(address: str, options: Options) -> None:
    return None


@dataclass(frozen=True)
class EndpointKind:
    """`check` raises UserError, naming the field, for what could never work."""

    kind: str
    schemes: tuple[str, ...]
    address_example: str
    options: tuple[Option, ...] = ()
    check: Callable[[str, Options], None] = field(default=_nothing_more)

    def checked(self, address: str, given: Options) -> tuple[str, dict[str, Any]]:
        """The address and options as they are kept. Raises UserError, naming the field."""
        address = _address(address.strip(), self)
        plain = [one for one in self.options if one.form != "secret"]
        for name in given:
            if name not in {one.name for one in plain}:
                raise UserError(
                    "unknown_option",
                    "There is no such option: {name}. There are: {known}.",
                    name=name,
                    known=", ".join(one.name for one in plain) or "–",
                    field=name,
                )
        options = {one.name: _value(one, given.get(one.name, one.default)) for one in plain}
        self.check(address, options)
        return address, options


def _address(address: str, kind: EndpointKind) -> str:
    example = kind.address_example
    try:
        parts = urlsplit(address)
        port_is_good = parts.port is None or parts.port > 0
    except ValueError:
        port_is_good, parts = False, urlsplit("")
    if not parts.hostname or parts.scheme not in kind.schemes or not port_is_good:
        known = ", ".join(f"{scheme}://" for scheme in kind.schemes)
        raise UserError(
            "bad_address",
            "Write the whole address, beginning with {known} For example: {example}",
            known=known,
            example=example,
            field="address",
        )
    if parts.username or parts.password:
        raise UserError(
            "password_in_address",
            "Keep user names and passwords out of the address; it is shown to everybody.",
            field="address",
        )
    if len(address) > 500:
        raise UserError("bad_address", "An address has at most 500 characters.", field="address")
    return address


def _value(option: Option, given: Any) -> Any:
    if option.form == "switch":
        return given in (True, "true", "on", "1")
    if option.form == "number":
        return _number(option, given)
    value = str(given if given is not None else "").strip()[:500]
    if CONTROL.search(value):
        raise UserError(
            "bad_option",
            "No line breaks or control characters: {label}.",
            label=option.label,
            field=option.name,
        )
    if option.required and not value:
        raise UserError("missing", "Fill in: {label}.", label=option.label, field=option.name)
    if option.choices and value not in dict(option.choices):
        raise UserError(
            "bad_choice", "Choose one for: {label}.", label=option.label, field=option.name
        )
    return value


def _number(option: Option, given: Any) -> int:
    try:
        return int(given)
    except (TypeError, ValueError):
        raise UserError(
            "bad_number",
            "Write a whole number for: {label}.",
            label=option.label,
            field=option.name,
        ) from None


def _check_webhook(address: str, options: Options) -> None:
    """What a name leads to is checked at every delivery; what is plain already is said now."""
    if refused := webhook_addresses.refused_at_once(address):
        raise refused


KINDS: dict[str, EndpointKind] = {
    Endpoint.Kind.WEBHOOK: EndpointKind(
        Endpoint.Kind.WEBHOOK,
        ("https", "http"),
        "https://mes.plant.example/kintsugi",
        check=_check_webhook,
    ),
    Endpoint.Kind.CFX: EndpointKind(
        Endpoint.Kind.CFX,
        ("amqps", "amqp"),
        "amqps://broker.plant.example",
        CFX_OPTIONS,
        check_cfx,
    ),
    Endpoint.Kind.MQTT: EndpointKind(
        Endpoint.Kind.MQTT,
        ("mqtts", "mqtt"),
        "mqtts://broker.plant.example",
        MQTT_OPTIONS,
        check_mqtt,
    ),
}
