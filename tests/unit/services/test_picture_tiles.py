"""Tiles of large pictures: the original's own pixels, cut once, kept within bounds."""

import fcntl
import io
import os
import threading
import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.db import connection
from PIL import Image as Pillow

from inspection import ml_adapter
from inspection.errors import UserError
from inspection.models import Image
from inspection.services import disk, images, pictures, tidying, tiles
from tests.factories.files import encoded
from tests.threads import at_once

WIDTH, HEIGHT = 4100, 600  # two levels
DAY = 86400
Pixels = np.ndarray[Any, Any]


@pytest.fixture(autouse=True)
def _folder(settings: Any, tmp_path: Path) -> None:
    settings.VAR_DIR = tmp_path


def part(width: int = WIDTH, height: int = HEIGHT) -> Pixels:
    """A soft surface with lines of one pixel in red and in blue; uint8 (H, W, 3)."""
    y, x = np.mgrid[0:height, 0:width]
    grey = 120 + 40 * np.sin(x / 90) + 40 * np.cos(y / 70)
    pixels = np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)
    pixels[60::400] = (255, 0, 0)
    pixels[:, 150::650] = (0, 0, 255)
    return pixels


def kept(picture: Pillow.Image, kind: str = "PNG", **options: Any) -> Image:
    content = encoded(picture, kind, **options)
    return images.store_image(None, "large", io.BytesIO(content))[0]


@cache
def file() -> bytes:
    return encoded(Pillow.fromarray(part()), compress_level=1)


@pytest.fixture
def image(db: None) -> Image:
    return images.store_image(None, "large", io.BytesIO(file()))[0]


def seen(image: Image, level: int, x: int, y: int) -> Pixels:
    sent = tiles.tile(image, level, x, y)
    assert sent.kind == "image/jpeg"
    with Pillow.open(io.BytesIO(sent.content)) as picture:
        assert picture.format == "JPEG"
        return np.asarray(picture.convert("RGB"))


def apart(one: Pixels, other: Pixels) -> float:
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


def packs() -> list[Path]:
    return sorted(tiles._folder().glob("*/*.zip"))


@pytest.mark.parametrize(
    ("size", "levels"),
    [
        ((2048, 2048), []),
        ((64, 48), []),
        ((2049, 100), [(2049, 100)]),
        ((5001, 3001), [(5001, 3001), (2501, 1501)]),
        ((8000, 8000), [(8000, 8000), (4000, 4000)]),
    ],
)
def test_levels_end_where_the_preview_shows_as_much(
    size: tiles.Size, levels: list[tiles.Size]
) -> None:
    assert tiles.sizes(*size) == levels


