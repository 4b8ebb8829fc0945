"""Training runs: start, decide what the vetting found, cancel, resume.

What a run does once a worker has it is in `run_body`; what becomes of its model in
`registering`.
"""

from django.db import transaction
from django.db.models import Max
from django.utils import timezone
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from inspection import policies
from inspection.errors import UserError, WrongState
from inspection.jobs.cancel import request_cancel
from inspection.jobs.publish import enqueue
from inspection.models import (
    Dataset,
    DatasetSnapshot,
    JobState,
    SnapshotImage,
    TrainingRun,
    User,
    Viewpoint,
)

from . import announce, outbox
from .access import require
from .audit import record
from .datasets import take_snapshot
from .disk import check_free_space
from .locking import lock_row
from .registering import finish_run
from .run_body import run_training

__all__ = [
    "MIN_PICTURES",
    "cancel_run",
    "check_settings",
    "continue_after_vetting",
    "decide_all_suggested",
    "decide_vetting",
    "expected_seconds",
    "finish_run",
    "resume_run",
    "run_training",
    "settle_run",
    "start_run",
]

MIN_CALIBRATION, MIN_TO_LEARN = 40, 20
MIN_PICTURES = MIN_CALIBRATION + MIN_TO_LEARN
MIN_MINUTES, MAX_MINUTES = 0.1, 7 * 24 * 60.0
# The budget covers every stage, but learning keeps its share of it (pre-training 15 %,
# inpainting at least 40 %) when calibrating and measuring take longer than what is left.
LEARNING_SHARE = 0.55
STARTING_S = 15  # loading the libraries and opening the pictures
MEASURING_S = {"tiny": 20, "compact": 120, "paper": 120}
Decision = SnapshotImage.Decision
Method = TrainingRun.Method


def expected_seconds(preset: str, budget_minutes: float) -> int:
    """How long a run takes from its start to its model, in seconds, when nothing waits."""
    budget = budget_minutes * 60
    return round(STARTING_S + max(budget, LEARNING_SHARE * budget + MEASURING_S.get(preset, 120)))


def start_run(
    user: User | None,
    viewpoint: Viewpoint,
    *,
    preset: str,
    budget_minutes: float,
    method: str = Method.FUSED,
    seed: int = 1,
    steps: int | None = None,
    vetting: str = "pause",
    dataset: Dataset | None = None,
    trigger: str = TrainingRun.Trigger.PERSON,
) -> TrainingRun:
    """Queue a run on the pictures that `dataset` (by default the good parts) has now, with the
    repair zones and symmetries that the viewpoint has now."""
    product = viewpoint.product
    require(user, policies.MANAGE, product)
    policies.check_in_use(product)
    _check_settings(preset, budget_minutes, seed, steps, vetting)
    _check_method(method)
    check_free_space()
    dataset = dataset or _good_dataset(viewpoint)
    if dataset.viewpoint_id != viewpoint.pk:
        raise UserError("other_dataset", "This dataset is another viewpoint's.", field="dataset")
    _check_enough(dataset.items.filter(label="", excluded_at=None).count())
    with transaction.atomic():
        lock_row(viewpoint)  # numbers runs one after the other
        viewpoint.refresh_from_db(fields=["repair_zones", "symmetries"])
        run = TrainingRun.objects.create(
            viewpoint=viewpoint,
            number=_next_number(viewpoint),
            snapshot=take_snapshot(user, dataset),
            method=method,
            preset=preset,
            budget_minutes=budget_minutes,
            steps=steps,
            seed=seed,
            vetting=vetting,
            repair_zones=viewpoint.repair_zones,
            symmetries=viewpoint.symmetries,
            started_by=user,
            trigger=trigger,
        )
        settings_used = {
            "method": method,
            "preset": preset,
            "budget_minutes": budget_minutes,
            "seed": seed,
            "trigger": trigger,
        }
        record(user, "run.started", run, product=product, after=settings_used)
        enqueue(run)
        announce.run_state(run)
    return run


