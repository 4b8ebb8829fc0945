"""One HTTP request to another machine, bounded in time whatever that machine does.

The connection is made to addresses that were checked before, with the host's name for TLS and the
Host header: a name that is resolved again may lead elsewhere. No redirect, no proxy, no second try
by a library. A watchdog shuts the connection when time is up.
"""

import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from urllib.parse import SplitResult


def port_of(parts: SplitResult) -> int:
    """What the address names, else its scheme's."""
    return parts.port or (443 if parts.scheme == "https" else 80)


@contextlib.contextmanager
def exchanged(
    method: str,
    parts: SplitResult,
    addresses: list[str],
    *,
    until: float,
    tls: ssl.SSLContext,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> Iterator[http.client.HTTPResponse]:
    """The answer, to be read inside; `until` is of the monotonic clock, for everything together.

    Raises TimeoutError when time is up, at the latest at the end, and OSError or HTTPException for
    what goes wrong on the way.
    """
    raw = _connect(addresses, port_of(parts), until)
    with raw, _watchdog(raw, until) as too_late:
        try:
            name = parts.hostname or ""
            plain = parts.scheme != "https"
            with raw if plain else tls.wrap_socket(raw, server_hostname=name) as sock:
                answer = _ask(sock, method, parts, body, headers or {})
                try:
                    yield answer
                finally:
                    answer.close()
        except (OSError, http.client.HTTPException):
            if too_late.is_set():
                raise TimeoutError from None
            raise
        if too_late.is_set():  # half an answer looks whole where its end is not announced
            raise TimeoutError


def _ask(
    sock: socket.socket,
    method: str,
    parts: SplitResult,
    body: bytes | None,
    headers: dict[str, str],
) -> http.client.HTTPResponse:
    sender = http.client.HTTPConnection(parts.hostname or "", parts.port)
    sender.sock = sock
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    sender.request(method, path, body, {**headers, "Host": parts.netloc})
    return sender.getresponse()


def _connect(addresses: list[str], port: int, until: float) -> socket.socket:
    """Connect to the first address that answers. Each has an equal share of the time that is
    left, so that one which swallows everything leaves some to the next."""
    problem: OSError = TimeoutError()
    for tried, address in enumerate(addresses):
        share = (until - time.monotonic()) / (len(addresses) - tried)
        try:
            sock = _connect_to(address, port, max(0.001, share))
        except OSError as error:
            problem = error
        else:
            sock.settimeout(max(0.001, until - time.monotonic()))
            return sock
    raise problem


def _connect_to(address: str, port: int, seconds: float) -> socket.socket:
    """Raises OSError, also where this machine does not speak that version of IP."""
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    try:
        sock.settimeout(seconds)
        sock.connect((address, port))
    except BaseException:
        sock.close()
        raise
    return sock


@contextlib.contextmanager
def _watchdog(raw: socket.socket, until: float) -> Iterator[threading.Event]:
    """Shut the connection at `until`. Timeouts of a socket begin anew with every byte, so a
    receiver that drips would never meet one. The twin outlives the wrapping by TLS."""
    twin, too_late = raw.dup(), threading.Event()

    def shut() -> None:
        too_late.set()
        with contextlib.suppress(OSError):
            twin.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(max(0.0, until - time.monotonic()), shut)
    timer.daemon = True
    timer.start()
    try:
        yield too_late
    finally:
        timer.cancel()
        timer.join()  # it may be shutting; nobody closes the twin meanwhile
        twin.close()
