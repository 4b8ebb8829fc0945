"""All running and recent work, for the jobs page and for the status bar of every page."""

from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_safe

from inspection import policies
from inspection.models import (
    ENDED,
    Batch,
    JobState,
    Report,
    ScoringChunk,
    TrainingRun,
    Upload,
    User,
)
from inspection.services import announce, batches, uploads
from inspection.web import reads, words
from inspection.web.access import SignedIn, visible

RECENT = 25
SHOWN = 5
SILENT = timedelta(minutes=2)  # an upload that heard nothing for so long is not under way


@require_safe
def index(request: SignedIn) -> HttpResponse:
    """Running work first, then what ended lately."""
    runs = list(
        visible(request.user, TrainingRun)
        .select_related("started_by", "model_version")
        .order_by("-id")[:RECENT]
    )
    shown = list(visible(request.user, Batch).select_related("created_by").order_by("-id")[:RECENT])
    recent = list(reads.with_counts(shown))
    unpacking = list(
        visible(request.user, Upload)
        .filter(archives__isnull=False)
        .distinct()
        .select_related("created_by")
        .order_by("-id")[:RECENT]
    )
    for batch in recent:
        batch.sign = batch_sign(batch)  # type: ignore[attr-defined]
    _mark_cancellable(request.user, runs, recent, unpacking)
    context = {
        "runs": runs,
        "batches": recent,
        "uploads": unpacking,
    }
    page = "jobs/_lists.html" if request.htmx else "jobs/index.html"
    return render(request, page, context)


def _mark_cancellable(
    user: User, runs: list[TrainingRun], recent: list[Any], unpacking: list[Any]
) -> None:
    """`may_cancel` on each: what is shown as a button is what the service would allow."""
    roles = policies.Roles(user)
    for run in runs:
        allowed = roles.can(policies.MANAGE, run.viewpoint.product_id)
        run.may_cancel = allowed and policies.can_be_cancelled(run)  # type: ignore[attr-defined]
    for batch in recent:
        allowed = roles.can(policies.REVIEW, batch.viewpoint.product_id)
        unfinished = batch.counts["scored"] < batch.counts["total"]
        batch.may_cancel = allowed and unfinished and not batch.cancel_requested_at
    for upload in unpacking:
        target, role = uploads.place_and_role(upload)
        allowed = roles.can(role, target.viewpoint.product_id)
        upload.may_cancel = allowed and policies.can_be_cancelled(upload)


def batch_sign(batch: Any) -> words.Sign:
    """A batch as a job; `batch.counts` is there already."""
    unfinished = batch.counts["scored"] < batch.counts["total"]
    if batch.cancel_requested_at:
        return words.CANCELLING if unfinished else words.JOB_SIGNS[JobState.CANCELLED]
    if batch.sealed_at is None:
        return words.Sign("open", _("Open for pictures"), "folder-open", "v-gold")
    return words.JOB_SIGNS[JobState.RUNNING if unfinished else JobState.DONE]


@require_GET
def running(request: SignedIn) -> JsonResponse:
    """What the status bar shows, in the shape of the pushes on the topic `jobs`."""
    user = request.user
    lines = [announce.run_line(run) for run in unended(visible(user, TrainingRun))]
    for upload in [*unended(visible(user, Upload)), *_coming(user)]:
        lines.append(announce.upload_line(upload, uploads.upload_progress(upload)))
    lines += [announce.report_line(report) for report in unended(visible(user, Report))]
    at_work = scoring(user)
    summaries = batches.batch_summaries(at_work)
    lines += [announce.batch_line(batch, summaries[batch.pk]) for batch in at_work]
    return JsonResponse({"jobs": lines})


def unended(jobs: QuerySet[Any]) -> list[Any]:
    return list(jobs.exclude(state__in=ENDED).order_by("-id")[:SHOWN])


def scoring(user: User) -> list[Batch]:
    going = ScoringChunk.objects.filter(state__in=(JobState.QUEUED, JobState.RUNNING))
    found = visible(user, Batch).filter(pk__in=going.values("batch_id"))
    return list(found.select_related("model_version").order_by("-id")[:SHOWN])


def _coming(user: User) -> list[Upload]:
    """Uploads that a browser is sending files into now."""
    lately = timezone.now() - SILENT
    rows = visible(user, Upload).filter(state=JobState.DONE, closed_at=None, active_at__gt=lately)
    return list(rows.order_by("-id")[:SHOWN])