def check_settings(preset: str, budget_minutes: float, method: str) -> None:
    """Raise UserError, naming the field, for settings that no run could have."""
    _check_settings(preset, budget_minutes, 1, None, TrainingRun.Vetting.PAUSE)
    _check_method(method)


def _check_settings(
    preset: str, budget_minutes: float, seed: int, steps: int | None, vetting: str
) -> None:
    if preset not in TrainingRun.Preset.values:
        known = ", ".join(TrainingRun.Preset.values)
        raise UserError(
            "unknown_preset",
            "There is no preset “{preset}”; choose one of {known}.",
            preset=preset,
            known=known,
            field="preset",
        )
    if not MIN_MINUTES <= budget_minutes <= MAX_MINUTES:
        raise UserError(
            "bad_budget",
            "The time to learn must be between 0.1 and 10080 minutes (a week).",
            field="budget_minutes",
        )
    if not 0 <= seed < 2**31:
        raise UserError("bad_seed", "The seed must be a whole number from 0 up.", field="seed")
    if steps is not None and not 1 <= steps < 2**31:
        raise UserError("bad_steps", "The number of steps must be 1 or more.", field="steps")
    if vetting not in TrainingRun.Vetting.values:
        raise UserError(
            "unknown_vetting", "Choose what to do with suspicious pictures.", field="vetting"
        )


def _check_method(method: str) -> None:
    if method not in Method.values:
        known = ", ".join(Method.values)
        raise UserError(
            "unknown_method",
            "There is no method “{method}”; choose one of {known}.",
            method=method,
            known=known,
            field="method",
        )


def _check_enough(have: int) -> None:
    if have >= MIN_PICTURES:
        return
    none, one = _("no picture of a good part is"), _("1 usable picture is")
    some = format_lazy(_("{n} usable pictures are"), n=have)
    raise UserError(
        "too_few_pictures",
        "Training needs at least {least} pictures of good parts ({calibration} to set the limits, "
        "{learn} to learn from); {there} there. Upload {more} more.",
        least=MIN_PICTURES,
        calibration=MIN_CALIBRATION,
        learn=MIN_TO_LEARN,
        there={0: none, 1: one}.get(have, some),
        more=MIN_PICTURES - have,
        field="dataset",
    )


def _good_dataset(viewpoint: Viewpoint) -> Dataset:
    good = viewpoint.datasets.filter(purpose=Dataset.Purpose.GOOD).order_by("id").first()
    if good is None:
        _check_enough(0)
        raise AssertionError("unreachable: no pictures are too few")
    return good


def _next_number(viewpoint: Viewpoint) -> int:
    return (viewpoint.training_runs.aggregate(last=Max("number"))["last"] or 0) + 1


# --- vetting ---------------------------------------------------------------------------


def decide_vetting(user: User | None, run: TrainingRun, item: SnapshotImage, keep: bool) -> None:
    """Keep a suspicious picture, or leave it out of this run."""
    product = run.viewpoint.product
    require(user, policies.MANAGE, product)
    if item.snapshot_id != run.snapshot_id:
        raise WrongState("other_run", "This picture belongs to another run.")
    before = item.decision
    item.decision = Decision.KEPT if keep else Decision.EXCLUDED
    item.decided_by, item.decided_at = user, timezone.now()
    with transaction.atomic():
        _hold_paused(run)
        item.save(update_fields=["decision", "decided_by", "decided_at"])
        record(
            user,
            "vetting.kept" if keep else "vetting.excluded",
            run,
            product=product,
            before={"file": item.file_name, "decision": before},
            after={"file": item.file_name, "decision": item.decision},
            reason=item.reason,
        )


def _hold_paused(run: TrainingRun) -> None:
    """Hold the run where it waits: a decision after it went on would not be learnt by."""
    lock_row(run)
    run.refresh_from_db(fields=["state"])
    policies.check_awaits_vetting(run)


