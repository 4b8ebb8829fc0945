"""Whatever people drop: each file is handled, or refused with a sentence that names it and
says what to do; the rest of the upload is kept."""

import stat
import zipfile

import numpy as np
import pytest
from PIL import Image as Pillow

from inspection.models import JobState, Upload, UploadReceipt
from inspection.services import images, uploads
from tests.factories import files as pictures
from tests.factories.files import damaged, encoded, large_png, picture, pixels, zipped
from tests.factories.upload import UploadFactory, send

pytestmark = pytest.mark.django_db


@pytest.fixture
def upload() -> Upload:
    return UploadFactory()


def in_the_middle(upload: Upload, name: str, content: bytes) -> UploadReceipt:
    """Send a file between two good ones, which must both be kept."""
    send(upload, "before.png", picture(1001))
    receipt = send(upload, name, content)
    send(upload, "after.png", picture(1002))
    kept = upload.dataset.items.values_list("file_name", flat=True)
    assert {"before.png", "after.png"} <= set(kept)
    assert upload.receipts.count() == 3
    return receipt


def unpacked(upload: Upload, content: bytes, name: str = "parts.zip") -> dict[str, UploadReceipt]:
    """Send a zip, unpack it as the worker does, and give the receipts by file name."""
    send(upload, name, content, key="zip")
    uploads.unpack(upload.pk)
    upload.refresh_from_db()
    assert upload.state == JobState.DONE
    return {receipt.file_name: receipt for receipt in upload.receipts.all()}


def assert_refused(receipt: UploadReceipt, code: str, *remedy: str) -> None:
    assert (receipt.outcome, receipt.code) == ("refused", code), receipt.message
    assert receipt.file_name in receipt.message
    assert any(word in receipt.message for word in remedy), receipt.message
    assert receipt.image is None


# --- single files that are refused -------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "code", "remedy"),
    [
        ("cut.png", picture(1)[:2000], "truncated", "Export or copy it again"),
        ("cut.jpg", picture(1, "JPEG")[:900], "truncated", "Export or copy it again"),
        ("nothing.png", b"", "empty_file", "send it anew"),
        ("notes.png", b"measured at 14:30, all fine\n", "not_a_picture", "Send PNG, JPEG"),
        ("dot.png", picture(1, size=(1, 1)), "too_small", "Send the camera's original"),
        ("flood.png", large_png(12_000, 9_000), "too_many_pixels", "Crop it"),
        ("moving.gif", picture(1, "GIF"), "unsupported_format", "Save it as PNG"),
        ("drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unsupported_format", "PNG"),
        ("parts.rar", b"Rar!\x1a\x07\x01\x00", "other_archive", ".zip"),
        ("parts.7z", b"7z\xbc\xaf\x27\x1c\x00\x04", "other_archive", ".zip"),
        ("parts.tar", b"a.png" + bytes(507), "other_archive", ".zip"),
    ],
)
def test_refused_with_a_remedy(
    upload: Upload, name: str, content: bytes, code: str, remedy: str
) -> None:
    assert_refused(in_the_middle(upload, name, content), code, remedy)


def test_too_many_bytes_are_refused_before_they_are_read(upload: Upload, settings) -> None:
    settings.MAX_FILE_MB = 1
    announced = send(upload, "huge.bmp", b"BM", key="announced", size=2_000_000)
    assert_refused(announced, "too_large", "crop it")


def test_more_bytes_than_announced_are_refused_while_they_come(upload: Upload, settings) -> None:
    settings.MAX_FILE_MB = 1
    receipt = send(upload, "liar.bmp", b"BM" + bytes(1_500_000), size=10)
    assert_refused(receipt, "too_large", "crop it")


def test_nothing_of_a_refused_file_stays(upload: Upload, settings) -> None:
    send(upload, "cut.png", picture(1)[:2000])
    assert list(settings.STAGING_DIR.glob("incoming-*")) == []


# --- single files that are handled ---------------------------------------------------------


def sixteen_bit() -> bytes:
    ramp = np.linspace(0, 65_535, 64 * 48).reshape(48, 64).astype(np.uint16)
    return encoded(Pillow.fromarray(ramp))


