"""AMQP 1.0: a connection to a broker, over which envelopes go out and come in.

Everything here blocks for PATIENCE seconds at most and raises Lost when the broker is not there.
Needs the extra `cfx`.
"""

import logging
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from uuid import uuid4

from proton import ConnectionException, Delivery, Message, ProtonException, SSLDomain, Timeout
from proton.utils import BlockingConnection, LinkDetached

from .envelopes import CONTENT_TYPE, Envelope
from .options import CfxOptions

PATIENCE = 10.0  # seconds
GOODBYE = 1.0
logging.getLogger("proton").setLevel(logging.CRITICAL)  # what it reports is raised as Lost
PREFETCHED = 10
MOST_BYTES = 1_000_000  # of a request: those that CFX knows have some hundred
MOST_SENDERS = 50
Proton = Any  # its classes: the library may be missing where types are checked
VERDICTS: dict[Proton, str] = {
    Delivery.REJECTED: "rejected",
    Delivery.RELEASED: "released: nothing takes messages at that address",
    Delivery.MODIFIED: "not taken",
}


class Lost(Exception):
    """The broker cannot be reached, or went away; the message says why."""


class Refused(Exception):
    """The broker is there and did not take a message."""


class Link:
    """One connection. Not for more than one thread."""

    def __init__(self, options: CfxOptions) -> None:
        self._options = options
        self._connection: Proton = None
        self._sender: Proton = None
        self._receiver: Proton = None
        self._answering: dict[str, Proton] = {}

    def open(self) -> None:
        """Connect, and attach to the addresses of the endpoint."""
        options = self._options
        with _lost(f"{options.server.host}:{options.server.port}"):
            self._connection = self._connect()
            self._sender = self._connection.create_sender(options.address, name=_name())
            if options.request_address:
                self._receiver = self._connection.create_receiver(
                    options.request_address, credit=PREFETCHED, name=_name()
                )

    def send(self, envelopes: Sequence[Envelope]) -> None:
        """All of them, in order; returns when the broker has accepted each. Raises Refused."""
        if envelopes:
            with _lost("sending"):
                _send(self._needed(), self._sender, [message_of(one) for one in envelopes])

    def answer(self, envelope: Envelope, address: str) -> None:
        """One message to an address of its own. Raises Refused, also where there is no such
        address."""
        connection = self._needed()
        with _lost("answering"):
            try:
                if address not in self._answering:
                    self._forget_senders()
                    self._answering[address] = connection.create_sender(address, name=_name())
                _send(connection, self._answering[address], [message_of(envelope)])
            except LinkDetached as error:
                self._answering.pop(address, None)
                raise Refused(str(error)) from error

    def receive(self, handle: Callable[[bytes, str | None], None]) -> int:
        """Hand over what has come in, with its reply-to, and take it off the broker after that;
        a few at a time, so that events go on; returns how many. What `handle` raises leaves the
        message with the broker."""
        done = 0
        while done < PREFETCHED and (message := self._next()) is not None:
            with _settled(self._receiver):
                handle(_text(message), message.reply_to)
            done += 1
        return done

    def close(self) -> None:
        connection, self._connection = self._connection, None
        self._sender = self._receiver = None
        self._answering = {}
        if connection is not None:
            connection.timeout = connection.container.timeout = GOODBYE
            with suppress(Exception):  # what is gone need not be told goodbye
                connection.close()

    def _connect(self) -> Proton:
        options = self._options
        scheme = "amqps" if options.server.tls else "amqp"
        more: dict[str, Proton] = (
            {"virtual_host": options.virtual_host} if options.virtual_host else {}
        )
        if options.user:
            more |= {"user": options.user, "password": options.password}
        return BlockingConnection(
            f"{scheme}://{_bracketed(options.server.host)}:{options.server.port}",
            timeout=PATIENCE,
            ssl_domain=_tls(options.ca_file) if options.server.tls else None,
            heartbeat=2 * PATIENCE,  # AMQP's own: a dead wire shows within this time
            allowed_mechs="PLAIN" if options.user else "ANONYMOUS",
            **more,
        )

    def _needed(self) -> Proton:
        if self._connection is None:
            raise Lost("not connected")
        return self._connection

    def _next(self) -> Proton | None:
        """Let the connection work for a moment; a message, if one is there."""
        connection = self._needed()
        with _lost("listening"):
            if self._receiver is None:
                with suppress(Timeout):
                    connection.wait(lambda: False, timeout=0.01)
                _check(connection)
                return None
            try:
                return self._receiver.receive(timeout=0.01)
            except Timeout:
                _check(connection)
                return None
            except IndexError:  # the connection ended while it waited
                raise Lost("the broker closed the connection") from None

    def _forget_senders(self) -> None:
        """Who asks under ever new names does not fill the connection with links."""
        if len(self._answering) >= MOST_SENDERS:
            for one in self._answering.values():
                one.close()
            self._answering = {}


def message_of(envelope: Envelope) -> Proton:
    """The envelope in one Data section, with AMQP's properties as CFX fills them."""
    message: Proton = Message(body=envelope.as_json(), inferred=True, durable=True)
    message.id = str(envelope.unique_id)
    message.address = envelope.target
    message.reply_to = envelope.source
    message.correlation_id = envelope.request_id
    message.content_type = CONTENT_TYPE
    message.subject = envelope.subject
    message.properties = envelope.properties()
    return message


def _name() -> str:
    """Of a link: proton makes it from the address, and no two links may have the same."""
    return str(uuid4())


def _text(message: Proton) -> bytes:
    """What the message holds; nothing, which is no envelope, where it is no text or too long."""
    body = message.body.encode() if isinstance(message.body, str) else message.body
    if not isinstance(body, bytes | bytearray | memoryview) or len(body) > MOST_BYTES:
        return b""  # bytes() of a number would be so many zeros
    return bytes(body)


def _send(connection: Proton, sender: Proton, messages: Sequence[Message]) -> None:
    """Send on, then wait for all: settled is not enough, each must have been accepted."""
    sent = [sender.link.send(one) for one in messages]
    connection.wait(lambda: all(one.settled for one in sent), timeout=PATIENCE, msg="sending")
    states = [one.remote_state for one in sent]
    for one in sent:
        one.settle()
    for state in states:
        if state in VERDICTS:
            raise Refused(f"the broker says {VERDICTS[state]}")
        if state != Delivery.ACCEPTED:  # the connection ended while it waited
            raise Lost("the connection ended before the broker accepted the message")


def _check(connection: Proton) -> None:
    if connection.disconnected:
        raise Lost(f"the broker is gone: {connection.disconnected}")


@contextmanager
def _settled(receiver: Proton) -> Iterator[None]:
    try:
        yield
    except BaseException:
        receiver.release()
        raise
    receiver.accept()


@contextmanager
def _lost(what: str) -> Iterator[None]:
    """Every way in which a connection can fail, under one name."""
    try:
        yield
    except LinkDetached as error:
        raise Lost(f"{what}: {error}") from error
    except (ConnectionException, Timeout, ProtonException, OSError) as error:
        raise Lost(f"{what}: {error or type(error).__name__}") from error


def _tls(ca_file: str) -> Proton:
    domain = SSLDomain(SSLDomain.MODE_CLIENT)
    trusted = ca_file or ssl.get_default_verify_paths().cafile
    if trusted:
        domain.set_trusted_ca_db(trusted)
    domain.set_peer_authentication(SSLDomain.VERIFY_PEER_NAME)
    return domain


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
