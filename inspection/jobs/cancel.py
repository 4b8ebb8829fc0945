"""Cancel is a flag on the row: a queued job ends at once, a running one when it looks."""

from django.utils import timezone

from inspection.models import ENDED, Job, JobState


def request_cancel(job: Job) -> bool:
    """Ask the job to stop. True when it is cancelled already (nobody was working on it)."""
    rows = type(job)._default_manager.filter(pk=job.pk)
    now = timezone.now()
    waiting = rows.filter(state__in=(JobState.QUEUED, JobState.PAUSED))
    if waiting.update(state=JobState.CANCELLED, cancel_requested_at=now, finished_at=now):
        return True
    rows.exclude(state__in=ENDED).update(cancel_requested_at=now)
    return False