def turned() -> bytes:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    return encoded(Pillow.fromarray(pixels(5)), "JPEG", exif=exif)


def animated() -> bytes:
    first, second = (Pillow.fromarray(pixels(n)) for n in (6, 7))
    return encoded(first, "PNG", save_all=True, append_images=[second], duration=100)


def pages() -> bytes:
    first, second = (Pillow.fromarray(pixels(n)) for n in (8, 9))
    return encoded(first, "TIFF", save_all=True, append_images=[second])


def of_mode(mode: str, kind: str) -> bytes:
    return encoded(Pillow.fromarray(pixels(10)).convert(mode), kind)


@pytest.mark.parametrize(
    ("name", "content", "note"),
    [
        ("deep.png", sixteen_bit(), "16"),
        ("print.jpg", of_mode("CMYK", "JPEG"), "CMYK"),
        ("print.tif", of_mode("CMYK", "TIFF"), "CMYK"),
        ("palette.png", of_mode("P", "PNG"), ""),
        ("glass.png", of_mode("RGBA", "PNG"), "ransparen"),
        ("animated.png", animated(), "frame"),
        ("pages.tif", pages(), "frame"),
        ("grey.png", of_mode("L", "PNG"), ""),
        ("bits.bmp", of_mode("1", "BMP"), ""),
    ],
)
def test_handled(upload: Upload, name: str, content: bytes, note: str) -> None:
    receipt = in_the_middle(upload, name, content)
    assert receipt.outcome == "accepted", receipt.message
    image = receipt.image
    assert (image.width, image.height) == pictures.SIZE
    assert note in " ".join(image.notes)
    assert images.open_original(image).read() == content
    with Pillow.open(images.thumbnail(image)) as small:
        assert small.format == "WEBP"


def test_a_turned_picture_is_measured_upright(upload: Upload) -> None:
    receipt = in_the_middle(upload, "turned.jpg", turned())
    assert receipt.outcome == "accepted"
    assert (receipt.image.width, receipt.image.height) == (48, 64)
    with Pillow.open(images.thumbnail(receipt.image)) as small:
        assert small.size == (48, 64)


def test_a_duplicate_says_where_it_is(upload: Upload) -> None:
    send(upload, "first.png", picture(1))
    again = send(upload, "second.png", picture(1))
    assert again.outcome == "duplicate"
    assert "second.png" in again.message
    assert "first.png" in again.message
    assert "Good parts" in again.message
    assert upload.dataset.items.count() == 1


# --- zips --------------------------------------------------------------------------------


def test_folders_inside_a_zip_are_kept_in_the_names(upload: Upload) -> None:
    files = {f"lot {n}/side a/{n}.png": picture(n) for n in range(3)}
    litter = {"__MACOSX/lot 1/._1.png": b"x", "lot 1/.DS_Store": b"x", "lot 1/Thumbs.db": b"x"}
    receipts = unpacked(upload, zipped({**files, **litter}))
    assert set(receipts) == set(files)
    assert all(receipt.outcome == "accepted" for receipt in receipts.values())
    assert set(upload.dataset.items.values_list("file_name", flat=True)) == set(files)


def test_a_bad_member_does_not_spoil_the_others(upload: Upload) -> None:
    bad = picture(2)
    content = damaged(zipped({"1.png": picture(1), "2.png": bad, "3.png": picture(3)}), bad)
    receipts = unpacked(upload, content)
    assert_refused(receipts["2.png"], "damaged_member", "Pack the picture again")
    assert receipts["1.png"].outcome == receipts["3.png"].outcome == "accepted"


def test_what_is_no_picture_in_a_zip_is_refused_by_name(upload: Upload) -> None:
    inner = zipped({"x.png": picture(9)})
    receipts = unpacked(
        upload, zipped({"readme.txt": b"hello", "more.zip": inner, "1.png": picture(1)})
    )
    assert_refused(receipts["readme.txt"], "not_a_picture", "Send PNG")
    assert_refused(receipts["more.zip"], "nested_archive", "Send it by itself")
    assert receipts["1.png"].outcome == "accepted"


