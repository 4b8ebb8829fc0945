"""A small MES: it receives verdicts by webhook, keeps each once, and finds what it lost.

    python simulated_mes.py https://kintsugi.plant.example kin_… whsec_… 8080

It listens on the port, prints every verdict, and every minute asks for what changed, as if a
webhook had been lost. The tests of Kintsugi use the same class.
"""

import json
import sys
import threading
import time
from collections.abc import Collection
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from mes_client import BROKEN, Client, Refused, verify

LARGEST = 100_000  # bytes of a webhook: they have less than 20 kB
EVERY_S = 60


class Mes:
    """`parts` holds what is known of each part by its id, the newest state only."""

    def __init__(self, client: Client, secret: str) -> None:
        self.client, self.secret = client, secret
        self.parts: dict[str, dict[str, Any]] = {}
        self.heard: set[str] = set()  # webhook-id of what was kept: the same at every repetition
        self.refused = 0
        self.seen_until = datetime.now(UTC)
        self._lock = threading.Lock()

    # --- what comes by webhook -----------------------------------------------------------

    def receive(self, headers: dict[str, str], body: bytes) -> int:
        """The status to answer: 204 taken (or known already), 400 not genuine. Whatever goes
        wrong here is no 2xx, and the event comes again."""
        try:
            verify(self.secret, headers, body)
        except ValueError:
            self.refused += 1
            return 400
        event = json.loads(body)
        message = {name.lower(): value for name, value in headers.items()}["webhook-id"]
        if message in self.heard:
            return 204
        if event["type"] in ("inspection.completed", "review.recorded"):
            data = event["data"]  # a review brings the part beside it
            self.keep(data.get("inspection", data))
        self.heard.add(message)  # only now: what was not kept must come again
        return 204

    def keep(self, part: dict[str, Any]) -> bool:
        """Note a part unless something newer is known of it; True where it was news."""
        with self._lock:
            known = self.parts.get(part["id"])
            if known and _time(known["updated_at"]) >= _time(part["updated_at"]):
                return False
            self.parts[part["id"]] = part
            return True

    # --- what did not come ---------------------------------------------------------------

    def reconcile(self) -> int:
        """Ask for everything that changed since the last time; returns how much was news."""
        news = 0
        for part in self.client.changed_since(self.seen_until):
            news += self.keep(part)
            self.seen_until = max(self.seen_until, _time(part["updated_at"]))
        return news

    def may_go_on(self, serial_number: str, recipes: Collection[str] = ()) -> bool:
        """Whether the line may move this unit on: only where every viewpoint and position of it
        passes, and each of `recipes` has judged it. No verdict is no pass."""
        places: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
        with self._lock:
            known = list(self.parts.values())
        for one in known:
            # A trial, a golden set or a re-score by another model says nothing of this unit.
            if one["serial_number"] == serial_number and one["purpose"] == "production":
                recipe = one["recipe"]["name"]  # part number and viewpoint
                place = (recipe, one["side"], one["panel_id"], one["position_number"])
                places.setdefault(place, []).append(one)
        judged = {recipe for recipe, *_ in places}
        return bool(places) and judged.issuperset(recipes) and all(map(passes, places.values()))


def passes(seen: list[dict[str, Any]]) -> bool:
    """Of all that was asked about one place the newest counts (a retest after a repair), and
    beside it what a person has said of an older one since."""
    newest = max(seen, key=lambda one: _time(one["created_at"]))
    since = _time(newest["created_at"])
    later = [one for one in seen if one["reviewed_at"] and _time(one["reviewed_at"]) > since]
    return all(map(is_pass, [newest, *later]))


def is_pass(part: dict[str, Any]) -> bool:
    """A pass that needs nobody, or a person decided so. No verdict is no pass."""
    if part["result"] and part["verification"] in ("DefectRejected", "DefectAccepted"):
        return True
    said = (part["result"], part["disposition"], part["verification"])
    return said == ("Passed", "auto", "NotVerifiedYet")


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


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
        try:
            lost = mes.reconcile()
        except (Refused, *BROKEN) as error:
            print(f"asked in vain, again in {EVERY_S} s: {error}")
            continue
        print(f"{len(mes.parts)} parts known, {lost} of them only now, {mes.refused} refused")


if __name__ == "__main__":
    main()
