"""What the training process says, written to the rows and pushed to who watches.

Lines are gathered and written about once a second, in one transaction that is fenced by the
run's token: a process whose run was given to somebody else writes nothing.
"""

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.base import File
from django.core.files.storage import default_storage
from django.db import transaction
from django.utils import timezone

from inspection.jobs.claim import Claim
from inspection.jobs.trainer import Event
from inspection.live.push import push
from inspection.models import RunLogLine, RunMetric, RunSample, SnapshotImage, TrainingRun

from . import announce

log = logging.getLogger(__name__)

MAX_LOG_LINES = 4000  # of one run; a loop that prints must not fill the database
Decision = SnapshotImage.Decision


class RunRelay:
    """The listener of one attempt at a run."""

    def __init__(self, held: Claim[TrainingRun]) -> None:
        self.held = held
        self.run_id = held.id
        self.folder = Path(settings.RUNS_DIR) / str(held.id)
        self.error: tuple[str, str] | None = None
        self.stages: list[dict[str, str]] = list(held.job.stages)
        self._fields: dict[str, Any] = {}
        self._metrics: dict[tuple[str, int], dict[str, float]] = {}
        self._lines: list[RunLogLine] = []
        self._samples: dict[tuple[str, int], Event] = {}
        self._vet: Event | None = None
        self._room_for_lines = MAX_LOG_LINES - RunLogLine.objects.filter(run=held.id).count()

    # --- hear: gather -----------------------------------------------------------------

    def hear(self, event: Event) -> None:
        """Take in one line; an event that is not known is left for a later version."""
        hear: Callable[[Event], None] | None = getattr(self, f"_hear_{event['event']}", None)
        if hear is None:
            log.debug("unknown trainer event %s", event["event"])
            return
        try:
            hear(event)
        except (KeyError, TypeError, ValueError) as error:
            log.warning("trainer event not understood (%r): %s", error, event)

    def _hear_plan(self, event: Event) -> None:
        known = {stage["name"]: stage["state"] for stage in self.stages}
        self.stages = [
            {"name": name, "state": known.get(name, "waiting")} for name in event["stages"]
        ]
        self._fields |= {"stages": self.stages, "backbone": event.get("backbone", "")}
        if event.get("resumed"):
            self._line("info", _goes_on_from(self.held.job.checkpoint))

    def _hear_stage(self, event: Event) -> None:
        for stage in self.stages:
            if stage["name"] == event["stage"]:
                stage["state"] = event["state"]
        self._fields |= {"stages": self.stages}
        if event["state"] == "started":
            self._fields["stage"] = event["stage"]

    def _hear_progress(self, event: Event) -> None:
        progress = {key: value for key, value in event.items() if key != "event"}
        self._fields["progress"] = {**progress, "at": timezone.now().isoformat()}
        self._fields["stage"] = event["stage"]

    def _hear_metrics(self, event: Event) -> None:
        self._metrics[event["stage"], int(event["step"])] = event["values"]

    def _hear_samples(self, event: Event) -> None:
        self._samples[event["stage"], int(event["step"])] = event

    def _hear_vet(self, event: Event) -> None:
        self._vet = event

    def _hear_checkpoint(self, event: Event) -> None:
        self._fields["checkpoint"] = {key: event.get(key) for key in ("stage", "step", "path")} | {
            "at": timezone.now().isoformat()
        }

    def _hear_log(self, event: Event) -> None:
        self._line(event.get("level", "info"), event["message"])

    def _hear_error(self, event: Event) -> None:
        self.error = (str(event["code"])[:60], str(event["message"]))
        self._line("error", event["message"])

    def _hear_done(self, event: Event) -> None:
        self._fields["metrics"] = event.get("metrics", {})

    def _line(self, level: str, message: str) -> None:
        if self._room_for_lines <= 0:
            return
        self._room_for_lines -= 1
        if self._room_for_lines == 0:
            message = "The log is full; later lines are not kept."
        self._lines.append(
            RunLogLine(
                run_id=self.run_id, attempt=self.held.attempt, level=level[:10], message=message
            )
        )

    # --- flush: write, then push -------------------------------------------------------

    def flush(self) -> None:
        """Write what was gathered. Raises LeaseLost when the run is no longer ours."""
        if not (self._fields or self._metrics or self._lines or self._samples or self._vet):
            return
        with transaction.atomic():
            self.held.fence()
            if self._fields:
                self.held.write(**self._fields)
            self._write_vet()
            self._write_metrics()
            self._write_samples()
            RunLogLine.objects.bulk_create(self._lines)
            self._push()
        self._fields, self._metrics, self._samples = {}, {}, {}
        self._lines, self._vet = [], None

    def _write_metrics(self) -> None:
        """A step done again after a resume takes the place of the old one."""
        RunMetric.objects.bulk_create(
            [
                RunMetric(run_id=self.run_id, stage=stage, step=step, values=values)
                for (stage, step), values in self._metrics.items()
            ],
            update_conflicts=True,
            unique_fields=["run", "stage", "step"],
            update_fields=["values"],
            batch_size=200,
        )

    def _write_samples(self) -> None:
        for (stage, step), event in self._samples.items():
            key = _copy_to_media(
                self.folder, event["path"], f"runs/{self.run_id}/{stage}-{step}.webp"
            )
            if key:
                RunSample.objects.update_or_create(
                    run_id=self.run_id,
                    stage=stage,
                    step=step,
                    defaults={"storage_key": key, "columns": event.get("columns", [])},
                )

    def _write_vet(self) -> None:
        if self._vet is None:
            return
        verdicts = json.loads((self.folder / self._vet["path"]).read_text())["items"]
        items = {
            str(item.image_id): item
            for item in SnapshotImage.objects.filter(snapshot=self.held.job.snapshot_id)
        }
        seen = [
            _vetted(items[verdict["image"]], verdict, self.held.job.vetting)
            for verdict in verdicts
            if verdict["image"] in items
        ]
        SnapshotImage.objects.bulk_update(seen, VET_FIELDS, batch_size=200)

    def _push(self) -> None:
        topic = f"run:{self.run_id}"
        run = self.held.job
        for name, value in self._fields.items():
            setattr(run, name, value)
        if self._fields:
            push(topic, "progress", **{**run.progress, "state": run.state, "stage": run.stage})
            push("jobs", "jobs", **announce.run_line(run))
        for (stage, step), values in list(self._metrics.items())[-50:]:
            push(topic, "metrics", stage=stage, step=step, values=values)
        for stage, step in self._samples:
            sample = RunSample.objects.filter(run=self.run_id, stage=stage, step=step).first()
            if sample:
                push(topic, "samples", id=str(sample.pk))
        if self._lines:
            lines = [
                {"level": line.level, "message": line.message, "at": line.created_at}
                for line in self._lines[-100:]
            ]
            push(topic, "log", lines=lines)


