"""Networks as an administrator writes them down."""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network

from django.core.exceptions import ImproperlyConfigured


def networks(words: Iterable[str]) -> tuple[IPv4Network | IPv6Network, ...]:
    """The networks of KINTSUGI_WEBHOOK_CIDRS. A bad one stops the start with a sentence."""
    try:
        return tuple(ip_network(word.strip()) for word in words if word.strip())
    except ValueError as error:
        raise ImproperlyConfigured(
            f"KINTSUGI_WEBHOOK_CIDRS: {error}. Write networks such as 10.20.0.0/16,192.168.7.4/32"
        ) from error
