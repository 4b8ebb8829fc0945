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
from uuid import UUID, uuid4

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from inspection import policies
from inspection.errors import NotAllowed, UserError
from inspection.models import Batch, Image, Intake, IntakeFile, ModelVersion, Purpose

from . import batches
from .access import require
from .images import store_image
from .intake_patterns import Read, read_name
from .intake_sources import PROCESSED, REJECTED, Seen, Source, is_link, source_of

log = logging.getLogger(__name__)
Outcome, Afterwards = IntakeFile.Outcome, Intake.Afterwards

PORTION = 400  # files whose rows are asked at once
LEASE = timedelta(seconds=60)
LOOK_S = 20.0  # then the next folder has its turn; the rest comes at the next look
# What the next look may find mended: the file waits, with the sentence.
TRIED_AGAIN = ("changed", "unreadable", "disk_full", "no_model", "incomplete_transfer", "no_folder")


class Taken(Exception):
    """Another worker looks into this folder now."""


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
    except Taken:
        return look.decided
    finally:
        Intake.objects.filter(pk=key, token=token).update(
            token=None, lease_expires_at=None, last_look_at=timezone.now(), last_error=error
        )
    return look.decided


def _row(key: UUID) -> Intake:
    also = ("viewpoint__product", "station", "created_by")
    return Intake.objects.select_related(*also).get(pk=key)


class _Look:
    """One look of one worker."""

    def __init__(self, intake: Intake, token: UUID) -> None:
        self.intake, self.token = intake, token
        self.user = intake.created_by
        self.decided = 0
        self.until = time.monotonic() + LOOK_S
        self.troubles: list[UserError] = []

    def run(self) -> None:
        """Raises UserError where the folder as a whole cannot be worked on, Taken, or nothing."""
        require(self.user, policies.REVIEW, self.intake.viewpoint.product)
        source = source_of(self.intake.location)
        try:
            self._files(source)
        finally:
            self._dispatch()
        self._seal_quiet()
        if self.troubles:
            raise self.troubles[0]

    def _files(self, source: Source) -> None:
        there: set[str] = set()
        coming = source.files()
        while portion := list(islice(coming, PORTION)):
            there.update(seen.path_hash for seen in portion)
            for seen, row in self._known(portion):
                self._one(source, seen, row)
                if time.monotonic() > self.until:
                    return
        self._missing(there)

    def _known(self, portion: list[Seen]) -> Iterator[tuple[Seen, IntakeFile | None]]:
        """Each file with its newest row."""
        hashes = [seen.path_hash for seen in portion]
        rows = self.intake.files.filter(path_hash__in=hashes).order_by("id")
        newest = {row.path_hash: row for row in rows}
        for seen in portion:
            yield seen, newest.get(seen.path_hash)

    # --- one file ----------------------------------------------------------------------

    def _one(self, source: Source, seen: Seen, row: IntakeFile | None) -> None:
        ended = row is not None and row.outcome != Outcome.WAITING
        if row is None or (ended and (row.code == "vanished" or not _same(row, seen))):
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
            if refusal.code in ("disk_full", "no_model", "no_folder"):
                raise
        row.refresh_from_db()

    def _accept(self, source: Source, seen: Seen, row: IntakeFile) -> None:
        said = self._read(seen)
        with source.open(seen) as stream:
            image, _ = store_image(self.user, seen.shown, stream)
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
            batch = self._batch(said)
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
        ):
            return
        try:
            if afterwards == Afterwards.DELETE:
                source.delete(seen)
            elif not seen.link:
                source.move(seen, REJECTED if rejected else PROCESSED, row.pk.hex[-6:])
        except UserError:
            return  # it changed or went: the next look sees what is there
        except Exception as error:
            trouble = UserError(
                "not_put_away",
                "{name} was taken, but cannot be moved or deleted: {error}. Give Kintsugi the "
                "right to write there, or let the files be left.",
                name=seen.shown,
                error=error,
            )
            self.troubles.append(trouble)
            return
        IntakeFile.objects.filter(pk=row.pk).update(put_away_at=timezone.now())

    def _missing(self, there: set[str]) -> None:
        """Files that waited and are no longer there have a row that says so."""
        for row in self.intake.files.filter(outcome=Outcome.WAITING).iterator():
            if row.path_hash not in there:
                message = f"{row.path} disappeared before it was read. Copy it here again."
                self._end(row, Outcome.REJECTED, code="vanished", message=message)

    # --- batches -----------------------------------------------------------------------

    def _batch(self, said: Read) -> Batch:
        """The open batch of this folder and lot, judged by the model that judges now."""
        lot = said.lot or said.work_order
        active = Q(model_version__state=ModelVersion.State.ACTIVE)
        there = self._open_batches().filter(active, **_of_lot(lot)).order_by("-id").first()
        if there:
            work_order = there.lot.work_order if there.lot else ""
            if not said.work_order or said.work_order == work_order:
                return there
        moment = timezone.localtime().strftime("%Y-%m-%d %H:%M")
        batch = batches.open_batch(
            self.user,
            self.intake.viewpoint,
            name=f"{self.intake.name} · {lot or moment}",
            purpose=Purpose.PRODUCTION,
            lot_code=lot,
            work_order=said.work_order,
            station=self.intake.station,
        )
        Batch.objects.filter(pk=batch.pk).update(intake=self.intake)
        return batch

    def _open_batches(self) -> QuerySet[Batch]:
        open_ = self.intake.batches.filter(sealed_at=None, cancel_requested_at=None)
        return open_.select_related("lot", "viewpoint__product", "model_version")

    def _dispatch(self) -> None:
        """Parts do not wait for their chunk to be full: a machine drops them one by one. Also
        what an earlier look added and was killed before it got here."""
        for batch in (
            self._open_batches().filter(inspections__chunk=None, inspections__verdict="").distinct()
        ):
            batches.dispatch(batch, sealing=True)

    def _seal_quiet(self) -> None:
        """Close the batches of lots that nothing came for, and of models that judge no more."""
        quiet = timezone.now() - timedelta(minutes=self.intake.quiet_minutes)
        for batch in self._open_batches():
            last = batch.inspections.order_by("-id").values_list("created_at", flat=True).first()
            stale = batch.model_version.state != ModelVersion.State.ACTIVE
            if stale or (last or batch.created_at) < quiet:
                batches.seal(self.user, batch)


def _same(row: IntakeFile, seen: Seen) -> bool:
    return row.size == seen.size and row.version == seen.version


def _of_lot(lot: str) -> dict[str, object]:
    return {"lot__code": lot} if lot else {"lot": None}


def _identity(image: Image, said: Read) -> str:
    """The same bytes of the same part are one; of another part they are another inspection."""
    parts = (image.sha256, said.serial, said.panel, str(said.position))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
