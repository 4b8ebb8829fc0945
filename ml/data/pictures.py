"""Opening pictures that strangers sent: everything becomes RGB, upright, 8 bit, first frame.

Nothing is decoded before the header has been checked. A file that cannot be used raises
`PictureError` with a code and a sentence that names the remedy; the caller prefixes the file name.

Codes: `empty`, `not_a_picture`, `truncated`, `too_many_pixels`, `too_small`, `unsupported_format`.
"""

from __future__ import annotations

import contextlib
import struct
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import IO

from PIL import Image, ImageFile

from ml.data.pixels import ORIENTATION, to_rgb, upright

MAX_PIXELS = 80_000_000
MIN_SIDE = 16
# Frames are counted by walking the file, which a hostile file could make long.
MAX_FRAMES_COUNTED = 100

# WebP stays out: Pillow's reader hands the whole file to libwebp, which sets aside two canvases
# of up to 16,383² pixels (2 GB) before the size can be looked at.
_MAGIC = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"II+\x00": "TIFF",
    b"MM\x00+": "TIFF",
    b"BM": "BMP",
}
_FOREIGN = {
    b"GIF8": "GIF",
    b"RIFF": "WebP",
    b"%PDF": "PDF",
    b"%!PS": "PostScript",
    b"8BPS": "Photoshop",
    b"PK\x03\x04": "ZIP",
    b"\x00\x00\x01\x00": "icon",
    b"\x00\x00\x00\x0cjP": "JPEG 2000",
    b"\xff\x0a": "JPEG XL",
}
_HEAD = 1024
# What Pillow's decoders raise on damaged data.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, TypeError, LookupError, struct.error,
           OverflowError)  # fmt: skip
_TILE_WIDTH, _TILE_LENGTH = 322, 323

Source = str | PathLike[str] | IO[bytes]


class PictureError(Exception):
    """A picture that cannot be used: `code` for programs, `message` for people: a `sentence` whose
    gaps `values` fill, so that it can be said in another language too."""

    def __init__(self, code: str, sentence: str, **values: object) -> None:
        self.message = sentence.format(**values)
        super().__init__(self.message)
        self.code = code
        self.sentence = sentence
        self.values = values


@dataclass(frozen=True)
class PictureInfo:
    """What a picture is: `width` × `height` upright, `mode` as stored, `notes` on what is changed.

    `frames` stops counting at `MAX_FRAMES_COUNTED`.
    """

    format: str
    width: int
    height: int
    mode: str
    frames: int
    notes: tuple[str, ...]


