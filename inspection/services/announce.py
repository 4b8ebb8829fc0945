"""What changed in a job, told to the pages that show it (docs/architecture.md, Live)."""

from typing import Any

from inspection.live.push import push
from inspection.models import Batch, JobState, Report, TrainingRun, Upload


def run_state(run: TrainingRun) -> None:
    """Tell the run's page and the list of jobs in which state the run is now."""
    push(f"run:{run.pk}", "state", state=run.state, stage=run.stage, error=run.error)
    push("jobs", "jobs", **run_line(run))


def run_line(run: TrainingRun) -> dict[str, Any]:
    """A run as the list of jobs shows it; the page says “Run 3 of …” in the reader's language. One
    that waits has no progress: its numbers are those of an earlier attempt."""
    progress = run.progress if run.state == JobState.RUNNING else {}
    return {
        "id": str(run.pk),
        "kind": "training",
        "title": run.viewpoint.product.name,
        "number": run.number,
        "url": f"/runs/{run.pk}/",
        "state": run.state,
        "fraction": progress.get("fraction"),
        "eta_s": progress.get("eta_total_s"),
    }


def batch_line(batch: Batch, summary: dict[str, Any]) -> dict[str, Any]:
    """A batch as the list of jobs shows it."""
    total = summary["total"]
    return {
        "id": str(batch.pk),
        "kind": "batch",
        "title": batch.name,
        "url": f"/batches/{batch.pk}/",
        "state": summary["state"],
        "fraction": summary["scored"] / total if total else None,
        "scored": summary["scored"],
        "total": total,
        "eta_s": summary["eta_s"],
    }


def upload_line(upload: Upload, progress: dict[str, Any]) -> dict[str, Any]:
    """An upload as the list of jobs shows it: files on their way in, or a zip being unpacked.
    `progress` is that of `receipts.upload_progress`."""
    coming = progress["state"] == JobState.DONE and not progress["closed"]
    return {
        "id": str(upload.pk),
        "kind": "upload",
        "title": str(upload.dataset or upload.batch),
        "url": f"/uploads/{upload.pk}/",
        "state": JobState.RUNNING if coming else progress["state"],
        "fraction": progress["done"] / progress["total"] if progress["total"] else None,
        "eta_s": None,
    }


def report_state(report: Report) -> None:
    """Tell the page of reports and the status bar how a report stands."""
    push(f"report:{report.pk}", "state", **report_line(report))
    push("jobs", "jobs", **report_line(report))


def report_line(report: Report) -> dict[str, Any]:
    """A report as the list of jobs shows it."""
    return {
        "id": str(report.pk),
        "kind": "report",
        "title": str(report),
        "url": "/reports/",
        "state": "cancelling" if report.cancelling else report.state,
        "fraction": report.progress.get("fraction"),
        "eta_s": report.progress.get("eta_s"),
    }
