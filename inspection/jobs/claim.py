"""Who may work on a row, settled by conditional UPDATEs and the count of rows they hit.

`select_for_update` does nothing on SQLite; an UPDATE that names the token works everywhere.
"""

import os
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Generic, TypeVar
from uuid import UUID, uuid4

from django.conf import settings
from django.db.models import F, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone

from inspection.models import Job, JobState

J = TypeVar("J", bound=Job)
NOT_HELD: Mapping[str, Any] = {"token": None, "lease_expires_at": None}


class LeaseLost(Exception):
    """The row belongs to somebody else now, or to nobody: stop and write nothing."""


def claim(model: type[J], job_id: UUID | str) -> "Claim[J] | None":
    """Take a queued row for this process; None when it is not there to be taken."""
    token, now = uuid4(), timezone.now()
    taken = model._default_manager.filter(
        pk=job_id, state=JobState.QUEUED, cancel_requested_at=None
    ).update(
        state=JobState.RUNNING,
        token=token,
        attempt=F("attempt") + 1,
        lease_expires_at=_lease_end(),
        started_at=Coalesce("started_at", now),
        finished_at=None,
        worker=f"{socket.gethostname()}:{os.getpid()}"[:200],
    )
    if not taken:
        return None
    job = model._default_manager.filter(pk=job_id, token=token).first()
    return Claim(model, job.pk, token, job.attempt, job) if job else None


@dataclass(frozen=True)
class Claim(Generic[J]):
    """This process's hold on a row. `job` is the row as it was when claimed."""

    model: type[J]
    id: UUID
    token: UUID
    attempt: int
    job: J = field(compare=False)
    let_go: threading.Event = field(default_factory=threading.Event, compare=False, repr=False)

    def renew(self) -> bool:
        """Push the end of the lease out; False when the row is no longer ours.

        Inside a transaction this is the fence: the row stays locked until the commit.
        """
        return bool(self._rows().update(lease_expires_at=_lease_end()))

    def fence(self) -> None:
        """`renew`, raising LeaseLost: the first statement of every transaction of a job."""
        if not self.renew():
            raise LeaseLost(f"{self.model.__name__} {self.id}")

    def write(self, **fields: Any) -> bool:
        """Write fields of the row; False, and nothing written, when it is no longer ours."""
        return bool(self._rows().update(**fields))

    def finish(self, state: JobState, **fields: Any) -> bool:
        """End (or pause) the job and let go of the row; False when it was not ours."""
        ended_at = None if state == JobState.PAUSED else timezone.now()
        return self._let_go(state=state, finished_at=ended_at, **NOT_HELD, **fields)

    def requeue(self, *, count_attempt: bool) -> bool:
        """Put the row back to queued; the caller publishes it, or leaves that to the reaper.

        An orderly stop gives its attempt back: attempts count crashes only.
        """
        attempt = self.attempt if count_attempt else self.attempt - 1
        return self._let_go(state=JobState.QUEUED, attempt=attempt, **queued_again())

    def cancel_requested(self) -> bool:
        """Whether somebody asked to cancel; raises LeaseLost when the row is not ours."""
        rows = self._rows().values_list("cancel_requested_at", flat=True)
        asked = list(rows)
        if not asked:
            raise LeaseLost(f"{self.model.__name__} {self.id}")
        return asked[0] is not None

    def may_retry(self) -> bool:
        """Whether a crash of this attempt leaves another one."""
        return self.attempt < self.job.max_attempts

    def _let_go(self, **fields: Any) -> bool:
        """`let_go` tells the lease's thread that the row is gone because we gave it away."""
        self.let_go.set()
        return self.write(**fields)

    def _rows(self) -> QuerySet[J]:
        return self.model._default_manager.filter(
            pk=self.id, token=self.token, state=JobState.RUNNING
        )


def queued_again() -> dict[str, Any]:
    """The fields of a row that goes back to the queue and that nobody holds."""
    return {**NOT_HELD, "queued_at": timezone.now(), "published_at": None}


def _lease_end() -> Any:
    return timezone.now() + timedelta(seconds=settings.JOB_LEASE_S)
