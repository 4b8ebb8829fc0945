"""All running and recent work, for the jobs page and for the status bar of every page."""

from typing import Any

from django.http import HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_safe

from inspection.models import JobState
from inspection.services.job_lists import RECENT, SHOWN, MayCancel, Work
from inspection.web import reads, words
from inspection.web.access import SignedIn


@require_safe
def index(request: SignedIn) -> HttpResponse:
    """Running work first, then what ended lately."""
    work, may = Work.of(request.user), MayCancel(request.user)
    runs, unpacking = list(work.runs[:RECENT]), list(work.unpacking[:RECENT])
    recent: list[Any] = list(reads.with_counts(list(work.batches[:RECENT])))
    for run in runs:
        run.may_cancel = may.run(run)  # type: ignore[attr-defined]
    for batch in recent:
        batch.sign = batch_sign(batch)
        batch.may_cancel = may.batch(batch, unfinished=_unfinished(batch))
    for upload in unpacking:
        upload.may_cancel = may.upload(upload)  # type: ignore[attr-defined]
    context = {"runs": runs, "batches": recent, "uploads": unpacking}
    page = "jobs/_lists.html" if request.htmx else "jobs/index.html"
    return render(request, page, context)


def _unfinished(batch: Any) -> bool:
    """`batch.counts` is there already."""
    return bool(batch.counts["scored"] < batch.counts["total"])


def batch_sign(batch: Any) -> words.Sign:
    """A batch as a job; `batch.counts` is there already."""
    unfinished = _unfinished(batch)
    if batch.cancel_requested_at:
        return words.CANCELLING if unfinished else words.JOB_SIGNS[JobState.CANCELLED]
    if batch.sealed_at is None:
        return words.Sign("open", _("Open for pictures"), "folder-open", "v-gold")
    return words.JOB_SIGNS[JobState.RUNNING if unfinished else JobState.DONE]


@require_GET
def running(request: SignedIn) -> JsonResponse:
    """What the status bar shows, in the shape of the pushes on the topic `jobs`."""
    found = Work.of(request.user).running(SHOWN)
    return JsonResponse({"jobs": [line for _job, line in found.lines()]})
