"""What an MES needs of Kintsugi, in one file and with nothing but Python: submit a part, wait for
its verdict, receive and verify webhooks, and find what was lost.

    client = Client("https://kintsugi.plant.example", "kin_…")
    picture = client.send_picture("part.png", content)
    part = client.submit({"external_id": "MES-1", "station_id": "AOI-1", "serial_number": "SN1",
                          "recipe": {"name": "BOARD-A"}, "images": [picture["id"]]}, wait_s=3)
    part = client.wait(part["id"], most_s=30)

Rules that it keeps, and yours should: a key for every submission, made before the first try and
used again for every repetition; no verdict is never a pass; a webhook without a valid signature
is thrown away; and what the webhook did not bring is asked for by `updated_since`.
"""

import base64
import hashlib
import hmac
import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

# The time of a change is written before others can see the change, by the clock of whichever
# server wrote it: ask again from before, and keep parts by their id.
OVERLAP = timedelta(seconds=60)
TOO_OLD_S = 300  # of a webhook: an old one may be an attacker's copy
TRIES, PAUSE_S = 5, 0.5
BROKEN = (OSError, http.client.HTTPException)  # nobody answered, or only half an answer came
PASSING = (429, 500, 502, 503, 504)  # what the same request may overcome a moment later


class Refused(Exception):
    """An answer of 400 and above: `problem` says what was wrong and how to mend it."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(f"{status}: {problem.get('detail', '')}")
        self.status, self.problem = status, problem

    @property
    def passing(self) -> bool:
        """Whether asking the same again may help. A 409 is for good, but for one: the first
        request with this key is still being received."""
        return self.status in PASSING or self.problem.get("code") == "still_receiving"


class Client:
    """Speaks to /api/v1/ with one key. Raises Refused, or one of BROKEN where nobody answers."""

    def __init__(self, url: str, key: str, timeout_s: float = 20) -> None:
        self.url, self.key, self.timeout_s = url.rstrip("/"), key, timeout_s

    # --- one request ---------------------------------------------------------------------

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Send JSON, return JSON. `path` may be a whole address, as `next` of a list is."""
        content = None if body is None else json.dumps(body).encode()
        return self._send(method, path, content, {"Content-Type": "application/json", **headers})

    def _send(self, method: str, path: str, content: bytes | None, headers: dict[str, str]) -> Any:
        address = path if path.startswith("http") else f"{self.url}/api/v1/{path}"
        headers = {**headers, "Authorization": f"Bearer {self.key}"}
        request = urllib.request.Request(address, content, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=self.timeout_s) as answer:
                text = answer.read()
                return json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            raise Refused(error.code, _problem(error.read())) from error

    def send_picture(self, name: str, content: bytes) -> dict[str, Any]:
        """Send a picture for a later submission. The same bytes are the same picture, so a
        repetition is harmless."""
        mark = uuid.uuid4().hex
        head = f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
        body = head.encode() + content + f"\r\n--{mark}--\r\n".encode()
        kind = {"Content-Type": f"multipart/form-data; boundary={mark}"}
        return dict(self._send("POST", "images", body, kind))

    # --- a verdict -----------------------------------------------------------------------

    def submit(self, fields: dict[str, Any], *, wait_s: int = 3, key: str = "") -> dict[str, Any]:
        """Ask about one part. Tried again with the same key until the answer is known: whatever
        broke in between, there is one inspection. Without a verdict `result` is None."""
        key = key or str(uuid.uuid4())
        headers = {"Idempotency-Key": f'"{key}"', "Prefer": f"wait={wait_s}"}
        for left in reversed(range(TRIES)):
            try:
                return dict(self.ask("POST", "inspections", fields, **headers))
            except Refused as refused:
                if left == 0 or not refused.passing:
                    raise
            except BROKEN:
                if left == 0:
                    raise
            time.sleep(PAUSE_S * (TRIES - left))
        raise AssertionError("unreachable")

    def wait(self, inspection: str, *, most_s: float = 30) -> dict[str, Any]:
        """Ask until there is a verdict, whatever breaks meanwhile. After `most_s` the part is told
        as it is: without a result, which is no pass. Raises where the last answer was none."""
        end = time.monotonic() + most_s
        while True:
            last = time.monotonic() > end
            try:
                part = dict(self.ask("GET", f"inspections/{inspection}"))
                if part["result"] or last:
                    return part
            except Refused as refused:
                if last or not refused.passing:
                    raise
            except BROKEN:
                if last:
                    raise
            time.sleep(PAUSE_S)

    # --- what was lost ---------------------------------------------------------------------

    def changed_since(self, moment: datetime) -> Iterator[dict[str, Any]]:
        """Every part of production that got a verdict or a review since then, oldest change
        first; some come twice, so keep them by `id`. `moment`: the newest `updated_at` that you
        know, not a time of your own clock."""
        since = (moment.astimezone(UTC) - OVERLAP).isoformat()
        address = "inspections?" + urllib.parse.urlencode({"updated_since": since, "limit": 500})
        while address:
            page = self.ask("GET", address)
            yield from page["results"]
            address = page["next"]


def _problem(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"detail": text[:200].decode(errors="replace")}


# --- webhooks -------------------------------------------------------------------------------


def verify(secret: str, headers: dict[str, str], body: bytes, now: float | None = None) -> None:
    """Raise ValueError unless `body` was signed with `secret` (whsec_…) a short time ago.

    Standard Webhooks 1.0.0: HMAC with SHA-256 over `id.timestamp.body`. The header may name
    several signatures while a secret is rotated; one that fits is enough.
    """
    found = {name.lower(): value for name, value in headers.items()}
    try:
        message, at = found["webhook-id"], int(found["webhook-timestamp"])
        signatures = found["webhook-signature"].split()
    except (KeyError, ValueError) as error:
        raise ValueError("the webhook's headers are missing") from error
    if abs((time.time() if now is None else now) - at) > TOO_OLD_S:
        raise ValueError("the webhook is too old")
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = hmac.new(key, f"{message}.{at}.".encode() + body, hashlib.sha256).digest()
    wanted = "v1," + base64.b64encode(mac).decode()
    if not any(hmac.compare_digest(wanted, one) for one in signatures):
        raise ValueError("the webhook's signature is wrong")
