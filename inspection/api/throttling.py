"""So many requests a minute per key or person, told in every answer."""

import math
import time
from typing import Any

from django.conf import settings
from django.core.cache import cache
from redis.exceptions import RedisError
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from inspection.models import ApiKey

WINDOW_S = 60


class PerMinute(BaseThrottle):
    """A window of a minute that begins with the clock's. Counted in the cache by one atomic
    step; a cache that is away lets everything through, since verdicts matter more."""

    def allow_request(self, request: Request, view: Any) -> bool:
        quota: int = settings.API_RATE_PER_MINUTE
        now = time.time()
        self.left_s = WINDOW_S - now % WINDOW_S
        used = self._count(f"rate:{_who(request)}:{int(now // WINDOW_S)}")
        request._request.rate_left = max(0, quota - used)  # type: ignore[attr-defined]
        request._request.rate_reset_s = math.ceil(self.left_s)  # type: ignore[attr-defined]
        return used <= quota

    def wait(self) -> float:
        return self.left_s

    @staticmethod
    def _count(key: str) -> int:
        try:
            cache.add(key, 0, 2 * WINDOW_S)
            return int(cache.incr(key))
        except (RedisError, OSError, ValueError):
            return 0


def rate_headers(request: Any) -> dict[str, str]:
    """RateLimit headers of the request that was just counted; none where none was."""
    left = getattr(request, "rate_left", None)
    if left is None:
        return {}
    return {
        "RateLimit-Policy": f'"default";q={settings.API_RATE_PER_MINUTE};w={WINDOW_S}',
        "RateLimit": f'"default";r={left};t={request.rate_reset_s}',
    }


def _who(request: Request) -> str:
    if isinstance(request.auth, ApiKey):
        return f"key:{request.auth.pk}"
    return f"user:{request.user.pk}"
