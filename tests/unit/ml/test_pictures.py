"""Every kind of picture that a plant may send, made for real and either read or refused."""

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from ml.data import pixels
from ml.data.pictures import PictureError, inspect_picture, open_picture

RAMP = np.tile(np.linspace(0, 255, 64).round().astype(np.uint8), (32, 1))
RGB = np.dstack([RAMP, RAMP[:, ::-1], np.full_like(RAMP, 90)])


def saved(picture: Image.Image, fmt: str, **options: object) -> io.BytesIO:
    out = io.BytesIO()
    picture.save(out, fmt, **options)
    out.seek(0)
    return out


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_claiming(width: int, height: int, rows: int = 0) -> io.BytesIO:
    """A PNG of a few kilobytes whose header asks for width × height RGB pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packer = zlib.compressobj(9)
    body = b"".join(packer.compress(bytes(1 + width * 3)) for _ in range(rows)) + packer.flush()
    data = chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + data)


def tiff_grey(values: np.ndarray, bits: int, extra: dict[int, int] | None = None) -> io.BytesIO:
    """An uncompressed little-endian grey TIFF with the tags that Pillow will not write."""
    height, width = values.shape
    body = pack_12(values) if bits == 12 else values.astype("<u2").tobytes()
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: 1, 273: 0, 277: 1, 278: height}
    tags |= {279: len(body)} | (extra or {})
    tags[273] = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, v) for tag, v in sorted(tags.items()))
    ifd = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    return io.BytesIO(b"II*\x00" + struct.pack("<I", 8) + ifd + body)


def pack_12(values: np.ndarray) -> bytes:
    pairs = values.reshape(-1, 2).astype(np.uint32)
    words = (pairs[:, 0] << 12) | pairs[:, 1]
    return b"".join(int(w).to_bytes(3, "big") for w in words)


def gray(picture: Image.Image) -> np.ndarray:
    array = np.asarray(picture)
    assert array.dtype == np.uint8
    assert (array == array[..., :1]).all()
    return array[..., 0]


# --- read ----------------------------------------------------------------------------------


@pytest.mark.parametrize("fmt", ["PNG", "TIFF", "BMP"])
def test_rgb_survives_to_the_bit(fmt: str) -> None:
    file = saved(Image.fromarray(RGB), fmt)
    assert (np.asarray(open_picture(file)) == RGB).all()
    info = inspect_picture(file)
    assert (info.format, info.width, info.height, info.mode) == (fmt, 64, 32, "RGB")
    assert (info.frames, info.notes) == (1, ())


def test_jpeg_from_a_path_and_from_a_file_that_was_read_already(tmp_path: Path) -> None:
    path = tmp_path / "part.jpg"
    Image.fromarray(RGB).save(path, quality=95)
    with path.open("rb") as file:
        file.read()
        from_file = open_picture(file)
        assert not file.closed
    assert from_file.tobytes() == open_picture(path).tobytes() == open_picture(str(path)).tobytes()
    assert abs(np.asarray(from_file, int) - RGB).mean() < 4


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    values = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (32, 1))
    for fmt in ("PNG", "TIFF"):
        file = saved(Image.fromarray(values), fmt)
        assert abs(gray(open_picture(file)).astype(float) - values / 257).max() <= 0.5
        assert inspect_picture(file).notes == ("Scaled from 16 bits to 8.",)


def test_big_endian_sixteen_bits() -> None:
    values = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (32, 1))
    file = saved(Image.frombytes("I;16B", (64, 32), values.astype(">u2").tobytes()), "TIFF")
    assert inspect_picture(file).mode == "I;16B"
    assert abs(gray(open_picture(file)).astype(float) - values / 257).max() <= 0.5


def test_twelve_bits_declared_packed_or_only_apparent() -> None:
    values = np.tile(np.linspace(0, 4095, 64).astype(np.uint16), (32, 1))
    dark = values // 8  # a dark picture stays dark
    for data in (values, dark):
        for file in (
            tiff_grey(data, 12),
            tiff_grey(data, 16, {281: 4095}),
            saved(Image.fromarray(data), "PNG"),
        ):
            assert abs(gray(open_picture(file)).astype(float) - data * (255 / 4095)).max() <= 0.51


def test_declared_ten_bits_and_white_is_zero() -> None:
    values = np.tile(np.linspace(0, 1023, 64).astype(np.uint16), (32, 1))
    shown = gray(open_picture(tiff_grey(values, 16, {281: 1023, 262: 0}))).astype(float)
    assert abs(shown - (255 - values * (255 / 1023))).max() <= 0.51


@pytest.mark.parametrize("full_scale", [1.0, 255.0, 65535.0])
def test_floats_are_scaled_by_their_range(full_scale: float) -> None:
    values = RAMP.astype(np.float32) / 255 * np.float32(full_scale)
    assert (
        abs(gray(open_picture(saved(Image.fromarray(values), "TIFF"))).astype(int) - RAMP).max()
        <= 1
    )


def test_cmyk() -> None:
    plain = Image.fromarray(RGB)
    for fmt in ("TIFF", "JPEG"):
        file = saved(plain.convert("CMYK"), fmt)
        assert abs(np.asarray(open_picture(file), int) - RGB).mean() < 6
        assert inspect_picture(file).mode == "CMYK"
        assert "CMYK" in inspect_picture(file).notes[0]


def test_palette_with_and_without_transparency() -> None:
    palette = Image.fromarray(RGB).quantize(32)
    expected = np.asarray(palette.convert("RGB"))
    assert (np.asarray(open_picture(saved(palette, "PNG"))) == expected).all()
    index = palette.getpixel((0, 0))
    clear = np.asarray(open_picture(saved(palette, "PNG", transparency=index)))
    assert (clear[0, 0] == 128).all()
    assert (clear[:, -1] == expected[:, -1]).all()


def test_alpha_lies_on_mid_grey() -> None:
    alpha = np.zeros_like(RAMP)
    alpha[:, 32:] = 255
    for layers, mode in ((np.dstack([RGB, alpha]), "RGBA"), (np.dstack([RAMP, alpha]), "LA")):
        file = saved(Image.fromarray(layers), "PNG")
        shown = np.asarray(open_picture(file))
        assert inspect_picture(file).mode == mode
        assert (shown[:, :32] == 128).all()
        assert (shown[:, 32:, 0] == RAMP[:, 32:]).all()


def test_one_bit() -> None:
    bits = Image.fromarray(RAMP).convert("1")
    assert set(np.unique(gray(open_picture(saved(bits, "PNG"))))) == {0, 255}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "TIFF"])
def test_exif_orientation_is_applied_once(fmt: str, orientation: int) -> None:
    stored = Image.new("L", (64, 32))
    stored.paste(255, (0, 0, 16, 8))  # the corner that must end where the tag says
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = saved(stored, fmt, exif=exif)
    shown = gray(open_picture(file))
    corners = {1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0)}
    corners |= {5: (0, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0)}
    assert shown.shape == ((32, 64) if orientation < 5 else (64, 32))
    lit = [c for c in [(0, 0), (0, -1), (-1, 0), (-1, -1)] if shown[c] > 128]
    assert lit == [corners[orientation]]
    info = inspect_picture(file)
    assert (info.height, info.width) == shown.shape


def test_only_the_first_frame_of_many() -> None:
    frames = [Image.new("RGB", (40, 30), (c, c, c)) for c in (10, 100, 200)]
    for fmt in ("PNG", "TIFF"):
        file = saved(frames[0], fmt, save_all=True, append_images=frames[1:])
        assert (np.asarray(open_picture(file)) == 10).all()
        info = inspect_picture(file)
        assert (info.frames, info.notes[0]) == (3, "Of several frames only the first is used.")


# --- refused -------------------------------------------------------------------------------


def huge() -> io.BytesIO:
    return png_claiming(12_000, 9_000)


def bomb() -> io.BytesIO:
    file = png_claiming(20_000, 20_000, rows=400)
    assert len(file.getvalue()) < 30_000
    return file


def cut(fmt: str, share: float, **options: object) -> Callable[[], io.BytesIO]:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    whole = saved(Image.fromarray(noise), fmt, **options).getvalue()
    return lambda: io.BytesIO(whole[: int(len(whole) * share)])


def float_tiff(value: float) -> Callable[[], io.BytesIO]:
    return lambda: saved(Image.fromarray(np.full((20, 20), value, np.float32)), "TIFF")


REFUSED: dict[str, tuple[str, Callable[[], io.BytesIO]]] = {
    "zero bytes": ("empty", io.BytesIO),
    "text": ("not_a_picture", lambda: io.BytesIO(b"serial;result\n1;pass\n")),
    "random bytes": ("not_a_picture", lambda: io.BytesIO(b"\x00\x07\x01" * 99)),
    "svg": ("unsupported_format", lambda: io.BytesIO(b'<?xml version="1.0"?>\n<svg></svg>')),
    "gif": ("unsupported_format", lambda: saved(Image.fromarray(RAMP), "GIF")),
    "webp": ("unsupported_format", lambda: saved(Image.fromarray(RGB), "WEBP")),
    "pdf": ("unsupported_format", lambda: io.BytesIO(b"%PDF-1.7\n")),
    "heic": ("unsupported_format", lambda: io.BytesIO(b"\x00\x00\x00\x18ftypheic" + bytes(20))),
    "negative floats": ("unsupported_format", float_tiff(-1.0)),
    "not a number": ("unsupported_format", float_tiff(float("nan"))),
    "1×1": ("too_small", lambda: saved(Image.new("RGB", (1, 1)), "PNG")),
    "15 high": ("too_small", lambda: saved(Image.new("RGB", (400, 15)), "PNG")),
    "12,000×9,000": ("too_many_pixels", huge),
    "bomb": ("too_many_pixels", bomb),
    "one huge tile": (
        "too_many_pixels",
        lambda: tiff_grey(np.zeros((32, 32)), 16, {322: 60_000, 323: 60_000}),
    ),
    "half a png": ("truncated", cut("PNG", 0.5)),
    "a png's signature": ("truncated", lambda: io.BytesIO(b"\x89PNG\r\n\x1a\n")),
    "half a jpeg": ("truncated", cut("JPEG", 0.5)),
    "half a progressive jpeg": ("truncated", cut("JPEG", 0.5, progressive=True)),
    "half a bmp": ("truncated", cut("BMP", 0.5)),
    "half a tiff": ("truncated", cut("TIFF", 0.5)),
    "half a packed tiff": ("truncated", cut("TIFF", 0.5, compression="tiff_lzw")),
    "a tenth of a jpeg": ("truncated", cut("JPEG", 0.1)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_a_sentence_that_names_the_remedy(name: str) -> None:
    code, make = REFUSED[name]
    for check in (inspect_picture, open_picture):
        with pytest.raises(PictureError) as caught:
            check(make())
        assert caught.value.code == code
        assert caught.value.message.endswith(".")
        assert any(word in caught.value.message for word in ("again", "Save", "Send", "Crop")), (
            caught.value.message
        )


def test_half_a_picture_is_refused_whatever_another_library_switched_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(PictureError) as refused:
        open_picture(cut("PNG", 0.5)())
    assert refused.value.code == "truncated"


def test_text_named_png(tmp_path: Path) -> None:
    path = tmp_path / "good.png"
    path.write_text("not really\n")
    with pytest.raises(PictureError, match="text"):
        open_picture(path)


def test_the_cap_is_a_setting_and_is_checked_before_decoding() -> None:
    file = png_claiming(2_000, 1_000)  # its data are missing: decoding it would say "truncated"
    with pytest.raises(PictureError, match=r"2000 × 1000 pixels; the limit is 1\.5 mega"):
        open_picture(file, max_pixels=1_500_000)
    with pytest.raises(PictureError, match="cut off"):
        open_picture(file, max_pixels=2_000_000)


def test_a_limit_above_pillows_own_warning_is_honoured() -> None:
    file = png_claiming(10_000, 10_000)  # Pillow warns from 89 megapixels on
    with pytest.raises(PictureError, match="cut off"):
        open_picture(file, max_pixels=120_000_000)


def test_the_filters_for_warnings_are_left_as_they_were() -> None:
    before = list(warnings.filters)
    with pytest.raises(PictureError):
        open_picture(bomb())
    assert warnings.filters == before


def test_a_missing_file_is_an_error_of_the_file_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_picture(tmp_path / "none.png")


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "I;16", "F"])
def test_converting_in_bands_changes_nothing(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    if mode in ("I;16", "F"):
        values = rng.integers(0, 60000, (23, 17))
        picture = Image.fromarray(values.astype(np.uint16 if mode == "I;16" else np.float32))
    else:
        picture = Image.fromarray(rng.integers(0, 255, (23, 17, 4), np.uint8)).convert(mode)
        if mode == "P":
            picture.info["transparency"] = 3
    assert picture.mode == mode
    whole = pixels.to_rgb(picture)[0]
    monkeypatch.setattr(pixels, "BAND", 40)
    assert pixels.to_rgb(picture)[0].tobytes() == whole.tobytes()
    assert len(set(whole.tobytes())) > 20