@pytest.mark.parametrize("name", ["../../evil.png", "/etc/evil.png", "a/..\\..\\evil.png"])
def test_a_member_that_leads_out_of_the_zip_is_refused(upload: Upload, settings, name: str) -> None:
    receipts = unpacked(upload, zipped({name: picture(1), "1.png": picture(2)}))
    evil = next(receipt for key, receipt in receipts.items() if key.endswith("evil.png"))
    assert_refused(evil, "unsafe_name", "Pack the picture")
    assert receipts["1.png"].outcome == "accepted"
    assert not list(settings.VAR_DIR.glob("**/evil.png"))


def test_links_and_locked_members_are_refused(upload: Upload) -> None:
    link = zipfile.ZipInfo("link.png")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    files = {link: b"/etc/passwd", "locked.png": picture(1), "1.png": picture(2)}
    receipts = unpacked(upload, pictures.locked(zipped(files), "locked.png"))
    assert_refused(receipts["link.png"], "link_in_archive", "Pack the picture itself")
    assert_refused(receipts["locked.png"], "encrypted", "without one")
    assert receipts["1.png"].outcome == "accepted"


def test_a_bomb_is_refused_without_unpacking_it(upload: Upload) -> None:
    bomb = b"BM" + bytes(30_000_000)
    receipts = unpacked(upload, zipped({"bomb.bmp": bomb, "1.png": picture(1)}, compress=True))
    assert_refused(receipts["bomb.bmp"], "bomb", "send it by itself")
    assert receipts["1.png"].outcome == "accepted"


def test_a_zip_that_unpacks_to_too_much_is_refused_whole(upload: Upload, settings) -> None:
    settings.MAX_UNPACKED_MB = 1
    receipts = unpacked(upload, zipped({f"{n}.bmp": bytes(600_000) for n in range(3)}))
    assert_refused(receipts["parts.zip"], "archive_too_large_inside", "in parts")
    assert len(receipts) == 1


def test_a_zip_with_too_many_members_is_refused_whole(upload: Upload, settings) -> None:
    settings.MAX_ARCHIVE_MEMBERS = 3
    receipts = unpacked(upload, zipped({f"{n}.png": picture(n) for n in range(4)}))
    assert_refused(receipts["parts.zip"], "too_many_members", "several zips")


@pytest.mark.parametrize(
    "content", [zipped({"1.png": picture(1)})[:-30], b"PK\x03\x04 and then nothing", b"not a zip"]
)
def test_a_broken_zip_is_refused_whole(upload: Upload, content: bytes) -> None:
    receipts = unpacked(upload, content)
    assert_refused(receipts["parts.zip"], "damaged_archive", "pack it again")
    assert upload.dataset.items.count() == 0


def test_an_empty_zip_is_refused(upload: Upload) -> None:
    assert_refused(unpacked(upload, zipped({}))["parts.zip"], "empty_archive", "Pack the pictures")


def test_two_members_of_the_same_name_are_both_kept(upload: Upload) -> None:
    first, second = zipfile.ZipInfo("1.png"), zipfile.ZipInfo("1.png")
    unpacked(upload, zipped({first: picture(1), second: picture(2)}))
    assert upload.receipts.filter(outcome="accepted").count() == 2


# --- names -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd.png", "etc/passwd.png"),
        ("C:\\Users\\me\\part.png", "Users/me/part.png"),
        ("a\x00b\r\n\u202e.png", "ab.png"),
        ("<img src=x>.png", "<img src=x>.png"),
        ("Prüfteil 7.png", "Prüfteil 7.png"),
        ("", "file without a name"),
        ("x" * 300 + ".png", "x" * 251 + ".png"),
    ],
)
def test_names_are_only_shown(upload: Upload, name: str, shown: str) -> None:
    receipt = send(upload, name, picture(1), key="one")
    assert receipt.file_name == shown
    assert receipt.image.storage_key.startswith("images/")
    assert receipt.image.sha256 in receipt.image.storage_key
