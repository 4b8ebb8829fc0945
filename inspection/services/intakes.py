"""Watched folders as people set them up; what lies in them is looked at by intake_looks."""

from collections.abc import Iterable
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext_noop

from inspection import policies
from inspection.errors import UserError, WrongState
from inspection.models import Intake, IntakeFile, Station, User, Viewpoint

from .access import require
from .audit import record
from .intake_patterns import FIELDS as PATTERN_FIELDS
from .intake_patterns import compiled, read_name
from .intake_sources import overlap, source_of
from .locking import lock_row
from .visible import visible

LONGEST_WAIT_S = 3600
LONGEST_QUIET_MINUTES = 7 * 24 * 60
MOST_EXAMPLES = 20
FIELDS = (
    "name",
    "viewpoint",
    "station",
    "location",
    "pattern",
    "stable_seconds",
    "quiet_minutes",
    "afterwards",
)
__all__ = [
    "FIELDS",
    "PATTERN_FIELDS",
    "create_intake",
    "edit_intake",
    "examples",
    "files_of",
    "hold_places",
    "pause_intake",
    "resume_intake",
    "with_counts",
]
# Refusals that another pattern may mend.
BY_NAME = ("other_name", "other_side", "bad_name")


def create_intake(
    user: User,
    *,
    name: str,
    viewpoint: Viewpoint,
    location: str,
    pattern: str,
    station: Station | None = None,
    stable_seconds: int = 5,
    quiet_minutes: int = 15,
    afterwards: str = Intake.Afterwards.LEAVE,
) -> Intake:
    """Watch a folder, or a prefix `s3://bucket/prefix`. Files come in with the rights of `user`.

    Raises UserError naming the field: the place must be below what an administrator allows.
    """
    require(user, policies.MANAGE, viewpoint.product)
    policies.check_in_use(viewpoint.product)
    intake = Intake(
        name=name,
        viewpoint=viewpoint,
        location=location,
        pattern=pattern,
        station=station,
        stable_seconds=stable_seconds,
        quiet_minutes=quiet_minutes,
        afterwards=afterwards,
        created_by=user,
    )
    _check(intake)
    with transaction.atomic():
        _check_own_place(user, intake)
        _save(intake)
        product = viewpoint.product
        record(user, "intake.created", intake, product=product, after=_seen(intake))
    return intake


def edit_intake(user: User, intake: Intake, **fields: Any) -> Intake:
    """Change any of FIELDS. From now on files come in with the rights of `user`. Files that were
    rejected for their names are read again when the pattern is another one."""
    require(user, policies.MANAGE, intake.viewpoint.product)
    if unknown := set(fields) - set(FIELDS):
        raise ValueError(f"no such field: {unknown}")
    if not fields:
        return intake
    before = _seen(intake)
    for name, value in fields.items():
        setattr(intake, name, value)
    require(user, policies.MANAGE, intake.viewpoint.product)
    policies.check_in_use(intake.viewpoint.product)
    intake.created_by = user
    _check(intake)
    with transaction.atomic():
        _check_own_place(user, intake)
        _save(intake)
        if before["location"] != intake.location:
            _look_anew(intake)
        if before["pattern"] != intake.pattern:
            _read_names_again(intake)
        product, after = intake.viewpoint.product, _seen(intake)
        record(user, "intake.edited", intake, product=product, before=before, after=after)
    return intake


def pause_intake(user: User, intake: Intake) -> Intake:
    """Look no more; what is being taken right now is the last."""
    return _set_paused(user, intake, True)


def resume_intake(user: User, intake: Intake) -> Intake:
    """Look again; files that came meanwhile are taken."""
    return _set_paused(user, intake, False)


def _set_paused(user: User, intake: Intake, pause: bool) -> Intake:
    product = intake.viewpoint.product
    require(user, policies.MANAGE, product)
    if not pause:
        policies.check_in_use(product)
    with transaction.atomic():
        rows = Intake.objects.filter(pk=intake.pk, paused_at__isnull=pause)
        if not rows.update(paused_at=timezone.now() if pause else None, last_error=""):
            paused = gettext_noop("{name} is paused already.")
            watched = gettext_noop("{name} is watched already.")
            raise WrongState("already", paused if pause else watched, name=intake.name)
        record(user, "intake.paused" if pause else "intake.resumed", intake, product=product)
    intake.refresh_from_db()
    return intake


def examples(pattern: str, names: Iterable[str]) -> list[dict[str, Any]]:
    """How the pattern reads each of the example names; `read` is None where it does not fit.

    Raises UserError where the pattern itself is wrong.
    """
    compiled(pattern)
    clean = [name.strip() for name in names if name.strip()][:MOST_EXAMPLES]
    return [{"name": name, "read": read_name(pattern, name)} for name in clean]


