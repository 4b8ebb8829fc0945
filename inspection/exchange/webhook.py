"""Webhooks by Standard Webhooks 1.0.0: one signed POST per event.

How a request is made, and bounded in time, stands in `services.one_request`.
"""

import http.client
import json
import ssl
import time
from typing import Any, ClassVar
from urllib.parse import SplitResult, urlsplit

from inspection.models import Delivery, Endpoint
from inspection.services.one_request import exchanged, port_of
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
        self._secrets = endpoint.secrets  # others make another courier

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
            "webhook-signature": signature(in_force(self._secrets), message_id, now, body),
        }

    def _post(self, parts: SplitResult, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
        """Status and beginning of the answer. Raises TimeoutError when time is up."""
        until = time.monotonic() + TIMEOUT_S
        plain, host = parts.scheme != "https", parts.hostname or ""
        addresses = reachable(host, port_of(parts), seconds=TIMEOUT_S, plain=plain)
        with exchanged(
            "POST", parts, addresses, until=until, body=body, headers=headers, tls=self._tls
        ) as answer:
            return answer.status, answer.read(MOST_READ).decode("utf-8", "replace")


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
