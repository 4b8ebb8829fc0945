"""Import → train → score → verdicts, through the services. Can be stopped and go on anywhere."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings

from inspection.models import (
    Batch,
    Inspection,
    JobState,
    ModelVersion,
    Product,
    Purpose,
    TrainingRun,
    UploadReceipt,
    Verdict,
    Viewpoint,
)
from inspection.services import batches, folder_import, products, training, uploads

from .notebook import Notebook
from .source import Counts, Source, make_demo_pictures
from .terminal import Terminal, duration

LOOK_EVERY_S = 0.5
STALLED_AFTER_S = 600.0
WAITING = (JobState.QUEUED, JobState.RUNNING)


class MainJobFailed(Exception):
    """The main job cannot go on; the message says what failed and why."""


@dataclass
class MainJob:
    """One pass over one source. `notebook` says what is done already."""

    source: Source
    notebook: Notebook
    terminal: Terminal
    preset: str
    budget_minutes: float
    steps: int | None = None
    counts: Counts = field(default_factory=Counts)

    def do(self) -> tuple[TrainingRun, Batch | None]:
        """Everything that is not done yet. Raises MainJobFailed or UserError."""
        self._make_pictures()
        viewpoint = self._viewpoint()
        self._import(viewpoint, self.folder / "train" / "good")
        run = self._train(viewpoint)
        batch = self._score(viewpoint, run, self.folder / "test")
        self.notebook.done = True
        self.notebook.write()
        return run, batch

    # --- pictures ----------------------------------------------------------------------

    @property
    def folder(self) -> Path:
        """Where the pictures lie, in MVTec's layout."""
        return self.source.folder or Path(settings.VAR_DIR) / "demo" / "pictures"

    def _make_pictures(self) -> None:
        drawn = self.notebook.seconds.get("draw") is not None and self.folder.is_dir()
        if drawn or not self.source.is_demo:
            return
        self.terminal.say("Drawing the demo pictures: an electronic assembly, good and bad")
        with self._timed("draw"):
            make_demo_pictures(self.folder, self.counts, self._counter("Drawing pictures"))

    def _viewpoint(self) -> Viewpoint:
        there = Product.objects.filter(code__iexact=self.source.code).first()
        product = there or products.create_product(
            None, code=self.source.code, name=self.source.name
        )
        self.notebook.product = str(product.pk)
        self.notebook.write()
        viewpoint = product.viewpoints.order_by("id").first()
        assert viewpoint  # noqa: S101  (made with the product)
        return viewpoint

    def _import(self, viewpoint: Viewpoint, folder: Path) -> None:
        if self.notebook.seconds.get("import") is not None:
            return
        with self._timed("import"):
            upload = folder_import.import_folder(
                None,
                dataset=products.good_dataset(viewpoint),
                folder=folder,
                progress=self._counter("Importing good parts"),
            )
        refused = upload.receipts.filter(outcome=UploadReceipt.Outcome.REFUSED)
        for receipt in refused[:20]:
            self.terminal.say(f"  refused: {receipt.message}")
        taken = upload.receipts.exclude(outcome=UploadReceipt.Outcome.REFUSED).count()
        self.terminal.say(f"{taken} pictures of good parts imported, {refused.count()} refused")

    # --- training ----------------------------------------------------------------------

    def _train(self, viewpoint: Viewpoint) -> TrainingRun:
        run = self._current_run() or self._start_run(viewpoint)
        steady = Stall(f"training run {run.number}")
        while run.state in WAITING:
            self._show(run)
            steady.look((run.state, run.stage, run.attempt, str(run.progress)))
            time.sleep(LOOK_EVERY_S)
            run.refresh_from_db()
        if run.state != JobState.DONE:
            raise MainJobFailed(_why_not_trained(run))
        spent = (run.finished_at - run.started_at).total_seconds()  # type: ignore[operator]
        self._note("train", spent)
        self.terminal.say(f"Trained in {duration(spent)}")
        return run

    def _current_run(self) -> TrainingRun | None:
        run = (
            TrainingRun.objects.filter(pk=self.notebook.run).first() if self.notebook.run else None
        )
        return run if run and run.state in (*WAITING, JobState.DONE) else None

    def _start_run(self, viewpoint: Viewpoint) -> TrainingRun:
        run = training.start_run(
            None,
            viewpoint,
            preset=self.preset,
            budget_minutes=self.budget_minutes,
            steps=self.steps,
            vetting=TrainingRun.Vetting.EXCLUDE,
        )
        self.notebook.run, self.notebook.batch = str(run.pk), ""
        self.notebook.write()
        expected = training.expected_seconds(self.preset, self.budget_minutes)
        self.terminal.say(f"Training on good parts only; this takes about {duration(expected)}")
        return run

    def _show(self, run: TrainingRun) -> None:
        if run.state == JobState.QUEUED:
            self.terminal.progress("Training", "waiting for the training worker")
            return
        progress = run.progress or {}
        names = [stage["name"] for stage in run.stages]
        number = f"{names.index(run.stage) + 1}/{len(names)} " if run.stage in names else ""
        stage = f"stage {number}{run.stage}" if run.stage else "starting"
        percent = 100 * float(progress.get("fraction") or 0)
        left = progress.get("eta_total_s")
        ending = f", {duration(left)} left" if left is not None else ""
        self.terminal.progress(f"Training, {stage}", f"{percent:.0f} % of the run{ending}")

    # --- scoring -----------------------------------------------------------------------

    def _score(self, viewpoint: Viewpoint, run: TrainingRun, folder: Path) -> Batch | None:
        if not folder.is_dir():
            self.terminal.say("There is no folder test: nothing is scored")
            return None
        batch = self._batch(viewpoint, run)
        if batch.sealed_at is None:
            self._fill(batch, folder)
        steady = Stall("scoring")
        while (summary := batches.batch_summary(batch))["state"] != "done":
            if summary["state"] in ("cancelled", "cancelling"):
                raise MainJobFailed(f"Batch {batch.name} was cancelled.")
            done, total = summary["scored"], summary["total"]
            ending = f", {duration(summary['eta_s'])} left" if summary["eta_s"] is not None else ""
            self.terminal.progress("Scoring", f"{done} of {total}{ending}")
            steady.look(done)
            time.sleep(LOOK_EVERY_S)
        _check_all_scored(batch, summary)
        self._note("score", _spent(batch))
        return batch

    def _batch(self, viewpoint: Viewpoint, run: TrainingRun) -> Batch:
        there = (
            Batch.objects.filter(pk=self.notebook.batch).first() if self.notebook.batch else None
        )
        if there:
            return there
        batch = batches.open_batch(
            None,
            viewpoint,
            name=f"Test pictures, run {run.number}",
            purpose=Purpose.TRIAL,
            model_version=ModelVersion.objects.get(training_run=run),
        )
        self.notebook.batch = str(batch.pk)
        self.notebook.write()
        return batch

    def _fill(self, batch: Batch, folder: Path) -> None:
        """Bring every picture; what an interrupted start brought already is not brought twice."""
        interrupted = list(batch.uploads.filter(closed_at=None))
        upload = folder_import.import_folder(
            None,
            batch=batch,
            folder=folder,
            labels=True,
            progress=self._counter("Bringing pictures"),
        )
        for earlier in interrupted:
            uploads.close_upload(None, earlier)
        batch.refresh_from_db()
        for receipt in upload.receipts.filter(outcome=UploadReceipt.Outcome.REFUSED)[:20]:
            self.terminal.say(f"  refused: {receipt.message}")

    # --- small things ------------------------------------------------------------------

    def _counter(self, what: str) -> Callable[[int, int], None]:
        return lambda done, total: self.terminal.progress(what, f"{done} of {total}")

    def _timed(self, what: str) -> "Timed":
        return Timed(lambda seconds: self._note(what, seconds))

    def _note(self, what: str, seconds: float) -> None:
        self.notebook.seconds[what] = round(seconds, 1)
        self.notebook.write()


