"""A full disk is refused before it can spoil anything."""

import shutil
from pathlib import Path

from django.conf import settings

from inspection.errors import UserError

GB = 10**9


def free_gb(folder: Path | None = None) -> float:
    """Free space, in GB, of the disk that holds `folder` (by default the data folder)."""
    place = folder or settings.VAR_DIR
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free / GB


def check_free_space(needed_gb: float = 0.0) -> None:
    """Raise UserError `disk_full` unless MIN_FREE_GB and `needed_gb` more are free."""
    free = free_gb()
    if free < settings.MIN_FREE_GB + needed_gb:
        raise UserError(
            "disk_full",
            "Only {free:.1f} GB are free on the disk that holds the data; {needed:.1f} GB must "
            "stay free. Delete what is no longer needed or enlarge the disk, then try again.",
            free=free,
            needed=settings.MIN_FREE_GB + needed_gb,
        )
