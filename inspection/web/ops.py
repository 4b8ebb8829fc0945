"""For the plant's IT: does it live, is it ready, how is it doing."""

import hmac
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from prometheus_client import CONTENT_TYPE_LATEST
from redis import Redis

from inspection.services.disk import free_gb

from . import prometheus
from .outage import server_error

__all__ = ["OPS_PATHS", "healthz", "metrics", "readyz", "server_error"]

OPS_PATHS = ("/healthz", "/readyz", "/metrics")
REDIS_TIMEOUT_S = 1.0
_migrated = False


@login_not_required
@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    """The process lives. Looks at nothing else: a database that is away is no reason to
    restart a web process."""
    return HttpResponse("ok\n", content_type="text/plain")


@login_not_required
@never_cache
def readyz(request: HttpRequest) -> JsonResponse:
    """Whether work can be done: 200, or 503 and what is missing."""
    checks = {"database": _check(_database), "redis": _check(ping_redis), "disk": _check(_disk)}
    if checks["database"]["ok"]:  # or it would be waited for twice
        checks["migrations"] = _check(_migrations)
    ready = all(check["ok"] for check in checks.values())
    return JsonResponse({"ready": ready, "checks": checks}, status=200 if ready else 503)


@login_not_required
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus text; with METRICS_TOKEN set, only for who sends it as a bearer token."""
    if not _may_scrape(request):
        return HttpResponse("a bearer token is needed\n", status=401, content_type="text/plain")
    return HttpResponse(prometheus.exposition(ping_redis), content_type=CONTENT_TYPE_LATEST)


def _may_scrape(request: HttpRequest) -> bool:
    token = settings.METRICS_TOKEN
    given = request.headers.get("Authorization", "")
    return not token or hmac.compare_digest(given.encode(), f"Bearer {token}".encode())


# --- the checks ------------------------------------------------------------------------


def _check(look: Callable[[], str]) -> dict[str, Any]:
    """How one check went: ok, what it found, how long it took. Details stay in the log: this
    page needs no sign-in, and an error may name hosts and users."""
    started = time.perf_counter()
    try:
        ok, found = True, look()
    except NotReady as reason:
        ok, found = False, str(reason)
    except Exception as error:
        ok, found = False, f"does not answer ({type(error).__name__})"
    return {"ok": ok, "found": found, "ms": round((time.perf_counter() - started) * 1000, 1)}


class NotReady(Exception):
    """A check that failed, in words that may be shown."""


def _database() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return connection.vendor


def _migrations() -> str:
    global _migrated  # once applied they stay applied while this process runs
    if not _migrated:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
        if missing:
            raise NotReady(f"{len(missing)} not applied; run manage.py migrate")
        _migrated = True
    return "applied"


def ping_redis() -> str:
    """Ask Redis whether it lives. Raises RedisError after a second at most."""
    client = Redis.from_url(
        str(settings.CACHES["default"]["LOCATION"]),
        socket_timeout=REDIS_TIMEOUT_S,
        socket_connect_timeout=REDIS_TIMEOUT_S,
    )
    with client:
        client.ping()
    return "answers"


def _disk() -> str:
    free = free_gb()
    if free < settings.MIN_FREE_GB:
        raise NotReady(f"{free:.1f} GB free, {settings.MIN_FREE_GB:g} GB needed")
    return f"{free:.1f} GB free"
