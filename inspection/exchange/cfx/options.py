"""What a CFX endpoint must be told."""

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

PLAIN, TLS = ("amqp", 5672), ("amqps", 5671)
ADDRESS_EXAMPLE = "amqps://broker.plant.example:5671"
# IPC-2591 asks for a heartbeat at least every five minutes.
OPTIONS = (
    Option(
        "handle",
        _("CFX handle"),
        required=True,
        help=_("vendor, model and serial number of this endpoint, unique in the plant"),
        pattern=r"[\w-]+(\.[\w-]+){2,}",
        example="Kintsugi.Inspection.LINE1",
    ),
    Option(
        "address",
        _("Where messages go"),
        required=True,
        help=_("an address of the broker: a queue or an exchange"),
        example="/exchange/cfx/kintsugi",
    ),
    Option("target", _("Handle of the receiver"), help=_("empty: everybody")),
    Option(
        "request_address",
        _("Where requests come from"),
        help=_("a queue of the broker; empty: no requests are answered"),
        example="/amq/queue/kintsugi.requests",
    ),
    Option(
        "reply_address",
        _("Where answers go"),
        default="/amq/queue/{handle}",
        help=_("{handle} is who asked; a request with a reply-to of its own is answered there"),
        example="/amq/queue/{handle}",
    ),
    Option(
        "heartbeat_s",
        _("Seconds between heartbeats"),
        kind="number",
        default=60,
        least=1,
        most=300,
    ),
    Option(
        "may_activate",
        _("ActivateRecipe may choose the model that judges"),
        kind="flag",
        default=False,
        help=_("among models that judge now or judged before"),
    ),
    Option(
        "reviewer",
        _("User who records what a repair station verified"),
        help=_("empty: incoming verification states are not taken over"),
    ),
    Option("virtual_host", _("Virtual host"), help=_("of RabbitMQ 3.x: vhost:name; mostly empty")),
    USER,
    CA_FILE,
)


@dataclass(frozen=True)
class CfxOptions:
    """An endpoint's options, checked."""

    server: Server
    password: str
    handle: str
    address: str
    target: str
    request_address: str
    reply_address: str
    heartbeat_s: float
    may_activate: bool
    reviewer: str
    virtual_host: str
    user: str
    ca_file: str

    @classmethod
    def of(cls, endpoint: Endpoint) -> "CfxOptions":
        """Raises UserError naming what is wrong."""
        server = read_server(endpoint.address, plain=PLAIN, tls=TLS)
        given = read_options(OPTIONS, endpoint.options)
        return cls(server=server, password=secret_of(endpoint), **given)

    @property
    def network_uri(self) -> str:
        """Where others find us: the broker, without user or password."""
        scheme = TLS[0] if self.server.tls else PLAIN[0]
        return f"{scheme}://{self.server.host}:{self.server.port}/"

    def reply_to(self, asker: str, own: str | None) -> str:
        """Where an answer for `asker` goes; `own` is the request's reply-to, which CFX fills
        with a handle and some clients with an address."""
        if own and own.startswith("/"):
            return own
        return self.reply_address.replace("{handle}", asker)
