"""Pictures: checked, hashed, kept as they came under the address of their content."""

import hashlib
import io
import os
import re
import shutil
import tempfile
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

import PIL.Image
from django.conf import settings
from django.core.files.base import ContentFile, File
from django.core.files.storage import default_storage
from django.db import IntegrityError, transaction
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy

from inspection import ml_adapter
from inspection.errors import UserError
from inspection.models import Image, User

from .disk import check_free_space

CHUNK = 1 << 20
MB = 1_000_000
THUMBNAIL_PIXELS = 256
NAME_LENGTH = 255
# A picture at the pixel cap takes 240 MB decoded: no more of them at once than cores.
DECODING = threading.BoundedSemaphore(os.cpu_count() or 2)
EXTENSIONS = {"PNG": "png", "JPEG": "jpg", "TIFF": "tif", "BMP": "bmp"}


@dataclass(frozen=True)
class Staged:
    """A file that came in whole, not yet looked at."""

    path: Path
    sha256: str
    size: int


def display_name(name: str) -> str:
    """`name` as it may be shown: no drive, no way up, no control characters.

    It is never used as a path. Folders inside are kept: `lot 7/001.png`.
    """
    shown = "".join(c for c in name if unicodedata.category(c) not in ("Cc", "Cf", "Cs"))
    shown = re.sub(r"^[A-Za-z]:", "", shown.replace("\\", "/"))
    parts = [part.strip() for part in PurePosixPath(shown).parts]
    kept = "/".join(part for part in parts if part not in ("", "/", ".", ".."))
    return kept[-NAME_LENGTH:] or "file without a name"


def store_image(user: User | None, name: str, stream: IO[bytes]) -> tuple[Image, bool]:
    """Check a picture and keep it; returns it, and False when its bytes were here already.

    Raises UserError with a sentence that names the file and the remedy. Safe to run twice at
    once with the same bytes: both get the same Image.
    """
    shown = display_name(name)
    check_free_space()
    with staged(shown, stream, limit_mb=settings.MAX_FILE_MB) as file:
        return _keep(user, shown, file)


@contextmanager
def staged(name: str, stream: IO[bytes], *, limit_mb: int) -> Iterator[Staged]:
    """The stream as a hashed file in the staging folder, gone at the end unless it was moved.

    Raises UserError `too_large` as soon as more than `limit_mb` came, `empty_file` for nothing.
    """
    settings.STAGING_DIR.mkdir(parents=True, exist_ok=True)
    handle, path = tempfile.mkstemp(dir=settings.STAGING_DIR, prefix="incoming-")
    try:
        with os.fdopen(handle, "wb") as target:
            digest, size = _copy(name, stream, target, limit_mb * MB)
            target.flush()
            os.fsync(target.fileno())
        yield Staged(Path(path), digest, size)
    finally:
        Path(path).unlink(missing_ok=True)


