"""What the courier of an MQTT endpoint reads from its row."""

from dataclasses import dataclass

from inspection.exchange.options import Server, read_options, secret_of
from inspection.models import Endpoint


@dataclass(frozen=True)
class MqttOptions:
    """An endpoint's options, checked; their fields are in `services.endpoint_kinds`."""

    server: Server
    password: str
    prefix: str
    client_id: str
    keepalive_s: int
    user: str
    ca_file: str

    @classmethod
    def of(cls, endpoint: Endpoint) -> "MqttOptions":
        """Raises UserError naming what is wrong."""
        server, given = read_options(endpoint)
        given["client_id"] = given["client_id"] or f"kintsugi-{endpoint.pk.hex}"
        return cls(server=server, password=secret_of(endpoint), **given)
