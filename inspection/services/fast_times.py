"""How long single units take, as histograms for Prometheus.

Workers answer no scrapes, so they count in Redis, which every web process reads. Without Redis
nothing is counted; a Redis that was emptied starts again at zero, as a counter may.
"""

import logging
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from django.conf import settings
from redis import Redis
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

STAGES = ("queue", "infer", "total")
BOUNDS_S = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
KEY = "kintsugi:fast-times"
TIMEOUT_S = 1.0


@dataclass(frozen=True)
class Histogram:
    """buckets: upper bound in seconds (as Prometheus writes it) and how many are below, ending
    with +Inf; total_s: the sum of all seconds."""

    buckets: list[tuple[str, float]]
    total_s: float


def note(timing_ms: Mapping[str, int | None]) -> None:
    """Count one unit by its times in milliseconds, see STAGES; what is not known is left out."""
    try:
        with _redis().pipeline(transaction=False) as pipe:
            for stage in STAGES:
                if (ms := timing_ms.get(stage)) is not None:
                    pipe.hincrby(KEY, f"{stage}:{bisect_left(BOUNDS_S, ms / 1000)}", 1)
                    pipe.hincrby(KEY, f"{stage}:ms", ms)
            pipe.execute()
    except (RedisError, OSError) as error:
        log.warning("the times of a single unit were not counted: %s", error)


def histograms() -> dict[str, Histogram]:
    """By stage. Raises RedisError or OSError where Redis is away."""
    raw = _redis().hgetall(KEY)
    counted = {key.decode(): int(value) for key, value in raw.items()}  # type: ignore[union-attr]
    return {stage: _histogram(counted, stage) for stage in STAGES}


def _histogram(counted: Mapping[str, int], stage: str) -> Histogram:
    below, buckets = 0, []
    for place, bound in enumerate((*(str(b) for b in BOUNDS_S), "+Inf")):
        below += counted.get(f"{stage}:{place}", 0)
        buckets.append((bound, float(below)))
    return Histogram(buckets, counted.get(f"{stage}:ms", 0) / 1000)


@cache
def _redis() -> Redis:
    return Redis.from_url(
        str(settings.CACHES["default"]["LOCATION"]),
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
    )
