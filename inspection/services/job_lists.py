"""Running and recent work of every kind: for the jobs page, the status bar and programs."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone

from inspection import policies
from inspection.models import (
    ENDED,
    Batch,
    JobState,
    Product,
    Report,
    ScoringChunk,
    TrainingRun,
    Upload,
    User,
)

from . import announce, receipts, uploads
from .batch_counts import batch_summaries
from .visible import visible

RECENT = 25
SHOWN = 5  # of each kind, in the status bar
SILENT = timedelta(minutes=2)  # an upload that heard nothing for so long is not under way

Job = TrainingRun | Upload | Report | Batch
Line = dict[str, Any]


@dataclass(frozen=True)
class Work:
    """Work of each kind that one person may see, newest first."""

    runs: QuerySet[TrainingRun]
    uploads: QuerySet[Upload]
    reports: QuerySet[Report]
    batches: QuerySet[Batch]

    @classmethod
    def of(cls, user: User, product: Product | None = None) -> "Work":
        """All of it, or that of one product."""
        here = {"viewpoint__product": product} if product else {}
        into = Q()
        if product:
            into = Q(dataset__viewpoint__product=product) | Q(batch__viewpoint__product=product)
        drops = visible(user, Upload).select_related("created_by").order_by("-id")
        reports = visible(user, Report).order_by("-id")
        return cls(
            visible(user, TrainingRun)
            .filter(**here)
            .select_related("model_version")
            .order_by("-id"),
            drops.filter(into),
            reports.filter(product=product) if product else reports,
            visible(user, Batch).filter(**here).select_related("created_by").order_by("-id"),
        )

    @property
    def unpacking(self) -> QuerySet[Upload]:
        """Uploads that are jobs: those with zips."""
        return self.uploads.filter(archives__isnull=False).distinct()

    def running(self, most: int) -> "Rows":
        """What has not ended, at most so many of each kind."""
        coming = self.uploads.filter(
            state=JobState.DONE, closed_at=None, active_at__gt=timezone.now() - SILENT
        )
        going = ScoringChunk.objects.filter(state__in=(JobState.QUEUED, JobState.RUNNING))
        return Rows(
            list(_unended(self.runs)[:most]),
            [*_unended(self.uploads)[:most], *coming[:most]],
            list(_unended(self.reports)[:most]),
            list(self.batches.filter(pk__in=going.values("batch_id"))[:most]),
        )

    def recent(self, most: int) -> "Rows":
        """The newest of each kind, ended or not."""
        return Rows(
            list(self.runs[:most]),
            list(self.unpacking[:most]),
            list(self.reports[:most]),
            list(self.batches[:most]),
        )


@dataclass(frozen=True)
class Rows:
    """Some work of each kind."""

    runs: list[TrainingRun]
    uploads: list[Upload]
    reports: list[Report]
    batches: list[Batch]

    def lines(self) -> Iterator[tuple[Job, Line]]:
        """Each with its line in the shape of the pushes on the topic `jobs`."""
        yield from ((run, announce.run_line(run)) for run in self.runs)
        progress = receipts.upload_progresses(self.uploads)
        yield from ((one, announce.upload_line(one, progress[one.pk])) for one in self.uploads)
        yield from ((report, announce.report_line(report)) for report in self.reports)
        counts = batch_summaries(self.batches)
        yield from ((batch, announce.batch_line(batch, counts[batch.pk])) for batch in self.batches)


def _unended(jobs: QuerySet[Any]) -> QuerySet[Any]:
    return jobs.exclude(state__in=ENDED)


class MayCancel:
    """Of what one person sees, what a cancel of theirs would stop: what is offered is what the
    service would allow."""

    def __init__(self, user: User) -> None:
        self._user, self.roles = user, policies.Roles(user)

    def run(self, run: TrainingRun) -> bool:
        may = self.roles.can(policies.MANAGE, run.viewpoint.product_id)
        return may and policies.can_be_cancelled(run)

    def upload(self, upload: Upload) -> bool:
        target, role = uploads.place_and_role(upload)
        may = self.roles.can(role, target.viewpoint.product_id)
        return may and policies.can_be_cancelled(upload)

    def report(self, report: Report) -> bool:
        own = report.requested_by_id == self._user.pk
        may = own or self.roles.can(policies.MANAGE, report.product_id)
        return may and policies.can_be_cancelled(report)

    def batch(self, batch: Batch, *, unfinished: bool) -> bool:
        may = self.roles.can(policies.REVIEW, batch.viewpoint.product_id)
        return may and unfinished and not batch.cancel_requested_at


def job_facts(user: User, product: Product | None = None) -> dict[str, list[Line]]:
    """`{running, recent}` for programs, newest first: at most RECENT of each kind in either, and
    nothing in both."""
    work, told = Work.of(user, product), _Told(user)
    running = [told.of(job, line) for job, line in work.running(RECENT).lines()]
    known = {line["id"] for line in running}
    recent = [told.of(job, line) for job, line in work.recent(RECENT).lines()]
    return {
        "running": _newest_first(running),
        "recent": _newest_first([line for line in recent if line["id"] not in known]),
    }


def upload_facts(user: User, upload: Upload) -> Line:
    """One upload as the list tells it."""
    ((job, line),) = Rows([], [upload], [], []).lines()
    return _Told(user).of(job, line)


def _newest_first(lines: list[Line]) -> list[Line]:
    return sorted(lines, key=lambda line: str(line["id"]), reverse=True)


class _Told:
    """Jobs by the names that programs know."""

    def __init__(self, user: User) -> None:
        self._may = MayCancel(user)

    def of(self, job: Job, line: Line) -> Line:
        by, product = _by_and_product(job)
        error = "" if isinstance(job, Batch) else job.error
        ended = job.completed_at if isinstance(job, Batch) else job.finished_at
        return {
            **{name: line[name] for name in ("id", "kind", "title", "state", "fraction", "eta_s")},
            "number": line.get("number"),
            "product": product.code,
            "by": by.get_username() if by else None,
            "error": error,
            "created_at": job.created_at,
            "finished_at": ended,
            "may_cancel": self._may_cancel(job, line),
        }

    def _may_cancel(self, job: Job, line: Line) -> bool:
        if isinstance(job, Batch):
            return self._may.batch(job, unfinished=line["scored"] < line["total"])
        if isinstance(job, TrainingRun):
            return self._may.run(job)
        return self._may.report(job) if isinstance(job, Report) else self._may.upload(job)


def _by_and_product(job: Job) -> tuple[User | None, Product]:
    if isinstance(job, TrainingRun):
        return job.started_by, job.viewpoint.product
    if isinstance(job, Report):
        return job.requested_by, job.product
    target = uploads.place_and_role(job)[0] if isinstance(job, Upload) else job
    return job.created_by, target.viewpoint.product
