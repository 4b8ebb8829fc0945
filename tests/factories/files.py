"""Real picture files and zips, made for the test that wants them."""

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping

import numpy as np
from PIL import Image

SIZE = (64, 48)


def pixels(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Noise, so that no two seeds give the same picture; uint8 (H, W, 3)."""
    width, height = size
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def picture(seed: int = 0, kind: str = "PNG", size: tuple[int, int] = SIZE, **options) -> bytes:
    """A picture file of noise."""
    return encoded(Image.fromarray(pixels(seed, size)), kind, **options)


def pictures(how_many: int) -> dict[str, bytes]:
    """`000.png`, `001.png`, … → a picture each."""
    return {f"{n:03}.png": picture(n) for n in range(how_many)}


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def large_png(width: int, height: int) -> bytes:
    """A valid grey PNG of any size, a few kB small: what a pixel flood looks like."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    packer = zlib.compressobj(9)
    row = b"\x00" * (width + 1)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def zipped(files: Mapping[str | zipfile.ZipInfo, bytes], compress: bool = False) -> bytes:
    """A zip of `name → content`, in that order; a ZipInfo as name sets more than the name."""
    target = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content, compress_type=method)
    return target.getvalue()


def damaged(archive: bytes, content: bytes) -> bytes:
    """The zip with one byte of that (stored) member's content changed: its checksum is wrong."""
    at = archive.index(content) + len(content) // 2
    return archive[:at] + bytes([archive[at] ^ 0xFF]) + archive[at + 1 :]


def locked(archive: bytes, name: str) -> bytes:
    """The zip with a member marked as encrypted, in its own header and in the directory."""
    content = bytearray(archive)
    content[content.index(name.encode()) - 30 + 6] |= 1
    content[content.rindex(name.encode()) - 46 + 8] |= 1
    return bytes(content)