def with_counts(intakes: QuerySet[Intake]) -> QuerySet[Intake]:
    """Each with how many of its files had each outcome, by the outcome's name: `accepted`, …"""
    outcomes = IntakeFile.Outcome.values
    return intakes.annotate(
        **{one: Count("files", filter=Q(files__outcome=one)) for one in outcomes}
    )


def files_of(intake: Intake, *, outcome: str = "", path: str = "") -> QuerySet[IntakeFile]:
    """What became of its files, newest first: all, or those of one outcome and whose path
    contains `path`."""
    files = intake.files.order_by("-id")
    if outcome in IntakeFile.Outcome.values:
        files = files.filter(outcome=outcome)
    return files.filter(path__icontains=path) if path else files


def hold_places() -> None:
    """Until the running transaction ends, nobody else sets up or changes what is watched."""
    # Of folders that are not there yet none can be locked: the oldest viewpoint stands for all.
    oldest = Viewpoint.objects.order_by("pk").first()
    if oldest:
        lock_row(oldest)


def _check(intake: Intake) -> None:
    intake.name, intake.location = intake.name.strip(), intake.location.strip()
    intake.pattern = intake.pattern.strip()
    if not intake.name or len(intake.name) > 80:
        raise UserError("name_missing", "Give the folder a name of 1 to 80 signs.", field="name")
    if len(intake.location) > 500:
        raise UserError("bad_location", "The path is longer than 500 signs.", field="location")
    compiled(intake.pattern)
    _check_number(intake.stable_seconds, 1, LONGEST_WAIT_S, "stable_seconds")
    _check_number(intake.quiet_minutes, 1, LONGEST_QUIET_MINUTES, "quiet_minutes")
    if intake.afterwards not in Intake.Afterwards.values:
        raise UserError("bad_afterwards", "Leave, move or delete the files.", field="afterwards")
    source_of(intake.location)


def _check_number(value: int, least: int, most: int, field: str) -> None:
    if not least <= value <= most:
        raise UserError(
            "bad_number", "It must be {least} to {most}.", least=least, most=most, field=field
        )


def _check_own_place(user: User, intake: Intake) -> None:
    """Two folders inside each other would take every file twice. Holds whoever else asks."""
    hold_places()
    for other in Intake.objects.exclude(pk=intake.pk):
        if overlap(intake.location, other.location):
            raise _watched_already(user, other)


def _watched_already(user: User, other: Intake) -> UserError:
    if not visible(user, Intake).filter(pk=other.pk).exists():
        return UserError(
            "watched_already",
            "This folder, one inside it or one around it is watched for a product that you may "
            "not see. Choose another folder.",
            field="location",
        )
    return UserError(
        "watched_already",
        "“{name}” watches {location} already. Choose a folder outside of it.",
        name=other.name,
        location=other.location,
        field="location",
    )


def _save(intake: Intake) -> None:
    try:
        with transaction.atomic():
            if intake._state.adding:
                intake.save(force_insert=True)
            else:
                intake.save(update_fields=[*FIELDS, "created_by"])
    except IntegrityError as error:
        raise UserError(
            "name_taken",
            "There is a watched folder “{name}” already.",
            name=intake.name,
            field="name",
        ) from error


def _look_anew(intake: Intake) -> None:
    """Begin at the first file of the new place; a look that is still at the old one ends."""
    Intake.objects.filter(pk=intake.pk).update(
        resume_after=b"", token=None, lease_expires_at=None, last_error=""
    )


def _read_names_again(intake: Intake) -> None:
    later = IntakeFile.objects.filter(
        intake=intake, path_hash=OuterRef("path_hash"), id__gt=OuterRef("id")
    )
    refused = intake.files.filter(
        outcome=IntakeFile.Outcome.REJECTED, code__in=BY_NAME, put_away_at=None
    )
    keys = list(refused.exclude(Exists(later)).values_list("pk", flat=True))
    # They were there in this round: they are not gone before the next one has passed them.
    now = Intake.objects.values_list("round_number", flat=True).get(pk=intake.pk)
    IntakeFile.objects.filter(pk__in=keys).update(
        outcome=IntakeFile.Outcome.WAITING,
        code="",
        message="",
        decided_at=None,
        seen_in_round=now,
    )


def _seen(intake: Intake) -> dict[str, Any]:
    plain = ("name", "location", "pattern", "stable_seconds", "quiet_minutes", "afterwards")
    return {field: getattr(intake, field) for field in plain} | {
        "viewpoint": str(intake.viewpoint),
        "station": str(intake.station or ""),
    }
