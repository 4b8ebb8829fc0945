"""A small MES: it receives verdicts by webhook, keeps each once, and finds what it lost.

    python simulated_mes.py https://kintsugi.plant.example kin_… whsec_… 8080

It listens on the port, prints every verdict, and every minute asks for what changed, as if a
webhook had been lost. The tests of Kintsugi use the same class.
"""

import json
import sys
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from mes_client import Client, verify

LARGEST = 100_000  # bytes of a webhook: they have less than 20 kB
EVERY_S = 60


class Mes:
    """`parts` holds what is known of each part by its id, the newest state only."""

    def __init__(self, client: Client, secret: str) -> None:
        self.client, self.secret = client, secret
        self.parts: dict[str, dict[str, Any]] = {}
        self.heard: set[str] = set()  # webhook-id: the same over every repetition
        self.refused = 0
        self.seen_until = datetime.now(UTC)
        self._lock = threading.Lock()

    # --- what comes by webhook -----------------------------------------------------------

    def receive(self, headers: dict[str, str], body: bytes) -> int:
        """The status to answer: 204 taken (or known already), 400 not genuine."""
        try:
            verify(self.secret, headers, body)
        except ValueError:
            self.refused += 1
            return 400
        event = json.loads(body)
        message = {name.lower(): value for name, value in headers.items()}["webhook-id"]
        with self._lock:
            fresh = message not in self.heard
            self.heard.add(message)
        if fresh and event["type"] in ("inspection.completed", "review.recorded"):
            self.keep(event["data"])
        return 204

    def keep(self, part: dict[str, Any]) -> bool:
        """Note a part unless something newer is known of it; True where it was news."""
        with self._lock:
            known = self.parts.get(part["id"])
            if known and known["updated_at"] >= part["updated_at"]:
                return False
            self.parts[part["id"]] = part
            return True

    # --- what did not come ---------------------------------------------------------------

    def reconcile(self) -> int:
        """Ask for everything that changed since the last time; returns how much was news."""
        news = 0
        for part in self.client.changed_since(self.seen_until):
            news += self.keep(part)
            changed = datetime.fromisoformat(part["updated_at"])
            self.seen_until = max(self.seen_until, changed)
        return news

    def may_go_on(self, serial_number: str) -> bool:
        """Whether the line may move this part on: only where its last verdict is a pass that
        needs nobody, or a person decided so. No verdict is no pass."""
        known = [one for one in self.parts.values() if one["serial_number"] == serial_number]
        last = max(known, key=lambda one: one["updated_at"], default=None)
        if last is None or last["result"] is None:
            return False
        if last["verification"] in ("DefectRejected", "DefectAccepted"):
            return True
        said = (last["result"], last["disposition"], last["verification"])
        return said == ("Passed", "auto", "NotVerifiedYet")


def server(mes: Mes, port: int = 0) -> ThreadingHTTPServer:
    """Listens for webhooks on this machine; port 0 takes a free one."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            if length > LARGEST:
                self.send_error(413)
                return
            status = mes.receive(dict(self.headers), self.rfile.read(length))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Says nothing of each request."""

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


def main() -> None:
    url, key, secret, port = sys.argv[1:5]
    mes = Mes(Client(url, key), secret)
    threading.Thread(target=server(mes, int(port)).serve_forever, daemon=True).start()
    while True:
        time.sleep(EVERY_S)
        lost = mes.reconcile()
        print(f"{len(mes.parts)} parts known, {lost} of them only now, {mes.refused} refused")


if __name__ == "__main__":
    main()
