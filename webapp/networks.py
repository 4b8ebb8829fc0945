"""Networks and stores as an administrator writes them down."""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured


def networks(words: Iterable[str]) -> tuple[IPv4Network | IPv6Network, ...]:
    """The networks of KINTSUGI_WEBHOOK_CIDRS. A bad one stops the start with a sentence."""
    try:
        return tuple(ip_network(word.strip()) for word in words if word.strip())
    except ValueError as error:
        raise ImproperlyConfigured(
            f"KINTSUGI_WEBHOOK_CIDRS: {error}. Write networks such as 10.20.0.0/16,192.168.7.4/32"
        ) from error


def stores(words: Iterable[str]) -> tuple[str, ...]:
    """The stores of KINTSUGI_IMAGE_STORES. A bad one stops the start with a sentence."""
    found = tuple(word.strip() for word in words if word.strip())
    for word in found:
        try:
            parts = urlsplit(word)
            usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            usable = False
        if not usable or parts.username or parts.query or parts.fragment:
            raise ImproperlyConfigured(
                f"KINTSUGI_IMAGE_STORES: {word} is no beginning of addresses. Write stores such as "
                "https://store.plant.example/aoi/,http://10.20.0.7:9000/pictures/"
            )
    return found
