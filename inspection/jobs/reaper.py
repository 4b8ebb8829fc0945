"""What a dead worker, a lost message or a dead broker left behind is put right here.

Runs once a minute. Each step is one conditional UPDATE per row, so that two reapers, or a
reaper and a worker that comes back, cannot both act on it.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from inspection.models import Job, JobState, Lane, ScoringChunk

from .claim import NOT_HELD, queued_again
from .publish import BROKER_DOWN, QUEUES, TASKS, publish, waiting_messages

log = logging.getLogger(__name__)

Settle = Callable[[Any], None]
"""What else must happen, in the same transaction, when the reaper moved a job."""

UNIT_QUIET_S = 2.0  # so long whoever submitted a unit has time to publish it
WAITING = (JobState.QUEUED, JobState.PAUSED)
GIVEN_UP = (
    "The worker on this job died {attempts} times. The log of the worker says why; when that is "
    "mended, start it again."
)


def reap(settle: Mapping[type[Job], Settle] | None = None) -> dict[str, int]:
    """Put right every kind of job; returns how many rows each step moved."""
    moved = {"expired": 0, "cancelled": 0, "published": 0}
    for model in TASKS:
        after = (settle or {}).get(model, _nothing)
        moved["expired"] += reap_expired(model, after)
        moved["cancelled"] += cancel_queued(model, after)
        moved["published"] += publish_forgotten(model)
    return moved


def reap_expired(model: type[Job], settle: Settle) -> int:
    """Running rows whose lease ran out, or that have none, are queued again or given up."""
    expired = Q(lease_expires_at__lt=timezone.now()) | Q(lease_expires_at=None)
    rows = model._default_manager.filter(expired, state=JobState.RUNNING)
    return sum(_safely(_put_back, job, settle) for job in rows)


def _safely(move: Callable[[Any, Settle], bool], job: Job, settle: Settle) -> bool:
    """One row that cannot be moved must not keep all the others where they are."""
    try:
        return move(job, settle)
    except Exception:
        log.exception("%s %s cannot be put right", type(job).__name__, job.pk)
        return False


def _put_back(job: Job, settle: Settle) -> bool:
    """Move one expired row on, unless its worker renewed it in the meantime."""
    unchanged = type(job)._default_manager.filter(
        pk=job.pk,
        state=JobState.RUNNING,
        token=job.token,
        lease_expires_at=job.lease_expires_at,
    )
    with transaction.atomic():
        if not unchanged.update(**_after_death(job)):
            return False
        job.refresh_from_db()
        settle(job)
    log.warning("lease of %s %s ran out: %s", type(job).__name__, job.pk, job.state)
    return True


def _after_death(job: Job) -> dict[str, Any]:
    now = timezone.now()
    if job.cancel_requested_at:
        return {**NOT_HELD, "state": JobState.CANCELLED, "finished_at": now}
    if job.attempt < job.max_attempts:
        return {"state": JobState.QUEUED, **queued_again()}
    return {
        **NOT_HELD,
        "state": JobState.FAILED,
        "finished_at": now,
        "error_code": "worker_died",
        "error": GIVEN_UP.format(attempts=job.attempt),
    }


def cancel_queued(model: type[Job], settle: Settle) -> int:
    """Waiting rows that somebody asked to cancel (while a worker gave them back) end here."""
    asked = model._default_manager.filter(state__in=WAITING).exclude(cancel_requested_at=None)
    return sum(_safely(_cancel, job, settle) for job in asked)


def _cancel(job: Job, settle: Settle) -> bool:
    rows = type(job)._default_manager.filter(
        pk=job.pk, state__in=WAITING, cancel_requested_at=job.cancel_requested_at
    )
    with transaction.atomic():
        if not rows.update(state=JobState.CANCELLED, finished_at=timezone.now()):
            return False
        job.refresh_from_db()
        settle(job)
    return True


def publish_forgotten(model: type[Job]) -> int:
    """Send messages for queued rows that have none, and for rows whose message was lost.

    A row may wait for hours behind others with its message safe in the queue; only when
    fewer messages wait than rows was one lost. That bounds the messages to two a row.
    """
    queued = model._default_manager.filter(state=JobState.QUEUED)
    if model is not ScoringChunk:
        return _publish_queue(model, QUEUES[model], queued)
    lanes = (
        (lane, ScoringChunk.objects.filter(lane=lane, state=JobState.QUEUED))
        for lane in Lane.values
    )
    return sum(_publish_queue(ScoringChunk, lane, rows) for lane, rows in lanes)


def publish_units() -> int:
    """Send messages for single units that have none; returns how many. Scoring processes call it
    every few seconds, since somebody waits. A unit that failed is left to the whole reaper, so
    that it is not tried in a tight loop."""
    just_now = timezone.now() - timedelta(seconds=UNIT_QUIET_S)
    rows = ScoringChunk.objects.filter(
        lane=Lane.FAST,
        state=JobState.QUEUED,
        attempt=0,
        published_at=None,
        queued_at__lt=just_now,
        cancel_requested_at=None,
    )
    return _publish_all(ScoringChunk, Lane.FAST, rows) or 0


def _publish_queue(model: type[Job], queue: str, queued: "QuerySet[Any]") -> int:
    never = queued.filter(published_at=None)
    sent = _publish_all(model, queue, never)
    stale_before = timezone.now() - timedelta(seconds=settings.JOB_STALE_QUEUED_S)
    stale = queued.filter(published_at__lt=stale_before)
    if sent is None or not stale.exists() or not _lost_some(queue, queued):
        return sent or 0
    return sent + (_publish_all(model, queue, stale) or 0)


def _publish_all(model: type[Job], queue: str, rows: "QuerySet[Any]") -> int | None:
    """Publish each; None when the broker is down (trying the rest would only take time)."""
    sent = 0
    for job_id in list(rows.order_by("id").values_list("pk", flat=True)):
        if not publish(model, job_id, queue):
            return None
        sent += 1
    return sent


def _lost_some(queue: str, queued: "QuerySet[Any]") -> bool:
    try:
        return waiting_messages(queue) < queued.count()
    except BROKER_DOWN as error:
        log.warning("cannot count the messages in %s: %s", queue, error)
        return False


def _nothing(job: Any) -> None:
    return None
