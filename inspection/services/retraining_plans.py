"""Learning again without being asked: every so many days, or when the scores of good parts drift.

The row decides. The scheduler looks once a minute and takes a turn by one conditional UPDATE.
"""

import logging
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy

from inspection import policies
from inspection.errors import Sentence, UserError, WrongState
from inspection.models import JobState, RetrainingPlan, TrainingRun, User, Viewpoint

from . import training
from .access import require
from .audit import record
from .locking import lock_row
from .notifications import notify
from .retraining import Settings, changes

log = logging.getLogger(__name__)

Trigger = TrainingRun.Trigger
UNDER_WAY = (JobState.QUEUED, JobState.RUNNING, JobState.PAUSED)
LONGEST_DAYS = 366


def set_plan(
    user: User | None,
    viewpoint: Viewpoint,
    *,
    every_days: int | None,
    on_drift: bool,
    least_new: int,
    settings: Settings,
) -> RetrainingPlan:
    """When this viewpoint learns again by itself. The first turn is a whole period from now."""
    product = viewpoint.product
    require(user, policies.MANAGE, product)
    policies.check_in_use(product)
    if every_days is not None and not 1 <= every_days <= LONGEST_DAYS:
        raise UserError("bad_period", "Give 1 to 366 days, or none.", field="every_days")
    if least_new < 0:
        raise UserError("bad_count", "Give 0 or more pictures.", field="least_new")
    training.check_settings(settings.preset, settings.budget_minutes, settings.method)
    with transaction.atomic():
        lock_row(viewpoint)
        plan, _new = RetrainingPlan.objects.get_or_create(viewpoint=viewpoint)
        lock_row(plan)  # against the scheduler, which takes turns without the viewpoint's lock
        plan.refresh_from_db()
        before = _told(plan)
        if plan.every_days != every_days or (every_days and plan.due_at is None):
            plan.due_at = timezone.now() + timedelta(days=every_days) if every_days else None
        plan.every_days, plan.on_drift, plan.least_new = every_days, on_drift, least_new
        plan.drift_at = plan.drift_at if on_drift else None
        plan.preset, plan.method = settings.preset, settings.method
        plan.budget_minutes, plan.changed_by = settings.budget_minutes, user
        plan.save()
        record(
            user,
            "retraining.planned",
            viewpoint,
            product=product,
            before=before,
            after=_told(plan),
        )
    return plan


def _told(plan: RetrainingPlan) -> dict[str, object]:
    names = ("every_days", "on_drift", "least_new", "preset", "method", "budget_minutes")
    return {name: getattr(plan, name) for name in names}


def note_drift(viewpoint: Viewpoint, at: datetime | None = None) -> bool:
    """A drift alert: the scheduler answers it if this viewpoint is to learn on drift. Alerts
    that come before the answer are one. Returns whether it will be answered."""
    waiting = RetrainingPlan.objects.filter(viewpoint=viewpoint, on_drift=True, drift_at=None)
    return bool(waiting.update(drift_at=at or timezone.now()))


def start_due(now: datetime | None = None) -> list[TrainingRun]:
    """Take every turn that is due. The row decides: of two schedulers one takes it."""
    now = now or timezone.now()
    due = RetrainingPlan.objects.filter(
        Q(due_at__lte=now) | Q(drift_at__isnull=False), viewpoint__product__archived_at=None
    )
    started = []
    for plan in due.select_related("viewpoint__product"):
        trigger = Trigger.DRIFT if plan.drift_at else Trigger.SCHEDULE
        if _take(plan, now) and (run := _turn(plan, trigger)):
            started.append(run)
    return started


def _take(plan: RetrainingPlan, now: datetime) -> bool:
    """One conditional UPDATE that names what was read."""
    later = plan.due_at
    if later is not None and later <= now:
        later = now + timedelta(days=plan.every_days) if plan.every_days else None
    same = RetrainingPlan.objects.filter(pk=plan.pk, due_at=plan.due_at, drift_at=plan.drift_at)
    return bool(same.update(due_at=later, drift_at=None, last_looked_at=now))


def _turn(plan: RetrainingPlan, trigger: str) -> TrainingRun | None:
    """Start the run, or write down why there is none."""
    run, refusal = None, _why_not(plan)
    if not refusal:
        try:
            run = training.start_run(
                None,
                plan.viewpoint,
                preset=plan.preset,
                method=plan.method,
                budget_minutes=plan.budget_minutes,
                vetting=TrainingRun.Vetting.EXCLUDE,  # nobody is there to be asked
                trigger=trigger,
            )
        except UserError as error:
            refusal = error
    fields: dict[str, object] = {
        "last_note": str(refusal)[:300] if refusal else "",
        "last_refusal": refusal.stored if refusal else {},
    }
    if run:
        fields["last_run"] = run
    RetrainingPlan.objects.filter(pk=plan.pk).update(**fields)
    _tell(plan, trigger, run, refusal.later if refusal else "")
    return run


def _why_not(plan: RetrainingPlan) -> UserError | None:
    """None where a run can begin."""
    if plan.viewpoint.training_runs.filter(state__in=UNDER_WAY).exists():
        return WrongState("under_way", "A run was under way already.")
    new = changes(plan.viewpoint).added.count()
    if new < plan.least_new:
        return WrongState(
            "few_new",
            "Only {new} good parts are new since the last model; {least} were asked for.",
            new=new,
            least=plan.least_new,
        )
    return None


def _tell(plan: RetrainingPlan, trigger: str, run: TrainingRun | None, note: Sentence) -> None:
    """A drift alert is always answered with a word; a quiet turn of the schedule is not news."""
    product = plan.viewpoint.product
    if run is None and trigger == Trigger.SCHEDULE:
        log.info("no run for %s: %s", plan.viewpoint, note)
        return
    if run:
        again = gettext_lazy("{product} learns again: run {n}")
        title = format_lazy(again, product=product.name, n=run.number)
        text: Sentence = Trigger(run.trigger).label
        url = f"/runs/{run.pk}/"
    else:
        drifts = gettext_lazy("{product} drifts, and was not trained anew")
        title = format_lazy(drifts, product=product.name)
        text, url = note, f"/products/{product.pk}/retraining/?viewpoint={plan.viewpoint.code}"
    notify(policies.MANAGE, kind="retraining", title=title, text=text, url=url, product=product)
