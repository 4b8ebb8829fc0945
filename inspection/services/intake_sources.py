"""Where watched files are: a folder of this machine, or a prefix of an S3 store."""

from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext_lazy

from inspection.errors import UserError

from .intake_bucket import S3, Bucket
from .intake_folder import Folder
from .intake_seen import Source


def source_of(location: str) -> Source:
    """The place at `location`. Raises UserError unless an administrator allowed it."""
    if location.startswith(S3):
        return _bucket(location)
    return Folder(allowed_folder(location))


def overlap(one: str, other: str) -> bool:
    """Whether two locations are one place, or one is inside the other, however written."""
    try:
        mine, theirs = _steps(one), _steps(other)
    except (OSError, RuntimeError):  # links in a circle lead to no place
        return one == other
    shorter = min(len(mine), len(theirs))
    return mine[:shorter] == theirs[:shorter]


def _steps(location: str) -> list[str]:
    """The way to a place. Some stores take `a//b` and `a/./b` for `a/b`, so these count as one."""
    if location.startswith(S3):
        steps = location.removeprefix(S3).split("/")
        return [S3, *(step for step in steps if step not in ("", "."))]
    return list(Path(location).resolve().parts)


def allowed_folder(location: str) -> Path:
    """The folder, links resolved, below one of KINTSUGI_INTAKE_ROOTS."""
    if not location.startswith("/") or "\x00" in location:
        raise UserError(
            "bad_location",
            "The folder must be a full path, such as /mnt/aoi3, or s3://bucket/prefix.",
            field="location",
        )
    try:
        folder = Path(location).resolve()
    except (OSError, RuntimeError) as error:
        raise UserError(
            "bad_location",
            "The path leads in a circle of links. Name the folder itself.",
            field="location",
        ) from error
    roots = [Path(root).resolve() for root in settings.INTAKE_ROOTS if not root.startswith(S3)]
    if not any(folder.is_relative_to(root) for root in roots):
        raise _not_allowed(location)
    own = Path(settings.VAR_DIR)
    if folder.is_relative_to(own) or own.is_relative_to(folder):
        raise UserError(
            "bad_location",
            "The folder of Kintsugi's own data cannot be watched.",
            field="location",
        )
    return folder


def _bucket(location: str) -> Bucket:
    roots = [root.rstrip("/") for root in settings.INTAKE_ROOTS if root.startswith(S3)]
    place = location.rstrip("/")
    if not any(place == root or place.startswith(f"{root}/") for root in roots):
        raise _not_allowed(location)
    bucket, _slash, prefix = place.removeprefix(S3).partition("/")
    return Bucket(bucket, f"{prefix}/" if prefix else "")


def _not_allowed(location: str) -> UserError:
    return UserError(
        "bad_location",
        "{location} may not be watched. An administrator allows folders by KINTSUGI_INTAKE_ROOTS; "
        "allowed is: {roots}.",
        location=location,
        roots=", ".join(settings.INTAKE_ROOTS) or gettext_lazy("nothing yet"),
        field="location",
    )
