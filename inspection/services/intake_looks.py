"""Looking into watched folders: what lies still becomes an inspection, and every file a row.

A file is taken in one transaction: its row, its unit, its inspection. What is killed before is
done again and finds the picture there already; what is killed after only puts the file away.
"""

import hashlib
import logging
import time
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from typing import IO, cast
from uuid import UUID, uuid4

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from inspection import policies
from inspection.errors import NotAllowed, UserError
from inspection.models import Image, Intake, IntakeFile

from . import batches
from .access import require
from .images import store_image
from .incoming import HEARD_EVERY_S, Incoming
from .intake_batches import batch_for, dispatch_waiting, seal_quiet
from .intake_patterns import Read, read_name
from .intake_rounds import Round
from .intake_seen import PROCESSED, REJECTED, Seen, Source, is_link, shown
from .intake_sources import source_of

log = logging.getLogger(__name__)
Outcome, Afterwards = IntakeFile.Outcome, Intake.Afterwards

PORTION = 400  # files whose rows are asked at once
LEASE = timedelta(seconds=60)
LOOK_S = 20.0  # then the next folder has its turn; the next look goes on behind the last file
OTHER_NAME_STAYS_S = 3600.0  # a file with another name may be one that is still being written
MOST_TROUBLES = 3
# What the next look may find mended: the file waits, with the sentence.
TRIED_AGAIN = (
    "batch_sealed",  # by a person, at this moment: the next look opens another
    "changed",
    "disk_full",
    "incomplete_transfer",
    "no_folder",
    "no_model",
    "product_archived",
    "unreadable",
)


class Taken(Exception):
    """Another worker looks into this folder now."""


class Troubles(Exception):
    """The look came to its end, but not everything could be done."""

    def __init__(self, refusals: list[UserError]) -> None:
        super().__init__("; ".join(map(str, refusals)))
        self.refusals = refusals


def look_into_all() -> int:
    """Look into every folder that nobody else looks into; returns how many files were decided."""
    decided = 0
    for key in Intake.objects.filter(paused_at=None).values_list("pk", flat=True):
        try:
            decided += look_into(key)
        except Exception:  # one folder must not keep all the others waiting
            log.exception("looking into the watched folder %s broke off", key)
    return decided


def look_into(key: UUID) -> int:
    """One look into one folder, unless another worker is at it; how many files were decided."""
    now, token = timezone.now(), uuid4()
    free = Q(lease_expires_at=None) | Q(lease_expires_at__lt=now)
    mine = Intake.objects.filter(free, pk=key, paused_at=None)
    if not mine.update(token=token, lease_expires_at=now + LEASE):
        return 0
    look = _Look(_row(key), token)
    error = ""
    try:
        look.run()
    except UserError as refusal:
        error = refusal.message
    except Troubles as found:
        error = " ".join(one.message for one in found.refusals)
    except Taken:
        return look.decided
    except Exception:
        error = _broke_off().message
        raise
    finally:
        Intake.objects.filter(pk=key, token=token).update(
            token=None, lease_expires_at=None, last_look_at=timezone.now(), last_error=error
        )
    return look.decided


def _broke_off() -> UserError:
    return UserError(
        "broke_off",
        "The last look broke off by an unexpected error. It is tried again; the log of the server "
        "says more.",
    )


def _row(key: UUID) -> Intake:
    also = ("viewpoint__product", "station", "created_by")
    return Intake.objects.select_related(*also).get(pk=key)


