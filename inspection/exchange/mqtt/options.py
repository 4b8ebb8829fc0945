"""What an MQTT endpoint must be told."""

from dataclasses import dataclass

from django.utils.translation import gettext_lazy as _

from inspection.exchange.options import (
    CA_FILE,
    USER,
    Option,
    Server,
    read_options,
    read_server,
    secret_of,
)
from inspection.models import Endpoint

PLAIN, TLS = ("mqtt", 1883), ("mqtts", 8883)
ADDRESS_EXAMPLE = "mqtts://broker.plant.example:8883"
OPTIONS = (
    Option(
        "prefix",
        _("Topic prefix"),
        default="kintsugi",
        required=True,
        help=_("the first levels of every topic"),
        pattern=r"[^/+#]+(/[^/+#]+)*",
        example="plant1/kintsugi",
    ),
    Option(
        "client_id",
        _("Client identifier"),
        help=_("unique at the broker; empty: made from this endpoint's key"),
        pattern=r"[A-Za-z0-9_.:-]{1,64}",
        example="kintsugi-line1",
    ),
    Option(
        "keepalive_s",
        _("Seconds until a silent connection counts as lost"),
        kind="number",
        default=30,
        least=5,
        most=600,
    ),
    USER,
    CA_FILE,
)


@dataclass(frozen=True)
class MqttOptions:
    """An endpoint's options, checked."""

    server: Server
    password: str
    prefix: str
    client_id: str
    keepalive_s: float
    user: str
    ca_file: str

    @classmethod
    def of(cls, endpoint: Endpoint) -> "MqttOptions":
        """Raises UserError naming what is wrong."""
        server = read_server(endpoint.address, plain=PLAIN, tls=TLS)
        given = read_options(OPTIONS, endpoint.options)
        given["client_id"] = given["client_id"] or f"kintsugi-{endpoint.pk.hex}"
        return cls(server=server, password=secret_of(endpoint), **given)
