"""What couriers of brokers read from their endpoint."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from inspection.models import Endpoint
from inspection.services.endpoint_kinds import KINDS


@dataclass(frozen=True)
class Server:
    """A broker's address, taken apart."""

    host: str
    port: int
    tls: bool


PORTS = {"amqp": 5672, "amqps": 5671, "mqtt": 1883, "mqtts": 8883}


def read_options(endpoint: Endpoint) -> tuple[Server, dict[str, Any]]:
    """The broker and every option of the kind, defaults for what is not kept: an endpoint may
    be older than an option. Raises UserError naming what could never work."""
    address, options = KINDS[endpoint.kind].checked(endpoint.address, endpoint.options)
    parts = urlsplit(address)
    port = parts.port or PORTS[parts.scheme]
    return Server(parts.hostname or "", port, parts.scheme in ("amqps", "mqtts")), options


def secret_of(endpoint: Endpoint) -> str:
    """The newest secret, here a broker's password; empty where there is none."""
    kept = endpoint.secrets
    return str(kept[0]["secret"]) if kept else ""
