"""Reports that are ordered by the clock. One conditional UPDATE per schedule and date decides
who orders, so that two schedulers, or one that was late, never order the same report twice."""

import logging
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.utils import timezone

from inspection import policies
from inspection.errors import UserError, WrongState
from inspection.models import Lot, Product, ReportKind, ReportSchedule, User

from . import report_pdf, reports
from .access import require
from .audit import record
from .locking import lock_row

log = logging.getLogger(__name__)
Every = ReportSchedule.Every
MAX_RECIPIENTS = 20
FIELDS = ("kind", "every", "weekday", "hour", "language", "recipients")
TIMES = ("every", "weekday", "hour")


def schedule_report(
    user: User,
    product: Product,
    *,
    kind: str,
    every: str,
    hour: int,
    recipients: list[str],
    weekday: int = 0,
    language: str = "en",
) -> ReportSchedule:
    """Send a report by itself from now on. Engineers and above, since it leaves the house."""
    require(user, policies.MANAGE, product)
    schedule = ReportSchedule(
        product=product,
        kind=kind,
        every=every,
        hour=hour,
        weekday=weekday,
        language=language,
        recipients=recipients,
        created_by=user,
    )
    _check(schedule)
    _check_can_be_made(schedule)
    schedule.next_at = following(schedule, timezone.now())
    with transaction.atomic():
        schedule.save(force_insert=True)
        record(user, "report.scheduled", schedule, product=product, after=_plain(schedule))
    return schedule


def edit_schedule(user: User, schedule: ReportSchedule, **fields: Any) -> ReportSchedule:
    """Change some of FIELDS; what stays the same is not written down. At another time its next
    report is the first one of that time, and begins where the last one ended.

    Raises UserError with the field that is wrong.
    """
    require(user, policies.MANAGE, schedule.product)
    if unknown := set(fields) - set(FIELDS):
        raise TypeError(f"a schedule has no {', '.join(sorted(unknown))}")
    with transaction.atomic():
        lock_row(schedule)
        schedule.refresh_from_db()
        before, reported_until = _plain(schedule), _reported_until(schedule)
        for name, value in fields.items():
            setattr(schedule, name, value)
        _check(schedule)
        after = _plain(schedule)
        changed = [name for name in FIELDS if before[name] != after[name]]
        if not changed:
            return schedule
        if "kind" in changed:
            _check_can_be_made(schedule)
        if set(changed) & set(TIMES):
            schedule.next_at = following(schedule, timezone.now())
            schedule.next_since = reported_until
        schedule.save(update_fields=[*changed, "next_at", "next_since"])
        record(
            user,
            "report.schedule_edited",
            schedule,
            product=schedule.product,
            before={name: before[name] for name in changed},
            after={name: after[name] for name in changed},
        )
    return schedule


def end_schedule(user: User, schedule: ReportSchedule) -> None:
    """Send nothing more, until somebody switches it on again."""
    require(user, policies.MANAGE, schedule.product)
    with transaction.atomic():
        rows = ReportSchedule.objects.filter(pk=schedule.pk, ended_at=None)
        if rows.update(ended_at=timezone.now()):
            record(
                user,
                "report.unscheduled",
                schedule,
                product=schedule.product,
                before=_plain(schedule),
            )


def resume_schedule(user: User, schedule: ReportSchedule) -> ReportSchedule:
    """Send again what was ended; what it missed meanwhile is not made up for."""
    require(user, policies.MANAGE, schedule.product)
    with transaction.atomic():
        lock_row(schedule)
        schedule.refresh_from_db()
        if schedule.enabled:
            raise WrongState("already_on", "{schedule} is sent already.", schedule=schedule)
        schedule.ended_at = None
        schedule.next_at = following(schedule, timezone.now())
        schedule.next_since = _days(timezone.localtime(schedule.next_at), -_step(schedule).days)
        schedule.save(update_fields=["ended_at", "next_at", "next_since"])
        record(
            user,
            "report.schedule_resumed",
            schedule,
            product=schedule.product,
            after=_plain(schedule),
        )
    return schedule


def delete_schedule(user: User, schedule: ReportSchedule) -> None:
    """Remove it. The reports that it ordered stay, and so do their mails."""
    require(user, policies.MANAGE, schedule.product)
    with transaction.atomic():
        lock_row(schedule)  # so that no clock orders of it while it goes
        rows = ReportSchedule.objects.filter(pk=schedule.pk)
        if rows.exists():
            record(
                user,
                "report.schedule_deleted",
                schedule,
                product=schedule.product,
                before=_plain(schedule),
            )
            rows.delete()


def order_due(now: datetime | None = None) -> int:
    """Order what is due; returns how many reports. One schedule that fails stops no other."""
    moment = now or timezone.now()
    due = ReportSchedule.objects.filter(ended_at=None, next_at__lte=moment)
    ordered = 0
    for schedule in due.select_related("product").order_by("next_at"):
        try:
            ordered += _order(schedule, moment)
        except UserError as refusal:
            log.warning("schedule %s: %s", schedule.pk, refusal.message)
        except Exception:
            log.exception("schedule %s cannot be ordered", schedule.pk)
    return ordered


