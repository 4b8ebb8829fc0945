"""Webhooks by Standard Webhooks 1.0.0: one signed POST per event.

The host's name is resolved once and the connection made to that very address, with the name
for TLS and the Host header; no redirect, no proxy, no second try by a library. Everything
together may take TIMEOUT_S, whatever the receiver does: a watchdog shuts the connection.
"""

import contextlib
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any, ClassVar
from urllib.parse import SplitResult, urlsplit

from inspection.models import Delivery, Endpoint
from inspection.services.webhook_addresses import Forbidden, Unresolved, reachable
from inspection.services.webhook_signing import in_force, signature

from .couriers import Courier, Outcome

TIMEOUT_S = 15.0
LARGEST_BODY = 20_000  # bytes
MOST_READ = 4_000  # bytes of an answer; the log keeps its beginning
GONE = 410


class WebhookCourier(Courier):
    """A hanging receiver holds up one unit, not all: several are told at once."""

    parallel: ClassVar[int] = 8

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self._tls = ssl.create_default_context()

    def deliver(self, delivery: Delivery) -> Outcome:
        """POST the event and judge by the status."""
        parts = urlsplit(delivery.address or self.endpoint.address)
        body = body_of(delivery)
        try:
            status, answer = self._post(parts, body, self._headers(delivery, body))
        except (Forbidden, Unresolved) as error:
            return Outcome.failed(str(error))
        except TimeoutError:
            return Outcome.failed(f"No answer within {TIMEOUT_S:.0f} s.")
        except (OSError, http.client.HTTPException, ValueError) as error:
            return Outcome.failed(f"{type(error).__name__}: {error}")
        return _judged(status, answer, callback=bool(delivery.address))

    def _headers(self, delivery: Delivery, body: bytes) -> dict[str, str]:
        message_id, now = str(delivery.event_id), int(time.time())
        return {
            "Content-Type": "application/json",
            "User-Agent": "Kintsugi",
            "Connection": "close",
            "webhook-id": message_id,
            "webhook-timestamp": str(now),
            "webhook-signature": signature(in_force(self.endpoint.secrets), message_id, now, body),
        }

    def _post(self, parts: SplitResult, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
        """Status and beginning of the answer. Raises TimeoutError when time is up."""
        until = time.monotonic() + TIMEOUT_S
        plain, host = parts.scheme != "https", parts.hostname or ""
        port = parts.port or (80 if plain else 443)
        addresses = reachable(host, port, seconds=TIMEOUT_S, plain=plain)
        raw = _connect(addresses, port, until)
        with raw, _watchdog(raw, until) as too_late:
            try:
                sock = raw if plain else self._tls.wrap_socket(raw, server_hostname=host)
                with sock:
                    answer = _exchange(sock, parts, body, headers)
            except (OSError, http.client.HTTPException):
                if too_late.is_set():
                    raise TimeoutError from None
                raise
            if too_late.is_set():  # half an answer looks whole where its end is not announced
                raise TimeoutError
            return answer


def body_of(delivery: Delivery) -> bytes:
    """`{type, timestamp, data}` as UTF-8 JSON under 20 kB: the same bytes at every try. Where
    there are too many defects, only the strongest are named."""
    event = delivery.event
    # Members in one order: databases keep JSON in different ones, and tries must be alike.
    data = json.loads(json.dumps(event.payload, sort_keys=True))
    while True:
        said = {"type": event.type, "timestamp": event.created_at.isoformat(), "data": data}
        body = json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()
        if len(body) < LARGEST_BODY or not _halve_defects(data):
            return body


def _halve_defects(data: dict[str, Any]) -> bool:
    """Leave out the weaker half; False where there is none left."""
    if isinstance(data.get("inspection"), dict):
        data["inspection"] = data = dict(data["inspection"])
    defects = data.get("defects")
    if not defects:
        return False
    data["defects"] = defects[: len(defects) // 2]
    return True


def _judged(status: int, answer: str, *, callback: bool) -> Outcome:
    if 200 <= status < 300:
        return Outcome.ok(status_code=status, answer=answer)
    if status == GONE and not callback:
        said = "The receiver wants nothing any more (410)."
        return Outcome(False, said, status, answer, gone=True)
    if 300 <= status < 400:
        return Outcome.failed(
            f"The receiver redirects ({status}), which is not followed: correct the address.",
            status_code=status,
            answer=answer,
        )
    return Outcome.failed(
        f"The receiver answered {status}.",
        status_code=status,
        answer=answer,
        final=status == GONE,  # of one callback; the endpoint stays
    )


# --- the connection ----------------------------------------------------------------------


def _connect(addresses: list[str], port: int, until: float) -> socket.socket:
    """Connect to the first address that answers."""
    problem: OSError = TimeoutError()
    for address in addresses:
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        try:
            sock.settimeout(max(0.001, until - time.monotonic()))
            sock.connect((address, port))
        except OSError as error:
            sock.close()
            problem = error
        else:
            return sock
    raise problem


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


def _exchange(
    sock: socket.socket, parts: SplitResult, body: bytes, headers: dict[str, str]
) -> tuple[int, str]:
    """One request on a connection that is made."""
    sender = http.client.HTTPConnection(parts.hostname or "", parts.port)
    sender.sock = sock
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    sender.request("POST", path, body, {**headers, "Host": parts.netloc})
    answer = sender.getresponse()
    try:
        return answer.status, answer.read(MOST_READ).decode("utf-8", "replace")
    finally:
        answer.close()
