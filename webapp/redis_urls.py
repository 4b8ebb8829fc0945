"""One REDIS_URL, two spellings: Celery says `redis+socket://`, redis-py says `unix://`."""

import hashlib
import os
import tempfile
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

SOCKET_SCHEMES = ("unix", "redis+socket")
# The kernel's limit for a unix socket's path is 108 bytes on Linux, 104 elsewhere.
LONGEST_SOCKET_PATH = 100


def socket_path(var: Path) -> Path:
    """The embedded Redis' socket: beside the data, or in the temporary folder when too deep."""
    beside = var / "redis" / "redis.sock"
    if len(os.fsencode(beside)) <= LONGEST_SOCKET_PATH:
        return beside
    mark = hashlib.sha256(os.fsencode(var)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"kintsugi-{os.getuid()}-{mark}" / "redis.sock"


def socket_url(path: Path) -> str:
    """The address of a Redis behind the unix socket `path`."""
    return f"redis+socket://{quote(str(path))}"


def broker_url(url: str) -> str:
    """`url` as Celery wants it."""
    parts = urlsplit(url)
    if parts.scheme not in SOCKET_SCHEMES:
        return url
    number = _database_number(parts.query)
    return f"redis+socket://{parts.path}" + (f"?virtual_host={number}" if number else "")


def client_url(url: str) -> str:
    """`url` as redis-py, channels-redis and Django's cache want it."""
    parts = urlsplit(url)
    if parts.scheme not in SOCKET_SCHEMES:
        return url
    number = _database_number(parts.query)
    return f"unix://{parts.path}" + (f"?db={number}" if number else "")


def socket_of(url: str) -> Path | None:
    """The unix socket that `url` names; None for a Redis on a network port."""
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme in SOCKET_SCHEMES else None


def _database_number(query: str) -> str:
    fields = parse_qs(query)
    return (fields.get("virtual_host") or fields.get("db") or [""])[0]