def decide_all_suggested(user: User | None, run: TrainingRun) -> int:
    """Leave out every picture that the vetting suggests to leave out and that nobody decided
    on yet. Returns how many."""
    product = run.viewpoint.product
    require(user, policies.MANAGE, product)
    with transaction.atomic():
        _hold_paused(run)
        suggested = run.snapshot.items.filter(vet_suggests_exclusion=True, decision=Decision.OPEN)
        names = list(suggested.values_list("file_name", flat=True))
        suggested.update(decision=Decision.EXCLUDED, decided_by=user, decided_at=timezone.now())
        if names:
            record(user, "vetting.suggestions_taken", run, product=product, after={"files": names})
    return len(names)


def continue_after_vetting(user: User | None, run: TrainingRun) -> None:
    """Go on with what was not left out; a picture that nobody decided on is kept."""
    require(user, policies.MANAGE, run.viewpoint.product)
    policies.check_in_use(run.viewpoint.product)
    policies.check_awaits_vetting(run)
    _check_left(run.snapshot)
    with transaction.atomic():
        paused = TrainingRun.objects.filter(pk=run.pk, state=JobState.PAUSED)
        if not paused.update(vetted=True, **_queued_afresh()):
            raise WrongState("not_waiting", "Somebody else let this run go on already.")
        run.refresh_from_db()
        record(user, "vetting.finished", run, product=run.viewpoint.product)
        enqueue(run)
        announce.run_state(run)


def _check_left(snapshot: DatasetSnapshot) -> None:
    left = snapshot.items.exclude(decision=Decision.EXCLUDED).count()
    if left < MIN_PICTURES:
        raise UserError(
            "too_few_left",
            "Only {left} pictures are left, and training needs {least}. Keep some of those that "
            "you left out, or cancel the run and upload more.",
            left=left,
            least=MIN_PICTURES,
        )


# --- cancel and resume -----------------------------------------------------------------


def cancel_run(user: User | None, run: TrainingRun) -> None:
    """Stop a run. A waiting one ends at once, a running one within seconds."""
    require(user, policies.MANAGE, run.viewpoint.product)
    run.refresh_from_db()
    policies.check_cancellable(run)
    with transaction.atomic():
        ended = request_cancel(run)
        run.refresh_from_db()
        record(user, "run.cancel_requested", run, product=run.viewpoint.product)
        if ended:
            outbox.run_finished(run)
        announce.run_state(run)


def settle_run(run: TrainingRun) -> None:
    """The reaper moved the run, in the same transaction: given up, cancelled, or queued again."""
    if run.ended:
        outbox.run_finished(run)
    announce.run_state(run)


def resume_run(user: User | None, run: TrainingRun) -> None:
    """Go on with a failed or cancelled run from its last checkpoint."""
    require(user, policies.MANAGE, run.viewpoint.product)
    policies.check_in_use(run.viewpoint.product)
    run.refresh_from_db()
    policies.check_resumable(run)
    check_free_space()
    with transaction.atomic():
        ended = TrainingRun.objects.filter(
            pk=run.pk, state__in=(JobState.FAILED, JobState.CANCELLED)
        )
        if not ended.update(**_queued_afresh()):
            raise WrongState("not_resumable", "Somebody else resumed this run already.")
        run.refresh_from_db()
        record(user, "run.resumed", run, product=run.viewpoint.product)
        enqueue(run)
        announce.run_state(run)


def _queued_afresh() -> dict[str, object]:
    """The fields of a row that a person put into the queue again: attempts start anew."""
    return {
        "state": JobState.QUEUED,
        "attempt": 0,
        "cancel_requested_at": None,
        "queued_at": timezone.now(),
        "published_at": None,
        "finished_at": None,
        "error": "",
        "error_code": "",
    }