class Timed:
    """`with Timed(tell): …` tells the seconds when it ended well."""

    def __init__(self, tell: Callable[[float], None]) -> None:
        self._tell = tell

    def __enter__(self) -> None:
        self._started = time.monotonic()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            self._tell(time.monotonic() - self._started)


class Stall:
    """Raises when what it is shown stays the same for too long."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._seen: Any = None
        self._since = time.monotonic()

    def look(self, now: Any) -> None:
        if now != self._seen:
            self._seen, self._since = now, time.monotonic()
        elif time.monotonic() - self._since > STALLED_AFTER_S:
            raise MainJobFailed(
                f"{self._what.capitalize()} made no progress for {duration(STALLED_AFTER_S)}. "
                "The logs of the workers say why."
            )


def first_verdict_at(batch: Batch) -> Any:
    """When the first verdict of `batch` was written."""
    done = Inspection.objects.filter(batch=batch).exclude(completed_at=None)
    return done.order_by("completed_at").values_list("completed_at", flat=True).first()


def _spent(batch: Batch) -> float:
    last = (
        Inspection.objects.filter(batch=batch)
        .exclude(completed_at=None)
        .order_by("-completed_at")
        .values_list("completed_at", flat=True)
        .first()
    )
    return (last - batch.created_at).total_seconds() if last else 0.0


def _why_not_trained(run: TrainingRun) -> str:
    if run.state == JobState.CANCELLED:
        return f"Training run {run.number} was cancelled."
    lines = reversed(list(run.log_lines.exclude(message=run.error).order_by("-id")[:15]))
    log = "\n".join(f"  {line.level}: {line.message}" for line in lines)
    return f"Training run {run.number} failed: {run.error or run.state}\n{log}".rstrip()


def _check_all_scored(batch: Batch, summary: dict[str, Any]) -> None:
    wrong = summary["errors"] + summary["skipped"]
    if wrong == 0:
        return
    first = Inspection.objects.filter(batch=batch, verdict=Verdict.ERROR).first()
    why = f": {first.error}" if first and first.error else "."
    raise MainJobFailed(f"{wrong} of {summary['total']} pictures got no verdict{why}")