def _copy(name: str, stream: IO[bytes], target: IO[bytes], limit: int) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    while block := stream.read(CHUNK):
        size += len(block)
        if size > limit:
            raise too_large(name, limit // MB)
        digest.update(block)
        target.write(block)
    if not size:
        raise UserError(
            "empty_file",
            "{name} is empty (0 bytes). Copy the picture again from the camera and send it anew.",
            name=name,
        )
    return digest.hexdigest(), size


def too_large(name: str, limit_mb: int) -> UserError:
    """The refusal of a file with more bytes than the limit."""
    return UserError(
        "too_large",
        "{name} is larger than {limit} MB. Save it compressed (PNG or JPEG) or crop it to the "
        "part; an administrator can raise the limit.",
        name=name,
        limit=limit_mb,
    )


def _keep(user: User | None, name: str, file: Staged) -> tuple[Image, bool]:
    known = Image.objects.filter(sha256=file.sha256).first()
    if known and _is_stored(known.storage_key, file.size):
        return known, False
    with DECODING:
        upright, facts = _decode(name, file.path)
        width, height = upright.size
        small = _thumbnail(upright)
        del upright
    key = content_key("images", file.sha256, EXTENSIONS[facts.format])
    thumbnail_key = content_key("thumbs", file.sha256, "webp")
    _save(thumbnail_key, ContentFile(small))
    _save_file(key, file)
    fields = {
        "original_name": name,
        "format": facts.format,
        "size_bytes": file.size,
        "width": width,
        "height": height,
        "mode": facts.mode[:12],
        "notes": list(facts.notes),
        "storage_key": key,
        "thumbnail_key": thumbnail_key,
        "uploaded_by": user,
    }
    return _row(file.sha256, fields)


def _row(sha256: str, fields: dict[str, object]) -> tuple[Image, bool]:
    """One row per content: of two that arrive together, one makes it and the other finds it."""
    try:
        with transaction.atomic():
            return Image.objects.create(sha256=sha256, **fields), True
    except IntegrityError:
        return Image.objects.get(sha256=sha256), False


def _decode(name: str, path: Path) -> "tuple[PIL.Image.Image, ml_adapter.PictureInfo]":
    """RGB, upright, 8 bit, and what it was. The pixel cap is checked before decoding."""
    try:
        return ml_adapter.read_picture(path)
    except ml_adapter.PictureError as error:
        trouble = format_lazy(gettext_lazy(error.sentence), **error.values)
        raise UserError(error.code, "{name}: {trouble}", name=name, trouble=trouble) from error


def _thumbnail(picture: PIL.Image.Image) -> bytes:
    """Shrinks `picture` itself: a copy of 80 megapixels is another 240 MB."""
    picture.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
    target = io.BytesIO()
    picture.save(target, "WEBP", quality=80)
    return target.getvalue()


# --- where the bytes are ---------------------------------------------------------------


def content_key(kind: str, sha256: str, extension: str) -> str:
    """`images/ab/cd/<sha>.png`: says what is inside and spreads the files over folders."""
    return f"{kind}/{sha256[:2]}/{sha256[2:4]}/{sha256}.{extension}"


def _is_stored(key: str, size: int) -> bool:
    """Whether the whole file is there; a copy that a power cut broke off is not."""
    return default_storage.exists(key) and default_storage.size(key) == size


def _save(key: str, content: "File[bytes]") -> None:
    """Put content under exactly this key. Whoever else writes it writes the same bytes."""
    saved = default_storage.save(key, content)
    if saved != key:  # a storage that does not overwrite: the other writer was first
        default_storage.delete(saved)


def _save_file(key: str, file: Staged) -> None:
    if _is_stored(key, file.size):
        return
    with file.path.open("rb") as handle:
        _save(key, _Movable(handle, file.path))


class _Movable(File):  # type: ignore[type-arg]
    """A staged file that a local storage may rename into place, which is atomic, and copies
    only to another disk; a remote storage reads it."""

    def __init__(self, handle: IO[bytes], path: Path) -> None:
        super().__init__(handle, name=path.name)
        self._path = path

    def temporary_file_path(self) -> str:
        return str(self._path)


def open_original(image: Image) -> "File[bytes]":
    """The bytes as they were uploaded. Never send them to a browser: it gets re-encodes."""
    return default_storage.open(image.storage_key)


def thumbnail(image: Image) -> "File[bytes]":
    """At most 256 pixels wide and high, WebP."""
    return default_storage.open(image.thumbnail_key)


def local_path(image: Image) -> Path:
    """A file of this machine with the original's bytes; a remote one is fetched once."""
    try:
        return Path(default_storage.path(image.storage_key))
    except NotImplementedError:
        return _fetched(image)


def _fetched(image: Image) -> Path:
    target: Path = settings.VAR_DIR / "cache" / image.storage_key
    if target.exists():
        return target
    check_free_space()
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=target.parent)
    with os.fdopen(handle, "wb") as unfinished, open_original(image) as source:
        shutil.copyfileobj(source, unfinished, CHUNK)
    Path(part).replace(target)  # never half a file under the real name
    return target