def open_picture(source: Source, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Read a picture as RGB, upright, 8 bit, first frame; transparency lies on mid-grey.

    `source`: a path, or a binary file that can seek (read from its start, left open).
    Raises PictureError, or OSError where the file itself cannot be read.
    """
    return _read(source, max_pixels)[0]


def inspect_picture(source: Source, max_pixels: int = MAX_PIXELS) -> PictureInfo:
    """Check a picture as `open_picture` would, header first and then a full decode."""
    return _read(source, max_pixels)[1]


def read_picture(source: Source, max_pixels: int = MAX_PIXELS) -> tuple[Image.Image, PictureInfo]:
    """`open_picture` and `inspect_picture` in one go, decoded once."""
    return _read(source, max_pixels)


def _read(source: Source, max_pixels: int) -> tuple[Image.Image, PictureInfo]:
    with contextlib.ExitStack() as stack:
        if isinstance(source, str | PathLike):
            file: IO[bytes] = stack.enter_context(Path(source).open("rb"))
        else:
            file = source
        kind = _sniff(file)
        picture = stack.enter_context(_open_header(file, kind, max_pixels))
        _check_size(picture, max_pixels)
        stored_mode, frames, notes = picture.mode, _count_frames(picture), []
        if frames > 1:
            notes.append("Of several frames only the first is used.")
        _decode(picture, max_pixels)
        orientation = _orientation(picture)
        try:
            rgb, changes = to_rgb(picture)
        except ValueError as error:
            raise PictureError(
                "unsupported_format",
                "{trouble} Save it as PNG, JPEG, TIFF or BMP.",
                trouble=error,
            ) from error
        result = upright(rgb, orientation)
        if orientation not in (0, 1):
            notes.append("Turned upright as its EXIF orientation says.")
    notes.extend(changes)
    info = PictureInfo(kind, result.width, result.height, stored_mode, frames, tuple(notes))
    return result, info


def _sniff(file: IO[bytes]) -> str:
    """The format by its first bytes; a name or a claimed type is never believed."""
    file.seek(0)
    head = file.read(_HEAD)
    file.seek(0)
    if not head:
        raise PictureError("empty", "The file is empty. Export or copy it again.")
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    foreign = _foreign_format(head)
    if foreign:
        raise PictureError(
            "unsupported_format",
            "{kind} files are not accepted. Save it as PNG, JPEG, TIFF or BMP.",
            kind=foreign,
        )
    if _looks_like_text(head):
        raise PictureError("not_a_picture", "The content is text. Send PNG, JPEG, TIFF or BMP.")
    raise PictureError(
        "not_a_picture",
        "The content is no picture of a known format. Send PNG, JPEG, TIFF or BMP.",
    )


def _foreign_format(head: bytes) -> str | None:
    if b"<svg" in head.lower():
        return "SVG"
    if head[4:8] == b"ftyp":
        return "HEIF or AVIF"
    return next((name for magic, name in _FOREIGN.items() if head.startswith(magic)), None)


def _looks_like_text(head: bytes) -> bool:
    return b"\x00" not in head and sum(b >= 32 or b in b"\t\n\r" for b in head) == len(head)


def _open_header(file: IO[bytes], kind: str, max_pixels: int) -> ImageFile.ImageFile:
    """Parse the header alone. Only the sniffed format's reader is let near the file."""
    try:
        with _warnings_are_errors():
            return Image.open(file, formats=(kind,))
    except Image.DecompressionBombError as error:
        raise _far_too_many(max_pixels) from error
    except (Warning, *_DAMAGE) as error:
        raise _damaged() from error


# Filters for warnings belong to the whole process: two threads that change them at once could
# leave them changed for good. Only the header is read under this lock, which takes milliseconds.
_FILTERS = threading.Lock()


@contextlib.contextmanager
def _warnings_are_errors() -> Iterator[None]:
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("error")
        # the cap that follows is ours and a setting; Pillow's hard limit (179 megapixels) stays
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        # phones write such files; the base picture in them is sound
        warnings.filterwarnings("ignore", "Image appears to be a malformed MPO file")
        yield


def _check_size(picture: ImageFile.ImageFile, max_pixels: int) -> None:
    width, height = picture.size
    if width * height > max_pixels:
        raise PictureError(
            "too_many_pixels",
            "The picture has {width} × {height} pixels; the limit is {limit:g} megapixels. Crop it "
            "to the part or reduce it, or have the administrator raise the limit.",
            width=width,
            height=height,
            limit=max_pixels / 1e6,
        )
    tags = getattr(picture, "tag_v2", {})
    tile = tags.get(_TILE_WIDTH, 0), tags.get(_TILE_LENGTH, 0)
    if not all(isinstance(side, int) for side in tile):
        raise _damaged()
    # a small picture may declare one huge tile, which is what would be set aside
    if tile[0] * tile[1] > max_pixels:
        raise PictureError(
            "too_many_pixels",
            "The picture has a tile of {width} × {height} pixels; the limit is {limit:g} "
            "megapixels. Crop it to the part or reduce it, or have the administrator raise the "
            "limit.",
            width=tile[0],
            height=tile[1],
            limit=max_pixels / 1e6,
        )
    if min(width, height) < MIN_SIDE:
        raise PictureError(
            "too_small",
            "The picture has {width} × {height} pixels; at least {least} × {least} are needed. "
            "Send the camera's original, not a thumbnail.",
            width=width,
            height=height,
            least=MIN_SIDE,
        )


def _count_frames(picture: ImageFile.ImageFile) -> int:
    if not getattr(picture, "is_animated", False):
        return 1
    if picture.format != "TIFF":
        # written in the header, no walk needed
        return min(int(getattr(picture, "n_frames", 1)), MAX_FRAMES_COUNTED)
    frames = 1
    try:
        while frames < MAX_FRAMES_COUNTED:
            picture.seek(frames)
            frames += 1
    except _DAMAGE:  # the end, or a damaged later frame, which is not used anyway
        pass
    picture.seek(0)
    return frames


def _decode(picture: ImageFile.ImageFile, max_pixels: int) -> None:
    # One switch for the whole process, which other libraries turn on (WeasyPrint does when it is
    # imported): half a picture would then pass as a whole one with a grey end.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        picture.load()
    except MemoryError as error:
        raise PictureError(
            "too_many_pixels",
            "The picture has more pixels than there is memory for; the limit is {limit:g} "
            "megapixels. Crop it to the part or reduce it, or have the administrator raise the "
            "limit.",
            limit=max_pixels / 1e6,
        ) from error
    except Image.DecompressionBombError as error:
        raise _far_too_many(max_pixels) from error
    except _DAMAGE as error:
        raise _damaged() from error


def _orientation(picture: ImageFile.ImageFile) -> int:
    """EXIF orientation 1..8, or 0 where there is none. A broken EXIF block is no reason to refuse.

    Asked after decoding: Pillow turns TIFF files itself and then drops the tag.
    """
    try:
        value = picture.getexif().get(ORIENTATION, 0)
    except _DAMAGE:
        return 0
    return value if isinstance(value, int) and 1 <= value <= 8 else 0


def _damaged() -> PictureError:
    return PictureError("truncated", "The file is cut off or damaged. Export or copy it again.")


def _far_too_many(max_pixels: int) -> PictureError:
    return PictureError(
        "too_many_pixels",
        "The picture has far too many pixels; the limit is {limit:g} megapixels. Crop it to the "
        "part or reduce it, or have the administrator raise the limit.",
        limit=max_pixels / 1e6,
    )