def _order(schedule: ReportSchedule, now: datetime) -> int:
    """Move the schedule on and order its reports, in one transaction. What a clock that stood
    still has missed is not made up for: only the newest period is reported, or, after a change
    of its time, all since the last report.

    A quality report is of whole days of the plant, whatever the hour at which it is sent: the
    last ones before that hour's day. So one begins where the one before ended."""
    until = latest(schedule, now)
    since = schedule.next_since or _days(timezone.localtime(until), -_step(schedule).days)
    same = {name: getattr(schedule, name) for name in ("next_at", "next_since", *TIMES)}
    with transaction.atomic():
        taken = ReportSchedule.objects.filter(pk=schedule.pk, ended_at=None, **same).update(
            next_at=following(schedule, now), next_since=None, last_at=now
        )
        if not taken:
            return 0
        schedule.refresh_from_db()  # whom to send it to may have been changed since it was read
        wanted = _wanted(schedule, since, until)
        for what in wanted:
            reports.request_report(
                None,
                schedule.product,
                kind=schedule.kind,
                language=schedule.language,
                schedule=schedule,
                **what,
            )
    return len(wanted)


def _reported_until(schedule: ReportSchedule) -> datetime | None:
    """Where its newest report ended, by the time that it still has; None before the first."""
    if schedule.next_since or not schedule.last_at:
        return schedule.next_since
    return latest(schedule, schedule.last_at)


def _wanted(schedule: ReportSchedule, since: datetime, until: datetime) -> list[dict[str, Any]]:
    """What `reports.request_report` is told of each report. No quality report where no day has
    ended: after a change of its time it may be due twice a day."""
    if schedule.kind in reports.LOT_KINDS:
        return [{"lot": lot} for lot in _lots(schedule.product, since, until)]
    begin, end = _midnight(since), _midnight(until)
    return [{"since": begin, "until": end}] if begin < end else []


def _lots(product: Product, since: datetime, until: datetime) -> list[Lot]:
    """Lots of which something was judged in the period, every one."""
    judged = Lot.objects.filter(
        product=product, inspections__completed_at__gte=since, inspections__completed_at__lt=until
    )
    return list(judged.distinct().order_by("pk"))


# --- the plant's clock -------------------------------------------------------------------


def latest(schedule: ReportSchedule, now: datetime) -> datetime:
    """The newest date of the schedule that is not after `now`."""
    local = timezone.localtime(now)
    at = local.replace(hour=schedule.hour, minute=0, second=0, microsecond=0, fold=0)
    if schedule.every == Every.WEEK:
        at = _days(at, -((local.weekday() - schedule.weekday) % 7))
    return at if at <= local else _days(at, -_step(schedule).days)


def following(schedule: ReportSchedule, now: datetime) -> datetime:
    """The first date of the schedule after `now`."""
    return _days(timezone.localtime(latest(schedule, now)), _step(schedule).days)


def _days(at: datetime, days: int) -> datetime:
    """The same hour of the plant's day some days away, over changes of the clock too."""
    return (at.replace(tzinfo=None) + timedelta(days=days)).replace(
        tzinfo=timezone.get_current_timezone()
    )


def _midnight(at: datetime) -> datetime:
    """The begin of the plant's day."""
    return timezone.localtime(at).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)


def _step(schedule: ReportSchedule) -> timedelta:
    return timedelta(days=7 if schedule.every == Every.WEEK else 1)


def _check(schedule: ReportSchedule) -> None:
    """Raise UserError at what no schedule can have; its recipients are trimmed."""
    if schedule.kind not in ReportKind.values or schedule.every not in Every.values:
        raise UserError("unknown_kind", "Choose a report and how often it is sent.", field="kind")
    if not (0 <= schedule.hour <= 23 and 0 <= schedule.weekday <= 6):
        raise UserError("bad_time", "The hour lies between 0 and 23.", field="hour")
    schedule.recipients = _addresses(schedule.recipients)


def _check_can_be_made(schedule: ReportSchedule) -> None:
    if schedule.kind != ReportKind.LOT_CSV:
        report_pdf.check()


def _addresses(recipients: list[str]) -> list[str]:
    clean = list(dict.fromkeys(address.strip() for address in recipients if address.strip()))
    if not 0 < len(clean) <= MAX_RECIPIENTS:
        raise UserError(
            "bad_recipients",
            "Name 1 to {most} e-mail addresses.",
            most=MAX_RECIPIENTS,
            field="recipients",
        )
    for address in clean:
        try:
            validate_email(address)
        except ValidationError:
            raise UserError(
                "bad_recipients",
                "{address} is not an e-mail address.",
                address=address,
                field="recipients",
            ) from None
    return clean


def _plain(schedule: ReportSchedule) -> dict[str, Any]:
    return {name: getattr(schedule, name) for name in FIELDS}
