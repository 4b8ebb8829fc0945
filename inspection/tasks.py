"""Celery's way in: load an id, call a service. Nothing is decided here."""

from celery import current_app, shared_task
from celery.signals import worker_process_init

from inspection.jobs import reaper
from inspection.jobs.alone import alone
from inspection.logs import working_on
from inspection.models import Lane, Report, ScoringChunk, TrainingRun, Upload
from inspection.services import (
    batch_end,
    deliveries,
    drift,
    gate,
    intake_looks,
    report_job,
    report_mail,
    report_schedules,
    retraining_plans,
    scoring,
    scoring_upkeep,
    tidying,
    training,
    uploads,
)


@shared_task
def train(run_id: str) -> None:
    """Work on a training run."""
    with working_on(run_id):
        training.run_training(run_id)


@shared_task
def score_chunk(chunk_id: str) -> None:
    """Score a chunk of a batch."""
    with working_on(chunk_id):
        scoring.score_chunk(chunk_id)


@shared_task
def unpack_upload(upload_id: str) -> None:
    """Unpack the archives of an upload."""
    with working_on(upload_id):
        uploads.unpack(upload_id)


@shared_task
def make_report(report_id: str) -> None:
    """Make a report."""
    with working_on(report_id):
        report_job.make(report_id)


@shared_task
def send_reports() -> None:
    """Order the reports that are due, and send those that are done."""
    with working_on("send_reports"):
        report_schedules.order_due()
        report_mail.send_waiting()


@shared_task
def reap() -> None:
    """Put right what dead workers and lost messages left behind."""
    with working_on("reap"):
        reaper.reap(
            {
                TrainingRun: training.settle_run,
                ScoringChunk: scoring.settle_chunk,
                Upload: uploads.settle,
                Report: report_job.settle,
            }
        )
        batch_end.catch_up()


@shared_task
def tidy() -> None:
    """Close what was left open, and delete files that nobody needs any more."""
    with working_on("tidy"):
        uploads.close_abandoned()
        tidying.tidy()
        deliveries.forget_old()


@shared_task
def watch_drift() -> None:
    """Tell when parts that pass score otherwise than they used to."""
    with working_on("watch_drift"):
        drift.watch()


@shared_task
def look_after_models() -> None:
    """Start what is to be trained again, and settle gates that nobody settled."""
    with working_on("models"):
        retraining_plans.start_due()
        gate.catch_up()


@shared_task
def look_into_folders() -> None:
    """Take what machines dropped into watched folders. One look at a time: the worker's other
    place is the reaper's."""
    with working_on("look_into_folders"), alone("look_into_folders") as mine:
        if mine:
            intake_looks.look_into_all()


@worker_process_init.connect
def look_after_scoring(**_: object) -> None:
    """In every task process of a scoring worker: this runs in the child, after the fork."""
    if Lane.FAST in current_app.amqp.queues.consume_from:
        scoring_upkeep.start()
