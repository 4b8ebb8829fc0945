"""Rounds: every file of a watched folder is come to, in as many looks as it takes."""

from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils import timezone

from inspection.models import Intake, IntakeFile

from .intake_seen import Seen, shown


class Round:
    """One pass over all files of a folder. Only at its end is it known which are gone: those
    that wait and were seen in an earlier round, but not in this one."""

    def __init__(self, intake: Intake, token: UUID) -> None:
        self.after = bytes(intake.resume_after)
        self.number = intake.round_number if self.after else intake.round_number + 1
        self._mine = Intake.objects.filter(pk=intake.pk, token=token)
        # Where files are left, whether those that were read are still there is nobody's matter.
        leaves = intake.afterwards == Intake.Afterwards.LEAVE
        kept = {"outcome": IntakeFile.Outcome.WAITING} if leaves else {"put_away_at": None}
        self._kept = intake.files.filter(**kept)
        self._mine.update(round_number=self.number)

    def saw(self, portion: list[Seen]) -> None:
        """These are there."""
        self._see(Q(path_hash__in=[seen.path_hash for seen in portion]))

    def could_not_see(self, folder: bytes) -> None:
        """What lies in there may be there still."""
        self._see(Q(path__startswith=shown(folder)))

    def _see(self, which: Q) -> None:
        # Only forward: who lost the folder in the middle of a look must not undo a later round.
        self._kept.filter(which, seen_in_round__lt=self.number).update(seen_in_round=self.number)

    def stop_behind(self, seen: Seen) -> None:
        """The next look goes on behind this file."""
        self._mine.update(resume_after=seen.key)

    def end(self) -> QuerySet[IntakeFile]:
        """Every file was come to; returns those that waited and are gone."""
        self._mine.update(resume_after=b"")
        gone = self._kept.filter(seen_in_round__lt=self.number)
        # Who moved these was killed before that was written down, or a person took them away.
        gone.exclude(outcome=IntakeFile.Outcome.WAITING).update(put_away_at=timezone.now())
        return gone.filter(outcome=IntakeFile.Outcome.WAITING)
