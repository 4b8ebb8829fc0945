"""Tiles of pictures that are larger than their preview, down to the original's own pixels.

Level 0 is the original, every further one half of the one before, as long as it is larger than the
preview. Decoding a picture of 64 megapixels takes seconds, so all its tiles are cut at once, into
one zip in `cache/tiles`, a folder of the data that may be emptied at any time.

JPEG without colour subsampling: it is cut six times faster than WebP, which halves colour at any
quality, and a defect of one pixel may be a colour.
"""

import fcntl
import io
import os
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from PIL import Image as Pillow

from inspection.models import Image

from .disk import check_free_space, free_gb
from .images import DECODING, MB
from .pictures import PREVIEW_PIXELS, NoPicture, Sent, opened

SIDE = 512  # pixels of a tile
OVERLAP = 1  # pixels that it shares with each neighbour, so that no seam shows
JPEG: dict[str, Any] = {"format": "JPEG", "quality": 90, "subsampling": 0}
KIND = "image/jpeg"
EDITION = 1  # another one after every change of how tiles are cut
KEPT_DAYS = 7  # since somebody looked
FRESH_S = 3600  # how exactly that is known
PART_S = 86400  # an unfinished file this old is nobody's

# One decoded picture at a time in a process: at the pixel cap it takes 320 MB.
_CUTTING = threading.Lock()
Size = tuple[int, int]
Box = tuple[int, int, int, int]


def sizes(width: int, height: int) -> list[Size]:
    """Width and height of each level; none where the preview shows every pixel."""
    found = []
    while max(width, height) > PREVIEW_PIXELS:
        found.append((width, height))
        width, height = (width + 1) // 2, (height + 1) // 2
    return found


def layout(image: Image) -> list[dict[str, int]]:
    """Per level its number, its width and height in pixels, and how many tiles it has."""
    return [
        {
            "level": level,
            "width": width,
            "height": height,
            "columns": _count(width),
            "rows": _count(height),
        }
        for level, (width, height) in enumerate(sizes(image.width, image.height))
    ]


def check(image: Image, level: int, x: int, y: int) -> None:
    """Raise NoPicture unless there is such a tile."""
    levels = sizes(image.width, image.height)
    if level < len(levels):
        width, height = levels[level]
        if x < _count(width) and y < _count(height):
            return
    raise NoPicture("no such tile")


def etag(image: Image, level: int, x: int, y: int) -> str:
    """Known without looking: it names the content, the place and how tiles are cut."""
    return f'"{image.sha256[:32]}-{EDITION}-{level}-{x}-{y}"'


def tile(image: Image, level: int, x: int, y: int) -> Sent:
    """One tile; the first one of a picture has all of them cut, and others wait for it.

    Raises NoPicture, and UserError `disk_full` where there is no room to keep them.
    """
    check(image, level, x, y)
    pack, name = _pack(image.sha256), _name(level, x, y)
    content = _read(pack, name)
    if content is None:
        with _alone(pack):
            content = _read(pack, name)  # whoever was before us may have cut it
            if content is None:
                _cut(image, pack)
                content = _read(pack, name)
    if content is None:
        raise NoPicture("this tile could not be kept")
    return Sent(content, KIND)


def box(size: Size, x: int, y: int) -> Box:
    """What a tile shows of a level of this size: left, top, right, bottom."""
    (left, right), (top, bottom) = _span(size[0], x), _span(size[1], y)
    return left, top, right, bottom


def tidy() -> int:
    """Delete tiles that nobody looked at for a week, and what killed processes left."""
    now, removed = time.time(), 0
    for file, (_, seen) in _files("*.zip").items():
        if now - seen > KEPT_DAYS * 86400:
            file.unlink(missing_ok=True)
            removed += 1
    for file, (_, seen) in _files("*.part").items():
        if now - seen > PART_S:
            file.unlink(missing_ok=True)
            removed += 1
    return removed


# --- cutting -----------------------------------------------------------------------------


def _count(length: int) -> int:
    return -(-length // SIDE)


def _span(length: int, index: int) -> tuple[int, int]:
    return max(0, index * SIDE - OVERLAP), min(length, (index + 1) * SIDE + OVERLAP)


def _name(level: int, x: int, y: int) -> str:
    return f"{level}/{x}/{y}.jpg"


def _cut(image: Image, pack: Path) -> None:
    """All tiles of all levels, whole under the real name or not at all."""
    _make_room()
    handle, part = tempfile.mkstemp(dir=pack.parent, suffix=".part")
    try:
        with (
            DECODING,
            os.fdopen(handle, "wb") as file,
            zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive,
        ):
            _write(archive, opened(image), sizes(image.width, image.height))
        Path(part).replace(pack)
    finally:
        Path(part).unlink(missing_ok=True)


def _write(archive: zipfile.ZipFile, picture: Pillow.Image, levels: list[Size]) -> None:
    for level, size in enumerate(levels):
        if level:
            picture = picture.reduce(2)
        for x in range(_count(size[0])):
            for y in range(_count(size[1])):
                archive.writestr(_name(level, x, y), _encoded(picture.crop(box(size, x, y))))


def _encoded(picture: Pillow.Image) -> bytes:
    target = io.BytesIO()
    picture.save(target, **JPEG)
    return target.getvalue()


# --- where they are kept ------------------------------------------------------------------


def _folder() -> Path:
    return Path(settings.VAR_DIR) / "cache" / "tiles"


def _pack(sha256: str) -> Path:
    return _folder() / sha256[:2] / f"{sha256}-{EDITION}.zip"


def _read(pack: Path, name: str) -> bytes | None:
    try:
        with zipfile.ZipFile(pack) as archive:
            content = archive.read(name)
        if time.time() - pack.stat().st_mtime > FRESH_S:
            os.utime(pack)  # what was looked at last goes last
    except (FileNotFoundError, zipfile.BadZipFile, KeyError):
        return None  # not cut, or broken off by a power cut
    return content


@contextmanager
def _alone(pack: Path) -> Iterator[None]:
    """Nobody else cuts in this process, nor this picture in another one. The hold dies with its
    process. Who waits here for seconds has no connection to the database meanwhile."""
    if not connection.in_atomic_block:
        connection.close()
    pack.parent.mkdir(parents=True, exist_ok=True)
    with _CUTTING, (pack.parent / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _files(pattern: str) -> dict[Path, tuple[int, float]]:
    """Bytes of each, and when it was last looked at."""
    found = {}
    for file in _folder().glob(f"*/{pattern}"):
        with suppress(FileNotFoundError):  # another process tidies too
            facts = file.stat()
            found[file] = facts.st_size, facts.st_mtime
    return found


def _make_room() -> None:
    """Delete what was looked at longest ago, while there are too many tiles or the disk is short:
    they can be cut again. Raises UserError `disk_full` where that is not enough."""
    packs = _files("*.zip")
    total = sum(size for size, _ in packs.values())
    for file in sorted(packs, key=lambda one: packs[one][1]):
        if total <= settings.MAX_TILES_MB * MB and free_gb() >= settings.MIN_FREE_GB:
            break
        file.unlink(missing_ok=True)
        total -= packs[file][0]
    check_free_space()