class _Look:
    """One look of one worker."""

    def __init__(self, intake: Intake, token: UUID) -> None:
        self.intake, self.token = intake, token
        self.user = intake.created_by
        self.decided = 0
        self.round = Round(intake, token)
        self.tell_at = 0.0
        self.unmoved: list[UserError] = []  # the first stands for all of them

    def run(self) -> None:
        """Raises UserError where the folder as a whole cannot be worked on, Troubles, or Taken."""
        try:
            require(self.user, policies.REVIEW, self.intake.viewpoint.product)
            policies.check_in_use(self.intake.viewpoint.product)
            source = source_of(self.intake.location)
            self._files(source)
        finally:  # what came before is judged and ends, whatever is wrong with the folder now
            dispatch_waiting(self.intake)
            seal_quiet(self.intake)
        if troubles := self._troubles(source):
            raise Troubles(troubles)

    def _troubles(self, source: Source) -> list[UserError]:
        skipped = [
            UserError(
                "folder_skipped",
                "{folder} cannot be looked into: {reason}. Give Kintsugi the right to read it; "
                "the rest is taken.",
                folder=shown(folder) or self.intake.location,
                reason=reason,
            )
            for folder, reason in source.skipped.items()
        ]
        return [*skipped[:MOST_TROUBLES], *self.unmoved[:1]]

    def _files(self, source: Source) -> None:
        try:
            ended = self._came_to_the_end(source)
        finally:
            for folder in source.skipped:
                self.round.could_not_see(folder)
        if ended:
            self._fence()
            self._missing()

    def _came_to_the_end(self, source: Source) -> bool:
        coming = source.files(self.round.after, self._heard)
        until = None
        while portion := list(islice(coming, PORTION)):
            # From here: were the time of listing counted, a slow drive would get a file a look.
            until = until or time.monotonic() + LOOK_S
            self._fence()
            self.round.saw(portion)
            for seen, row in self._known(portion):
                self._one_alone(source, seen, row)
                if time.monotonic() > until:
                    self.round.stop_behind(seen)
                    return False
        return True

    def _known(self, portion: list[Seen]) -> Iterator[tuple[Seen, IntakeFile | None]]:
        """Each file with its newest row."""
        hashes = [seen.path_hash for seen in portion]
        rows = self.intake.files.filter(path_hash__in=hashes).order_by("id")
        newest = {row.path_hash: row for row in rows}
        for seen in portion:
            yield seen, newest.get(seen.path_hash)

    # --- one file ----------------------------------------------------------------------

    def _one_alone(self, source: Source, seen: Seen, row: IntakeFile | None) -> None:
        try:
            self._one(source, seen, row)
        except (UserError, Taken):
            raise
        except Exception:
            # Whatever it is about this file: it must not keep those behind it waiting for ever.
            self.round.stop_behind(seen)
            raise

    def _one(self, source: Source, seen: Seen, row: IntakeFile | None) -> None:
        ended = row is not None and row.outcome != Outcome.WAITING
        if row is None or (ended and _is_another(row, seen)):
            self._note(seen)
        elif ended:
            self._put_away(source, seen, row)
        elif not _same(row, seen):
            self._note_again(seen, row)
        elif timezone.now() - row.same_since >= timedelta(seconds=self.intake.stable_seconds):
            self._decide(source, seen, row)
            self._put_away(source, seen, row)

    def _note(self, seen: Seen) -> None:
        """A first row; whether it lies still, a later look says."""
        IntakeFile.objects.create(
            intake=self.intake,
            path=seen.shown,
            path_hash=seen.path_hash,
            size=seen.size,
            version=seen.version,
            same_since=timezone.now(),
            seen_in_round=self.round.number,
        )

    def _note_again(self, seen: Seen, row: IntakeFile) -> None:
        IntakeFile.objects.filter(pk=row.pk, outcome=Outcome.WAITING).update(
            size=seen.size, version=seen.version, same_since=timezone.now(), code="", message=""
        )

    def _decide(self, source: Source, seen: Seen, row: IntakeFile) -> None:
        self._fence()
        try:
            self._accept(source, seen, row)
        except NotAllowed:
            raise
        except UserError as refusal:
            again = refusal.code in TRIED_AGAIN
            fields = {"code": refusal.code, "message": refusal.message}
            if again:
                IntakeFile.objects.filter(pk=row.pk, outcome=Outcome.WAITING).update(**fields)
            else:
                self._end(row, Outcome.REJECTED, **fields)
            if refusal.code in ("disk_full", "no_model", "no_folder", "product_archived"):
                raise
        row.refresh_from_db()

    def _accept(self, source: Source, seen: Seen, row: IntakeFile) -> None:
        said = self._read(seen)
        with source.open(seen) as stream:
            # A large file over a slow line takes longer than the lease: it is renewed meanwhile.
            incoming = cast("IO[bytes]", Incoming(seen.shown, stream, seen.size, self._fence))
            image, _ = store_image(self.user, seen.shown, incoming)
        identity = _identity(image, said)
        twin = self.intake.files.filter(identity=identity).first()
        if twin is None:
            try:
                self._inspect(row, image, said, identity)
                return
            except IntegrityError:
                twin = self.intake.files.filter(identity=identity).first()
                if twin is None:
                    raise
        self._end(
            row,
            Outcome.DUPLICATE,
            sha256=image.sha256,
            code="duplicate",
            message=f"The same picture of the same part came as {twin.path} already.",
            inspection=twin.inspection,
        )

    def _read(self, seen: Seen) -> Read:
        """What the name says. Raises UserError where it says nothing that can be used."""
        if seen.link:
            raise is_link(seen)
        if not seen.is_clean:
            raise UserError(
                "bad_name",
                "The name {name!r} has signs that cannot be read, or is too long. Rename the file.",
                name=seen.shown,
            )
        said = read_name(self.intake.pattern, seen.shown)
        if said is None:
            raise UserError(
                "other_name",
                "{name} is not named like {pattern}. Rename the file, or correct the pattern and "
                "copy it here again.",
                name=seen.shown,
                pattern=self.intake.pattern,
            )
        viewpoint = self.intake.viewpoint
        sides = {viewpoint.side.casefold(), viewpoint.code.casefold()}
        if said.side and viewpoint.side and said.side.casefold() not in sides:
            raise UserError(
                "other_side",
                "{name} shows side {side}; this folder is for side {other}.",
                name=seen.shown,
                side=said.side,
                other=viewpoint.side,
            )
        return said

    def _inspect(self, row: IntakeFile, image: Image, said: Read, identity: str) -> None:
        """All that makes a file accepted, or nothing of it."""
        with transaction.atomic():
            self._fence()
            batch = batch_for(self.intake, said)
            inspection = batches.add_image(
                batch,
                image,
                row.path,
                serial_number=said.serial,
                panel_id=said.panel,
                position_number=said.position,
            )
            self._end(
                row,
                Outcome.ACCEPTED,
                sha256=image.sha256,
                identity=identity,
                inspection=inspection,
                code="",
                message="",
            )
        batches.dispatch(batch)

    def _end(self, row: IntakeFile, outcome: str, **fields: object) -> None:
        waiting = IntakeFile.objects.filter(pk=row.pk, outcome=Outcome.WAITING)
        if not waiting.update(outcome=outcome, decided_at=timezone.now(), **fields):
            raise Taken
        self.decided += 1

    def _fence(self) -> None:
        """Nothing is written once the folder is somebody else's, or was paused."""
        mine = Intake.objects.filter(pk=self.intake.pk, token=self.token, paused_at=None)
        if not mine.update(lease_expires_at=timezone.now() + LEASE):
            raise Taken

    def _heard(self) -> None:
        """A listing goes on, however long it takes: the folder stays ours."""
        now = time.monotonic()
        if now >= self.tell_at:
            self.tell_at = now + HEARD_EVERY_S
            self._fence()

    # --- afterwards --------------------------------------------------------------------

    def _put_away(self, source: Source, seen: Seen, row: IntakeFile) -> None:
        """Move or delete, as was told; a file that is not taken is never deleted."""
        afterwards = self.intake.afterwards
        rejected = row.outcome == Outcome.REJECTED
        if (
            row.put_away_at
            or row.outcome == Outcome.WAITING
            or afterwards == Afterwards.LEAVE
            or (rejected and afterwards == Afterwards.DELETE)
            or seen.link
            or (row.code == "other_name" and time.time() - seen.modified < OTHER_NAME_STAYS_S)
        ):
            return
        try:
            if afterwards == Afterwards.DELETE:
                source.delete(seen)
            else:
                source.move(seen, REJECTED if rejected else PROCESSED, row.pk.hex[-6:])
        except UserError:
            return  # it changed or went: the next look sees what is there
        except Exception as error:
            trouble = UserError(
                "not_put_away",
                "{name} was read, but cannot be moved or deleted: {error}. Give Kintsugi the "
                "right to write there, or let the files be left.",
                name=seen.shown,
                error=error,
            )
            self.unmoved.append(trouble)
            return
        IntakeFile.objects.filter(pk=row.pk).update(put_away_at=timezone.now())

    def _missing(self) -> None:
        """Files that waited and are no longer there have a row that says so."""
        for row in self.round.end().iterator():
            message = f"{row.path} disappeared before it was read. Copy it here again."
            self._end(row, Outcome.REJECTED, code="vanished", message=message)


def _is_another(row: IntakeFile, seen: Seen) -> bool:
    """Written anew, or put back after it had gone: then it is as new, though nothing in it is."""
    was_gone = row.code == "vanished" or (row.put_away_at is not None and not seen.link)
    return was_gone or not _same(row, seen)


def _same(row: IntakeFile, seen: Seen) -> bool:
    return row.size == seen.size and row.version == seen.version


def _identity(image: Image, said: Read) -> str:
    """The same bytes of the same part are one; of another part they are another inspection."""
    parts = (image.sha256, said.serial, said.panel, str(said.position))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
