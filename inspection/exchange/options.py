"""What a kind of endpoint must be told: one place for its form, its checks and its courier."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from inspection.errors import UserError
from inspection.models import Endpoint


@dataclass(frozen=True)
class Option:
    """One field of the form and one key of `Endpoint.options`."""

    name: str
    label: str | Promise
    kind: str = "text"  # text | number | flag
    default: str | float | bool = ""
    required: bool = False
    help: str | Promise = ""
    least: float = 0  # of a number
    most: float = 0
    pattern: str = ""  # what a text must match
    example: str = ""

    def read(self, given: Mapping[str, Any]) -> str | float | bool:
        """The value, or the default. Raises UserError naming the option."""
        value = given.get(self.name, self.default)
        if self.kind == "flag":
            return value in (True, "on", "true", "True", "1", 1)
        if self.kind == "number":
            return self._number(value)
        return self._text(value)

    def _number(self, value: Any) -> float:
        try:
            number = float(self.default if value in ("", None) else value)
        except (TypeError, ValueError):
            number = float("nan")
        if not self.least <= number <= self.most:
            raise self._wrong(f"Give a number from {self.least:g} to {self.most:g}.")
        return number

    def _text(self, value: Any) -> str:
        text = str(value if value is not None else "").strip()
        if not text and self.required:
            raise self._wrong(f"This is needed, for example {self.example}.")
        if text and self.pattern and not re.fullmatch(self.pattern, text):
            raise self._wrong(f"Write it like {self.example}.")
        if len(text) > 300 or any(ord(sign) < 32 for sign in text):
            raise self._wrong("At most 300 characters on one line.")
        return text

    def _wrong(self, remedy: str) -> UserError:
        return UserError("bad_option", remedy, field=self.name)


def read_options(options: Sequence[Option], given: Mapping[str, Any]) -> dict[str, Any]:
    """Every option with its value. Raises UserError naming the first that is wrong."""
    return {one.name: one.read(given) for one in options}


@dataclass(frozen=True)
class Server:
    """A broker's address, taken apart."""

    host: str
    port: int
    tls: bool


def read_server(address: str, *, plain: tuple[str, int], tls: tuple[str, int]) -> Server:
    """The host and port of `address`; `plain` and `tls` are the schemes with their ports.

    Raises UserError for another scheme, and for a name or password in the address: those have
    fields of their own, and the password is never shown again.
    """
    schemes = dict((plain, tls))
    try:
        parts = urlsplit(address.strip())
        port = parts.port
    except ValueError:
        raise _bad_address("The port must be a number.", plain, tls) from None
    if parts.scheme not in schemes or not parts.hostname:
        raise _bad_address("", plain, tls)
    if parts.username or parts.password:
        raise _bad_address("User and password have fields of their own.", plain, tls)
    return Server(parts.hostname, port or schemes[parts.scheme], parts.scheme == tls[0])


def _bad_address(why: str, plain: tuple[str, int], tls: tuple[str, int]) -> UserError:
    example = f"Write {tls[0]}://host:{tls[1]} or {plain[0]}://host:{plain[1]}."
    return UserError("bad_address", f"{why} {example}".strip(), field="address")


def secret_of(endpoint: Endpoint) -> str:
    """The newest secret, here a broker's password; empty where there is none."""
    return str(endpoint.secrets[0]["secret"]) if endpoint.secrets else ""


USER = Option("user", _("User"), help=_("of the broker; the password is the endpoint's secret"))
CA_FILE = Option(
    "ca_file",
    _("File of the broker's certificate authority"),
    help=_("on this server, PEM; empty: those that the system trusts"),
    example="/etc/kintsugi/broker-ca.pem",
    pattern=r"/.+",
)
