"""What may be deleted after a while: leftovers, and checkpoints of runs that are done."""

import shutil
import time
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from inspection.errors import UserError
from inspection.models import (
    ENDED,
    JobState,
    ModelVersion,
    PartialFile,
    TrainingRun,
    UploadArchive,
)

from . import notifications, receipts, resumable, submissions, tiles, uploads

CHECKPOINT_DAYS = 7
LEFTOVER_DAYS = 2


def tidy() -> dict[str, int]:
    """Delete old leftovers; returns how many of each kind."""
    return {
        "checkpoints": drop_checkpoints(),
        "partial_files": resumable.tidy(),
        "staging": drop_staging(),
        "models": drop_unknown_models(),
        "notifications": notifications.drop_old(),
        "tiles": tiles.tidy(),
        "keys": submissions.free_expired_keys(),
    }


def drop_checkpoints() -> int:
    """Checkpoints and the working copy of the model, a week after the run was done. A failed
    or cancelled run keeps them: it may be resumed."""
    before = timezone.now() - timedelta(days=CHECKPOINT_DAYS)
    done = TrainingRun.objects.filter(state=JobState.DONE, finished_at__lt=before)
    folders = [
        Path(settings.RUNS_DIR) / str(pk) / name
        for pk in done.values_list("pk", flat=True)
        for name in ("checkpoints", "model", "events.jsonl")
    ]
    return sum(_remove(folder) for folder in folders)


def drop_staging() -> int:
    """Staged files of uploads that broke off; an archive that still waits is kept, and a file
    that comes in pieces."""
    waiting = {
        str(Path(settings.STAGING_DIR) / path)
        for path in UploadArchive.objects.filter(unpacked_at=None)
        .exclude(upload__state__in=ENDED)
        .values_list("path", flat=True)
    }
    waiting |= {str(one.path) for one in PartialFile.objects.filter(finished_at=None)}
    removed = sum(
        _remove(file)
        for file in _old(Path(settings.STAGING_DIR))
        if not any(path.startswith(str(file)) for path in waiting)
    )
    _give_up_on_lost_archives()
    return removed


def _give_up_on_lost_archives() -> None:
    """A zip that nobody unpacked in time has a receipt that says so, and waits no longer."""
    ended = UploadArchive.objects.filter(unpacked_at=None, upload__state__in=ENDED)
    for archive in ended.select_related("upload"):
        if uploads.staged_archive(archive.path).exists():
            continue
        with transaction.atomic():
            receipts.refuse(archive.upload, archive.client_key, archive.file_name, _gone(archive))
            archive.unpacked_at = timezone.now()
            archive.save(update_fields=["unpacked_at"])


def _gone(archive: UploadArchive) -> UserError:
    return UserError(
        "archive_gone",
        "{name} could not be unpacked and was deleted after {days} days. Send it again: pictures "
        "that are here already are not added twice.",
        name=archive.file_name,
        days=LEFTOVER_DAYS,
    )


def drop_unknown_models() -> int:
    """Model folders that no version names: a worker died between copying and writing."""
    known = set(ModelVersion.objects.values_list("folder", flat=True))
    return sum(
        _remove(folder) for folder in _old(Path(settings.MODELS_DIR)) if folder.name not in known
    )


def _old(folder: Path) -> list[Path]:
    before = time.time() - LEFTOVER_DAYS * 86400
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if path.lstat().st_mtime < before]


def _remove(path: Path) -> bool:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return True
    if path.exists():
        path.unlink(missing_ok=True)
        return True
    return False
