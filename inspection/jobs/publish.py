"""The row first, the message after commit. A message carries an id and nothing else."""

import logging
import time
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from kombu.exceptions import KombuError
from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import RedisError

from inspection.models import Job, JobState, Lane, Report, ScoringChunk, TrainingRun, Upload
from webapp.celery import app

log = logging.getLogger(__name__)

TASKS: dict[type[Job], str] = {
    TrainingRun: "inspection.tasks.train",
    ScoringChunk: "inspection.tasks.score_chunk",
    Upload: "inspection.tasks.unpack_upload",
    Report: "inspection.tasks.make_report",
}
QUEUES: dict[type[Job], str] = {
    model: app.conf.task_routes[task]["queue"] for model, task in TASKS.items()
}
BROKER_DOWN = (BrokerError, KombuError, RedisError, OSError)

# After a failure nothing is sent for a while: a batch of hundreds of chunks must not wait for
# a time-out hundreds of times. The reaper sends what was left out. Somebody waits for a single
# unit, so it is tried at once a second time (a connection that broke says nothing of the next
# one) and keeps silent only where the broker hangs, which would hold up whoever submits.
PAUSE_AFTER_FAILURE_S = 5.0
HANGS_S = 1.0
_silent_until = 0.0
_hung_until = 0.0


def enqueue(job: Job) -> None:
    """Send the message for a queued row once the running transaction is committed.

    Never raises and never hangs for a broker that is down: the row stays queued with
    `published_at` empty, and is published later: by the reaper, a single unit by whoever scores.
    """
    queue = job.lane if isinstance(job, ScoringChunk) else ""
    transaction.on_commit(partial(_publish_unless_down, type(job), job.pk, queue), robust=True)


def _publish_unless_down(model: type[Job], job_id: UUID, queue: str = "") -> None:
    global _silent_until, _hung_until
    fast, began = queue == Lane.FAST, time.monotonic()
    if began < (_hung_until if fast else _silent_until) or publish(model, job_id, queue):
        return
    hangs = time.monotonic() - began > HANGS_S
    if fast and not hangs and publish(model, job_id, queue):
        return
    _silent_until = time.monotonic() + PAUSE_AFTER_FAILURE_S
    if hangs:
        _hung_until = _silent_until


def publish(model: type[Job], job_id: UUID, queue: str = "") -> bool:
    """Send the message now, to the usual queue of its kind unless one is named. Returns whether
    the broker took it."""
    try:
        app.send_task(TASKS[model], args=[str(job_id)], retry=False, queue=queue or QUEUES[model])
    except BROKER_DOWN as error:
        log.warning("no message for %s %s: %s", model.__name__, job_id, error)
        return False
    model._default_manager.filter(pk=job_id, state=JobState.QUEUED).update(
        published_at=timezone.now()
    )
    return True


def waiting_messages(queue: str) -> int:
    """How many messages wait in `queue`. Raises one of BROKER_DOWN."""
    with app.connection_for_write() as connection:
        channel: Any = connection.channel()
        try:
            return int(channel._size(queue))  # kombu declares no counting that never fails
        finally:
            channel.close()