def _goes_on_from(checkpoint: dict[str, Any]) -> str:
    """Where a resumed run goes on; one that was stopped early has no checkpoint yet."""
    if not checkpoint:
        return "Begins again: it was stopped before its first checkpoint."
    return (
        f"Goes on from its checkpoint ({checkpoint.get('stage')}, step {checkpoint.get('step')})."
    )


VET_FIELDS = [
    "vet_rank",
    "vet_score",
    "vet_flags",
    "vet_flagged",
    "vet_suggests_exclusion",
    "vet_nearest",
    "decision",
    "reason",
]


def _vetted(item: SnapshotImage, verdict: dict[str, Any], vetting: str) -> SnapshotImage:
    """Write on `item` what the vetting says; what a person decided stays as it is."""
    item.vet_rank = verdict["rank"]
    item.vet_score = verdict["score"]
    item.vet_flags = verdict["flags"]
    item.vet_flagged = verdict["flagged"]
    item.vet_suggests_exclusion = verdict["suggest_exclude"]
    item.vet_nearest = [str(image) for image in verdict.get("nearest", [])]
    if item.decision == Decision.OPEN:
        item.reason = (verdict.get("reason") or "")[:300]
        if vetting == TrainingRun.Vetting.EXCLUDE and item.vet_suggests_exclusion:
            item.decision = Decision.EXCLUDED
    return item


def _copy_to_media(folder: Path, path: str, key: str) -> str | None:
    """Copy a file of the run's folder to `key` in the storage; None when it is not there."""
    source = (folder / path).resolve()
    if not source.is_relative_to(folder.resolve()) or not source.is_file():
        log.warning("the training process named a sample that is not there: %s", path)
        return None
    if default_storage.exists(key):
        default_storage.delete(key)
    with source.open("rb") as file:
        return str(default_storage.save(key, File(file)))


def remove_folder(folder: Path) -> None:
    """Delete a folder that may be gone already."""
    shutil.rmtree(folder, ignore_errors=True)
