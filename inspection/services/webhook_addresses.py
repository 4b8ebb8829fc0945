"""Which addresses a webhook may reach. A name that is checked and then resolved again may lead
elsewhere, so what is checked here is what is connected to.
"""

import socket
import threading
from ipaddress import IPv4Address, IPv6Address, ip_address
from queue import Empty, Queue
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext_noop

from inspection.errors import UserError

Address = IPv4Address | IPv6Address
NAT64 = 0x0064_FF9B << 96  # RFC 6052: an IPv4 address in the last 32 bits


class Forbidden(Exception):
    """No address of the host may be reached; the message says which and what to do."""


class Unresolved(Exception):
    """The host's name leads nowhere now."""


def reachable(host: str, port: int, *, seconds: float, plain: bool) -> list[str]:
    """The addresses of `host` that may be connected to, in the resolver's order, resolved once.

    `plain`: without TLS, which only listed networks may have. Raises Forbidden, Unresolved.
    """
    found = resolved(host, port, seconds)
    allowed = [one for one in found if is_listed(one) or (not plain and is_public(one))]
    if not allowed:
        raise Forbidden(str(_refusal(host, found, plain)))
    return [str(one) for one in allowed]


def refused_at_once(url: str) -> UserError | None:
    """Why an address can never work, as far as that is known without asking for its name; else
    None. Without listed networks there is https only."""
    parts = urlsplit(url)
    plain, host = parts.scheme != "https", parts.hostname or ""
    try:
        found = [ip_address(host)]
    except ValueError:
        if plain and not settings.WEBHOOK_ALLOWED_CIDRS:
            return _not_allowed(
                gettext_noop("{host} is reached by https only. Write https:// in its address."),
                host=host,
            )
        return None
    allowed = is_listed(found[0]) or (not plain and is_public(found[0]))
    return None if allowed else _refusal(host, found, plain)


def is_listed(address: Address) -> bool:
    """Whether an administrator listed its network in KINTSUGI_WEBHOOK_CIDRS."""
    seen = _unwrapped(address)
    networks = settings.WEBHOOK_ALLOWED_CIDRS
    return any(seen.version == one.version and seen in one for one in networks)


def is_public(address: Address) -> bool:
    """Whether it belongs to the internet at large: not private, loopback, link-local, multicast,
    reserved, unspecified, shared (RFC 6598), or an IPv6 form of such an IPv4 address."""
    seen = _unwrapped(address)
    if seen.is_multicast or seen.is_reserved or seen.is_unspecified or seen.is_loopback:
        return False
    if isinstance(seen, IPv6Address) and seen.is_site_local:
        return False
    return seen.is_global


def _unwrapped(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, where it does (mapped, 6to4, NAT64)."""
    if isinstance(address, IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and int(address) >> 32 == NAT64 >> 32:
        inner = IPv4Address(int(address) & 0xFFFF_FFFF)
    if inner is None and int(address) >> 32 == 0 and int(address) > 1:  # deprecated ::a.b.c.d
        inner = IPv4Address(int(address))
    return inner or address


def resolved(host: str, port: int, seconds: float) -> list[Address]:
    """Ask the resolver once, in a thread that is left alone when it takes too long."""
    answer: Queue[list[Address] | OSError | UnicodeError] = Queue(1)

    def ask() -> None:
        try:
            rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            answer.put(error)
        else:
            found = dict.fromkeys(ip_address(str(row[4][0]).partition("%")[0]) for row in rows)
            answer.put(list(found))

    threading.Thread(target=ask, name="resolver", daemon=True).start()
    try:
        said = answer.get(timeout=max(seconds, 0.1))
    except Empty:
        raise Unresolved(f"The name {host} was not resolved within {seconds:.0f} s.") from None
    if isinstance(said, Exception):
        raise Unresolved(f"The name {host} cannot be resolved ({said}).")
    return said


def _refusal(host: str, found: list[Address], plain: bool) -> UserError:
    where = ", ".join(map(str, found)) or "nothing"
    if plain and all(map(is_public, found)):
        sentence = gettext_noop(
            "{host} ({where}) is reached by https only. Write https:// in its address."
        )
    else:
        sentence = gettext_noop(
            "{host} leads to {where}, which is not public. An administrator can allow its network: "
            "KINTSUGI_WEBHOOK_CIDRS."
        )
    return _not_allowed(sentence, host=host, where=where)


def _not_allowed(sentence: str, **values: object) -> UserError:
    return UserError("address_not_allowed", sentence, field="address", **values)
