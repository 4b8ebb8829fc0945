"""What Prometheus is told: the requests of this process, and how the whole plant stands."""

import os
import threading
import time
from collections.abc import Callable, Iterator

from django.db import DatabaseError, InterfaceError
from django.db.models import Count, Min, Model
from django.utils import timezone
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client import multiprocess as shared
from prometheus_client.core import REGISTRY, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from redis.exceptions import RedisError

from inspection.jobs.publish import TASKS
from inspection.models import Delivery, Endpoint, Inspection, JobState, UploadReceipt
from inspection.services import fast_times
from inspection.services.disk import GB, free_gb
from inspection.services.endpoint_lease import is_connected

KEEP_S = 10.0  # counting large tables more often than that helps nobody

Ping = Callable[[], str]


def exposition(ping: Ping) -> bytes:
    """Everything, as Prometheus text."""
    plant = CollectorRegistry()
    plant.register(_Plant(ping))
    return generate_latest(_of_requests()) + generate_latest(plant)


def _of_requests() -> CollectorRegistry:
    """This process's own, or all web processes' where they share PROMETHEUS_MULTIPROC_DIR."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    shared.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


class _Plant(Collector):
    def __init__(self, ping: Ping) -> None:
        self._ping = ping

    def describe(self) -> list[Metric]:
        """Nothing in advance: registering must not ask the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        yield _one("kintsugi_free_disk_bytes", "Free on the disk that holds the data.", _free())
        redis_up = self._redis()
        yield _one("kintsugi_redis_up", "Whether Redis answers.", float(redis_up))
        if redis_up:
            yield from _fast_units()
        try:
            counts = _counted()
        except (DatabaseError, InterfaceError):
            yield _one("kintsugi_database_up", "Whether the database answers.", 0.0)
            return
        yield _one("kintsugi_database_up", "Whether the database answers.", 1.0)
        yield from counts

    def _redis(self) -> bool:
        try:
            self._ping()
        except (RedisError, OSError):
            return False
        return True


def _fast_units() -> Iterator[Metric]:
    """What workers counted of units in the fast lane, by stage: queue, infer, total."""
    metric = HistogramMetricFamily(
        "kintsugi_unit_seconds",
        "Single units by stage: in the queue, inferring, in total.",
        labels=("stage",),
    )
    try:
        for stage, found in fast_times.histograms().items():
            metric.add_metric((stage,), found.buckets, found.total_s)
    except (RedisError, OSError):
        return
    yield metric


def _free() -> float:
    return free_gb() * GB


def _one(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)


# --- counted in the database -------------------------------------------------------------

_lock = threading.Lock()
_kept: tuple[float, list[Metric]] = (0.0, [])


def _counted() -> list[Metric]:
    global _kept
    with _lock:
        at, metrics = _kept
        if not metrics or time.monotonic() - at > KEEP_S:
            metrics = [*_jobs(), _inspections(), _receipts(), *_deliveries()]
            _kept = (time.monotonic(), metrics)
        return metrics


def forget() -> None:
    """Count anew at the next scrape."""
    global _kept
    _kept = (0.0, [])


def _jobs() -> list[Metric]:
    jobs = GaugeMetricFamily("kintsugi_jobs", "Jobs by kind and state.", labels=("kind", "state"))
    oldest = GaugeMetricFamily(
        "kintsugi_oldest_queued_seconds", "How long the oldest queued job waits.", labels=("kind",)
    )
    for model in TASKS:
        kind = str(model._meta.model_name)
        states = _count_by(model, "state")
        for state in JobState.values:
            jobs.add_metric((kind, state), states.get(state, 0))
        queued = model._default_manager.filter(state=JobState.QUEUED)
        since = queued.aggregate(since=Min("queued_at"))["since"]
        oldest.add_metric((kind,), (timezone.now() - since).total_seconds() if since else 0.0)
    return [jobs, oldest]


def _inspections() -> Metric:
    metric = GaugeMetricFamily(
        "kintsugi_inspections", "Inspections by verdict; empty: not yet.", labels=("verdict",)
    )
    for verdict, count in _count_by(Inspection, "verdict").items():
        metric.add_metric((verdict,), count)
    return metric


def _receipts() -> Metric:
    metric = GaugeMetricFamily(
        "kintsugi_upload_receipts", "Uploaded files by what became of them.", labels=("outcome",)
    )
    counts = _count_by(UploadReceipt, "outcome")
    for outcome in UploadReceipt.Outcome.values:
        metric.add_metric((outcome,), counts.get(outcome, 0))
    return metric


def _deliveries() -> list[Metric]:
    """What waits to leave, by endpoint, and whether somebody delivers there."""
    waiting = GaugeMetricFamily(
        "kintsugi_deliveries_waiting", "Events on their way out.", labels=("endpoint", "kind")
    )
    up = GaugeMetricFamily(
        "kintsugi_endpoint_connected",
        "Whether an exchange process is connected to it.",
        labels=("endpoint", "kind"),
    )
    rows = Delivery.objects.filter(state=Delivery.State.WAITING).order_by()
    counts = dict(rows.values_list("endpoint").annotate(Count("pk")))
    for one in Endpoint.objects.all():
        waiting.add_metric((one.name, one.kind), counts.get(one.pk, 0))
        up.add_metric((one.name, one.kind), float(is_connected(one)))
    return [waiting, up]


def _count_by(model: type[Model], field: str) -> dict[str, int]:
    rows = model._default_manager.order_by().values_list(field).annotate(count=Count("pk"))
    return dict(rows.values_list(field, "count"))