def test_every_tile_of_every_level_is_the_original_there(image: Image) -> None:
    whole = Pillow.fromarray(part())
    for level, (width, height) in enumerate(tiles.sizes(WIDTH, HEIGHT)):
        original = np.asarray(whole if not level else whole.reduce(2 * level))
        for x in range(-(-width // 512)):
            for y in range(-(-height // 512)):
                left, top, right, bottom = tiles.box((width, height), x, y)
                assert (left, top) == (max(0, 512 * x - 1), max(0, 512 * y - 1))
                assert (right, bottom) == (min(width, 512 * x + 513), min(height, 512 * y + 513))
                tile = seen(image, level, x, y)
                assert tile.shape == (bottom - top, right - left, 3)
                assert apart(tile, original[top:bottom, left:right]) < 2, (level, x, y)
    assert len(packs()) == 1


def test_a_line_of_one_pixel_keeps_its_colour(image: Image) -> None:
    red, green, blue = seen(image, 0, 0, 0)[60, 200]
    assert red > 220
    assert green < 40
    assert blue < 40


OUTSIDE = [(2, 0, 0), (99, 0, 0), (0, 9, 0), (0, 0, 2), (1, 5, 0), (1, 0, 1), (0, 10**30, 0)]


@pytest.mark.parametrize("at", OUTSIDE)
def test_outside_there_is_no_tile(image: Image, at: tuple[int, int, int]) -> None:
    with pytest.raises(pictures.NoPicture):
        tiles.tile(image, *at)
    assert not packs(), "nothing is decoded for it"


def test_a_small_picture_has_none(db: None) -> None:
    small = kept(Pillow.fromarray(part(200, 100)))
    with pytest.raises(pictures.NoPicture):
        tiles.tile(small, 0, 0, 0)


@pytest.mark.parametrize("kind", ["grey of 16 bits", "transparent", "turned"])
def test_a_tile_looks_like_the_preview(db: None, kind: str) -> None:
    y, x = np.mgrid[0:40, 0:2100]
    if kind == "grey of 16 bits":
        image = kept(Pillow.fromarray((20 * x + 100 * y).astype(np.uint16)))
    elif kind == "transparent":
        layers = [np.full((40, 2100), 200), x % 256, x % 256, 255 * (x > 300)]
        image = kept(Pillow.fromarray(np.dstack(layers).astype(np.uint8), "RGBA"))
    else:
        exif = Pillow.Exif()
        exif[0x0112] = 6
        flat = Pillow.fromarray(part(2100, 600))
        image = kept(flat, "JPEG", quality=95, exif=exif)
        assert (image.width, image.height) == (600, 2100)
    with Pillow.open(io.BytesIO(pictures.preview(image).content)) as opened:
        preview = opened.convert("RGB").resize((image.width, image.height))
    box = tiles.box((image.width, image.height), 0, 0)
    assert apart(seen(image, 0, 0, 0), np.asarray(preview.crop(box))) < 3


# --- once --------------------------------------------------------------------------------


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    decoded: list[int] = []
    decode = ml_adapter.open_picture

    def slow(file: Any) -> Pillow.Image:
        decoded.append(1)
        time.sleep(0.2)
        return decode(file)

    monkeypatch.setattr(ml_adapter, "open_picture", slow)
    return decoded


@pytest.mark.django_db(transaction=True)
def test_many_at_once_decode_once(monkeypatch: pytest.MonkeyPatch) -> None:
    image = kept(Pillow.fromarray(part(2100, 300)))
    decoded, start, got = counted(monkeypatch), threading.Barrier(6), []

    def one(x: int) -> None:
        try:
            Image.objects.get(pk=image.pk)
            start.wait()
            got.append(seen(image, 0, x % 5, 0).shape)
            assert connection.connection is None, "who waited held no connection"
        finally:
            connection.close()

    threads = [threading.Thread(target=one, args=[x]) for x in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 6
    assert len(decoded) == 1


@pytest.mark.django_db(transaction=True)
def test_a_preview_that_many_want_at_once_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    image = kept(Pillow.fromarray(part(2100, 300)))
    decoded = counted(monkeypatch)
    monkeypatch.setattr(images, "DECODING", threading.BoundedSemaphore(1))
    sent = at_once([lambda: len(pictures.preview(image).content)] * 6, threads=6)
    assert len(set(sent)) == 1
    assert len(decoded) == 1


def test_another_process_that_cuts_is_waited_for(
    image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = tiles.tile(image, 0, 0, 0)
    pack = packs()[0]
    there = pack.read_bytes()
    pack.unlink()
    decoded = counted(monkeypatch)
    lock = (pack.parent / "lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)

    def finish() -> None:  # as the other process does, a little later
        pack.write_bytes(there)
        lock.close()

    later = threading.Timer(0.4, finish)
    later.start()
    assert tiles.tile(image, 0, 0, 0) == sent
    later.join()
    assert not decoded


def test_a_pack_that_a_power_cut_broke_is_cut_anew(image: Image) -> None:
    sent = tiles.tile(image, 0, 1, 1)
    packs()[0].write_bytes(packs()[0].read_bytes()[:5000])
    assert tiles.tile(image, 0, 1, 1) == sent


def test_a_broken_cut_leaves_nothing(image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(picture: Pillow.Image) -> bytes:
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(tiles, "_encoded", broken)
        with pytest.raises(OSError, match="no space"):
            tiles.tile(image, 0, 0, 0)
    assert [file.name for file in tiles._folder().glob("*/*")] == ["lock"]
    assert tiles.tile(image, 0, 0, 0)


def test_an_original_that_is_gone_is_no_picture(image: Image) -> None:
    images.local_path(image).unlink()
    with pytest.raises(pictures.NoPicture):
        tiles.tile(image, 0, 0, 0)


# --- within bounds -----------------------------------------------------------------------


def old_pack(name: str, days: float, size: int = 600_000) -> Path:
    file = tiles._folder() / name[:2] / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"x" * size)
    then = time.time() - days * DAY
    os.utime(file, (then, then))
    return file


def test_what_was_looked_at_longest_ago_goes_first(image: Image, settings: Any) -> None:
    settings.MAX_TILES_MB = 1
    older, newer = old_pack("aa1.zip", 3), old_pack("ab2.zip", 2)
    tiles.tile(image, 0, 0, 0)
    assert not older.exists()
    assert newer.exists()


def test_on_a_short_disk_tiles_go_before_anything_is_refused(image: Image, settings: Any) -> None:
    settings.MIN_FREE_GB = disk.free_gb() + 1000
    kept_until_now = old_pack("aa1.zip", 0)
    with pytest.raises(UserError) as refused:
        tiles.tile(image, 0, 0, 0)
    assert refused.value.code == "disk_full"
    assert not kept_until_now.exists()


def test_tiles_go_a_week_after_they_were_looked_at(image: Image) -> None:
    tiles.tile(image, 0, 0, 0)
    mine = packs()[0]
    then = time.time() - 6 * DAY
    os.utime(mine, (then, then))
    tiles.tile(image, 0, 0, 0)  # a look keeps them for another week
    forgotten, left_over = old_pack("aa1.zip", 8), old_pack("aa2.part", 2)
    recent, at_work = old_pack("aa3.zip", 6), old_pack("aa4.part", 0.5)
    assert tidying.tidy()["tiles"] == 2
    assert not forgotten.exists()
    assert not left_over.exists()
    assert recent.exists()
    assert at_work.exists()
    assert time.time() - mine.stat().st_mtime < DAY
