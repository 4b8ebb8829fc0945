"""Single units go before batches: looked for again and again while a batch is worked on."""

import logging
import time
from collections.abc import Callable
from uuid import UUID

from django.db import DatabaseError, connection
from django.db.models import Q

from inspection.jobs import shutdown
from inspection.logs import working_on
from inspection.models import ImageResult, Inspection, JobState, Lane, ScoringChunk

from . import fast_times
from .verdict_facts import timing_ms

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.02  # between two looks into the database


class GiveWay:
    """Called often while a chunk of a batch is at work; scores the single units that wait.

    It looks at most every 20 ms, never inside a transaction, and never from within a single unit:
    those wait for each other. `spent` are the seconds that went into them.
    """

    def __init__(self, score: Callable[[UUID], None] | None) -> None:
        self.spent = 0.0
        self._score = score
        self._next = 0.0
        self._busy = False

    def __call__(self) -> None:
        began = time.monotonic()
        if self._score is None or self._busy or began < self._next or connection.in_atomic_block:
            return
        self._busy = True
        try:
            self._let_pass(self._score)
        except DatabaseError:
            log.warning("single units could not be looked for", exc_info=True)
        finally:
            self._busy = False
            now = time.monotonic()
            self._next = now + LOOK_EVERY_S
            self.spent += now - began

    @property
    def between(self) -> "GiveWay | None":
        """What the networks call between their layers; None where nothing is let pass."""
        return self if self._score else None

    def _let_pass(self, score: Callable[[UUID], None]) -> None:
        while not shutdown.requested() and (chunk_id := next_waiting()):
            with working_on(str(chunk_id)):
                score(chunk_id)


NO_WAY = GiveWay(None)


def next_waiting() -> UUID | None:
    """The oldest single unit that nobody works on. One that failed waits for the reaper, which
    publishes it: it is not tried in a tight loop."""
    fresh = Q(attempt=0) | Q(published_at__isnull=False)
    queued = ScoringChunk.objects.filter(
        fresh, lane=Lane.FAST, state=JobState.QUEUED, cancel_requested_at=None
    )
    return queued.order_by("id").values_list("pk", flat=True).first()


def note_times(chunk_id: UUID) -> None:
    """Put the times of a single unit that has its verdict into the metrics."""
    for inspection in Inspection.objects.filter(chunk=chunk_id).exclude(verdict=""):
        results = list(ImageResult.objects.filter(inspection=inspection))
        fast_times.note(timing_ms(inspection, results))
