"""What the courier of a CFX endpoint reads from its row."""

from dataclasses import dataclass

from inspection.exchange.options import Server, read_options, secret_of
from inspection.models import Endpoint


@dataclass(frozen=True)
class CfxOptions:
    """An endpoint's options, checked; their fields are in `services.endpoint_kinds`."""

    server: Server
    password: str
    handle: str
    address: str
    target: str
    request_address: str
    reply_address: str
    heartbeat_s: int
    may_activate: bool
    reviewer: str
    virtual_host: str
    user: str
    ca_file: str

    @classmethod
    def of(cls, endpoint: Endpoint) -> "CfxOptions":
        """Raises UserError naming what is wrong."""
        server, given = read_options(endpoint)
        return cls(server=server, password=secret_of(endpoint), **given)

    @property
    def network_uri(self) -> str:
        """Where others find us: the broker, without user or password."""
        scheme = "amqps" if self.server.tls else "amqp"
        return f"{scheme}://{self.server.host}:{self.server.port}/"

    def reply_to(self, asker: str, own: str | None) -> str:
        """Where an answer for `asker` goes; `own` is the request's reply-to, which CFX fills
        with a handle and some clients with an address."""
        if own and own.startswith("/"):
            return own
        return self.reply_address.replace("{handle}", asker)
