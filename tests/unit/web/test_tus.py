"""tus 1.0 at the drop zone: each rule of the protocol, by requests as its clients send them."""

import base64
import hashlib
import threading
from datetime import timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.models.signals import pre_delete
from django.http import UnreadablePostError
from django.test import Client
from django.utils import timezone

from inspection.models import JobState, PartialFile, Role, Upload, UploadReceipt
from inspection.services import resumable, tidying, uploads
from tests.factories.dataset import DatasetFactory
from tests.factories.files import picture, pictures, zipped
from tests.factories.membership import MembershipFactory
from tests.factories.upload import UploadFactory
from tests.factories.user import UserFactory

pytestmark = pytest.mark.django_db
BYTES = "application/offset+octet-stream"
VERSION = {"Tus-Resumable": "1.0.0"}


class Sender:
    """Somebody who may bring pictures to one upload."""

    def __init__(self, upload: Upload) -> None:
        self.upload = upload
        product = upload.dataset.viewpoint.product
        self.user = MembershipFactory(product=product, role=Role.ENGINEER).user
        self.client = Client()
        self.client.force_login(self.user)
        self.base = f"/uploads/{upload.pk}/resumable/"

    def ask(self, method: str, path: str = "", body: bytes = b"", **headers: Any) -> Any:
        named = {name.replace("_", "-"): str(value) for name, value in headers.items()}
        kind = named.pop("Content-Type", BYTES)
        return self.client.generic(
            method,
            path or self.base,
            body,
            content_type=kind,
            headers={**VERSION, **named},
            CONTENT_TYPE=kind,  # the client leaves it out of a request without a body
        )

    def announce(self, content: bytes, name: str = "a.png", key: str = "k1", **more: Any) -> str:
        metadata = f"filename {encoded(name)},client_key {encoded(key)}"
        answer = self.ask(
            "POST", Content_Type="", Upload_Length=len(content), Upload_Metadata=metadata, **more
        )
        assert answer.status_code == 201, answer.content
        return str(answer["Location"])

    def piece(self, place: str, offset: int, body: bytes, **headers: Any) -> Any:
        return self.ask("PATCH", place, body, Upload_Offset=offset, **headers)

    def offset(self, place: str) -> int:
        return int(self.ask("HEAD", place)["Upload-Offset"])


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def partial_at(place: str) -> PartialFile:
    return PartialFile.objects.get(pk=place.rstrip("/").rsplit("/", 1)[1])


@pytest.fixture
def sender(db: None) -> Sender:
    return Sender(UploadFactory())


# --- the way of a file -------------------------------------------------------------------


def test_a_picture_in_three_pieces_gets_the_receipt_of_every_picture(sender: Sender) -> None:
    content = picture(1)
    place = sender.announce(content, "lot 7/äöü.png", "key-1")
    for start in range(0, len(content), 4000):
        answer = sender.piece(place, start, content[start : start + 4000])
        assert answer.status_code == 204
        assert int(answer["Upload-Offset"]) == min(start + 4000, len(content))
    receipt = UploadReceipt.objects.get()
    assert (receipt.outcome, receipt.client_key) == ("accepted", "key-1")
    assert receipt.file_name == "lot 7/äöü.png"
    assert receipt.image.sha256 == hashlib.sha256(content).hexdigest()
    assert sender.upload.dataset.items.count() == 1
    told = sender.ask("GET", place).json()
    assert (told["state"], told["outcome"]) == ("done", "accepted")
    assert told["image_id"] == str(receipt.image_id)
    assert not partial_at(place).path.exists()


def test_a_zip_is_queued_to_be_unpacked(sender: Sender) -> None:
    content = zipped(pictures(3))
    place = sender.announce(content, "lot.zip")
    sender.piece(place, 0, content)
    assert sender.ask("GET", place).json()["outcome"] == "queued"
    archive = sender.upload.archives.get()
    assert uploads.staged_archive(archive.path).read_bytes() == content
    sender.upload.refresh_from_db()
    assert sender.upload.state == JobState.QUEUED


def test_a_zip_is_not_written_a_second_time(
    sender: Sender, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    content = zipped(pictures(2))
    place = sender.announce(content, "lot.zip")
    sender.piece(place, 0, content[:100])
    file = partial_at(place).path.stat().st_ino
    sender.piece(place, 100, content[100:])
    archive = uploads.staged_archive(sender.upload.archives.get().path)
    assert (archive.stat().st_ino, archive.stat().st_nlink) == (file, 1)
    assert archive.read_bytes() == content

    def refuse(*_: Any) -> None:
        raise PermissionError("Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)  # a disk that knows no second names
    sender.piece(sender.announce(content, "two.zip", key="k2"), 0, content)
    copied = uploads.staged_archive(sender.upload.archives.get(client_key="k2").path)
    assert copied.read_bytes() == content


def test_a_zip_whose_taking_was_killed_is_taken_once(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = zipped(pictures(2))
    place = sender.announce(content, "lot.zip")

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(uploads, "lock_row", killed)
    with pytest.raises(KeyboardInterrupt):
        sender.piece(place, 0, content)
    monkeypatch.undo()
    assert not sender.upload.archives.exists()
    assert sender.offset(place) == len(content)
    assert uploads.staged_archive(sender.upload.archives.get().path).read_bytes() == content


def test_what_is_no_picture_is_refused_by_a_receipt(sender: Sender) -> None:
    place = sender.announce(b"not a picture", "text.png")
    assert sender.piece(place, 0, b"not a picture").status_code == 204
    told = sender.ask("GET", place).json()
    assert told["outcome"] == "refused"
    assert "text.png" in told["message"]
    assert UploadReceipt.objects.get().outcome == "refused"


def test_the_same_picture_twice_is_a_duplicate(sender: Sender) -> None:
    content = picture(1)
    for key in ("one", "two"):
        sender.piece(sender.announce(content, key=key), 0, content)
    assert list(UploadReceipt.objects.values_list("outcome", flat=True)) == [
        "accepted",
        "duplicate",
    ]


def test_the_first_bytes_may_come_with_the_announcement(sender: Sender) -> None:
    content = picture(1)
    answer = sender.ask("POST", "", content[:500], Upload_Length=len(content))
    assert (answer.status_code, answer["Upload-Offset"]) == (201, "500")
    assert sender.piece(answer["Location"], 500, content[500:]).status_code == 204
    assert UploadReceipt.objects.get().outcome == "accepted"


@pytest.mark.parametrize("trouble", ["damaged", "too much", "disk", "header", "gone away"])
def test_an_announcement_whose_bytes_are_refused_leaves_nothing(
    sender: Sender,
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
    tmp_path: Path,
    trouble: str,
) -> None:
    settings.MAX_UNFINISHED_FILES, settings.STAGING_DIR = 1, tmp_path
    content = picture(1)
    headers: dict[str, Any] = {"Upload_Length": len(content)}
    body, status = content[:500], 460
    if trouble == "damaged":
        digest = base64.b64encode(hashlib.sha256(b"another").digest()).decode()
        headers["Upload_Checksum"] = f"sha256 {digest}"
    elif trouble == "too much":
        body, status = content + b"x", 413
    elif trouble == "header":
        headers["Upload_Checksum"], status = "crc9 AAAA", 400
    elif trouble == "disk":
        status = 507
        announced = resumable.check_free_space

        def full(more: float = 0.0) -> None:
            announced(more if not PartialFile.objects.exists() else 10.0**9)

        monkeypatch.setattr(resumable, "check_free_space", full)
    else:
        status = 0

        def broken(*_: Any) -> None:
            raise UnreadablePostError("the connection broke off")

        monkeypatch.setattr(resumable, "_copy", broken)
    if status:
        answer = sender.ask("POST", "", body, **headers)
        assert (answer.status_code, answer.has_header("Location")) == (status, False)
    else:
        with pytest.raises(UnreadablePostError):
            sender.ask("POST", "", body, **headers)
    assert not PartialFile.objects.exists()
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    place = sender.announce(content)  # it is not in the way of the next
    assert sender.piece(place, 0, content).status_code == 204


# --- the rules ---------------------------------------------------------------------------


def test_options_say_what_we_speak(sender: Sender) -> None:
    for path in (sender.base, sender.announce(b"x" * 9)):
        answer = sender.client.options(path)
        assert answer.status_code == 204
        assert answer["Tus-Version"] == "1.0.0"
        assert "creation" in answer["Tus-Extension"].split(",")
        assert int(answer["Tus-Max-Size"]) > 10**9
        assert "sha1" in answer["Tus-Checksum-Algorithm"].split(",")


@pytest.mark.parametrize("method", ["POST", "HEAD", "PATCH", "DELETE"])
@pytest.mark.parametrize("version", ["0.2.2", None])
def test_another_version_is_412(sender: Sender, method: str, version: str | None) -> None:
    place = sender.base if method == "POST" else sender.announce(b"x" * 9)
    headers = {"Upload-Length": "9", "Upload-Offset": "0"}
    if version:
        headers["Tus-Resumable"] = version
    answer = sender.client.generic(method, place, b"", content_type=BYTES, headers=headers)
    assert (answer.status_code, answer["Tus-Version"]) == (412, "1.0.0")
    assert PartialFile.objects.count() == (0 if method == "POST" else 1)


def test_head_tells_how_far_it_is_and_is_never_cached(sender: Sender) -> None:
    content = picture(1)
    place = sender.announce(content, "a.png", "k")
    sender.piece(place, 0, content[:700])
    answer = sender.ask("HEAD", place)
    assert answer.status_code == 200
    assert (answer["Upload-Offset"], answer["Upload-Length"]) == ("700", str(len(content)))
    assert answer["Cache-Control"] == "no-store"
    assert answer["Tus-Resumable"] == "1.0.0"
    assert answer["Upload-Metadata"] == f"filename {encoded('a.png')},client_key {encoded('k')}"
    left = parsedate_to_datetime(answer["Upload-Expires"]) - timezone.now()
    assert timedelta(hours=23) < left < timedelta(hours=25)


@pytest.mark.parametrize("offset", [0, 499, 501, 10**17])
def test_another_offset_is_409_and_keeps_nothing(sender: Sender, offset: int) -> None:
    content = picture(1)
    place = sender.announce(content)
    sender.piece(place, 0, content[:500])
    answer = sender.piece(place, offset, b"y" * 10)
    assert (answer.status_code, answer["Upload-Offset"]) == (409, "500")
    assert partial_at(place).path.read_bytes() == content[:500]


@pytest.mark.parametrize("offset", ["", "-1", "x", "1" * 30, "１"])
def test_an_offset_that_is_no_number_is_400(sender: Sender, offset: str) -> None:
    place = sender.announce(b"x" * 9)
    assert sender.ask("PATCH", place, b"x", Upload_Offset=offset).status_code == 400


def test_a_piece_of_another_type_is_415(sender: Sender) -> None:
    place = sender.announce(b"x" * 9)
    answer = sender.piece(place, 0, b"x", Content_Type="text/plain")
    assert answer.status_code == 415
    assert sender.offset(place) == 0


def test_more_than_was_announced_is_413_and_keeps_nothing(sender: Sender) -> None:
    place = sender.announce(b"x" * 9)
    assert sender.piece(place, 0, b"x" * 10).status_code == 413
    assert sender.offset(place) == 0


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 400),
        ({"Upload_Length": "-5"}, 400),
        ({"Upload_Length": "0"}, 400),
        ({"Upload_Defer_Length": "1"}, 400),
        ({"Upload_Length": str(10**15)}, 413),
        ({"Upload_Length": "9", "Upload_Metadata": "filename ###"}, 400),
        ({"Upload_Length": "9", "Upload_Metadata": "filename " + "A" * 4000}, 400),
        ({"Upload_Length": "9", "Upload_Metadata": f"client_key {encoded('k' * 90)}"}, 400),
    ],
)
def test_a_bad_announcement_is_refused(sender: Sender, headers: Any, status: int) -> None:
    answer = sender.ask("POST", Content_Type="", **headers)
    assert answer.status_code == status
    assert answer.json()["message"]
    assert not PartialFile.objects.exists()


def test_other_methods_are_405(sender: Sender) -> None:
    place = sender.announce(b"x" * 9)
    for path in (sender.base, place):
        answer = sender.ask("PUT", path)
        assert answer.status_code == 405
        assert "OPTIONS" in answer["Allow"]


def test_a_proxy_without_patch_is_helped(sender: Sender) -> None:
    place = sender.announce(b"x" * 9)
    answer = sender.ask("POST", place, b"xx", Upload_Offset=0, X_HTTP_Method_Override="PATCH")
    assert (answer.status_code, answer["Upload-Offset"]) == (204, "2")


def test_a_checksum_is_compared(sender: Sender) -> None:
    content = picture(1)
    place = sender.announce(content)
    right = base64.b64encode(hashlib.sha256(content[:500]).digest()).decode()
    damaged = b"!" + content[1:500]
    answer = sender.piece(place, 0, damaged, Upload_Checksum=f"sha256 {right}")
    assert (answer.status_code, sender.offset(place)) == (460, 0)
    answer = sender.piece(place, 0, content[:500], Upload_Checksum=f"sha256 {right}")
    assert (answer.status_code, sender.offset(place)) == (204, 500)
    answer = sender.piece(place, 500, b"z", Upload_Checksum=f"crc9 {right}")
    assert (answer.status_code, sender.offset(place)) == (400, 500)


def test_given_up_is_gone(sender: Sender) -> None:
    place = sender.announce(b"x" * 9)
    sender.piece(place, 0, b"xx")
    path = partial_at(place).path
    assert path.exists()
    assert sender.ask("DELETE", place).status_code == 204
    assert not path.exists()
    assert sender.ask("HEAD", place).status_code == 404
    assert sender.piece(place, 2, b"x").status_code == 404


def test_expired_is_410_and_tidied_away(sender: Sender) -> None:
    place = sender.announce(b"x" * 9)
    sender.piece(place, 0, b"xx")
    partial = partial_at(place)
    PartialFile.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert sender.ask("HEAD", place).status_code == 410
    assert sender.piece(place, 2, b"x").status_code == 410
    assert tidying.tidy()["partial_files"] == 1
    assert not partial.path.exists()
    assert sender.ask("HEAD", place).status_code == 404


def test_tidying_leaves_what_may_go_on(sender: Sender) -> None:
    import os

    place = sender.announce(b"x" * 9)
    sender.piece(place, 0, b"xx")
    old = (timezone.now() - timedelta(days=5)).timestamp()
    os.utime(partial_at(place).path, (old, old))
    tidying.tidy()
    assert sender.offset(place) == 2


# --- whose it is -------------------------------------------------------------------------


def test_a_piece_that_came_while_it_was_tidied_is_kept(sender: Sender) -> None:
    content = picture(1)
    places = [sender.announce(content, key=key) for key in ("k1", "k2")]
    for place in places:
        sender.piece(place, 0, content[:100])
    PartialFile.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    first, second = PartialFile.objects.order_by("id")

    def renew(instance: PartialFile, **_: Any) -> None:
        soon = timezone.now() + timedelta(hours=1)
        PartialFile.objects.exclude(pk=instance.pk).update(expires_at=soon)

    pre_delete.connect(renew, sender=PartialFile)
    try:
        assert resumable.tidy() == 1
    finally:
        pre_delete.disconnect(renew, sender=PartialFile)
    assert list(PartialFile.objects.all()) == [second]
    assert (first.path.exists(), second.path.exists()) == (False, True)


def test_of_others_nobody_learns_anything(sender: Sender) -> None:
    place = sender.announce(b"x" * 9)
    other = Sender(sender.upload)  # may bring pictures to the same upload
    for method in ("HEAD", "PATCH", "DELETE", "GET"):
        answer = other.ask(method, place, b"x" if method == "PATCH" else b"", Upload_Offset=0)
        assert answer.status_code == 404, method
    stranger = Client()
    stranger.force_login(UserFactory())
    assert stranger.head(place, headers=VERSION).status_code == 404
    assert Client().head(place, headers=VERSION).status_code == 302  # to the door
    assert sender.offset(place) == 0


def test_an_address_under_another_upload_is_404(sender: Sender) -> None:
    place = sender.announce(b"x" * 9)
    other = UploadFactory(dataset=sender.upload.dataset)
    elsewhere = place.replace(str(sender.upload.pk), str(other.pk))
    assert sender.ask("HEAD", elsewhere).status_code == 404


def test_a_viewer_may_not_begin(sender: Sender) -> None:
    product = sender.upload.dataset.viewpoint.product
    viewer = Client()
    viewer.force_login(MembershipFactory(product=product, role=Role.VIEWER).user)
    headers = {**VERSION, "Upload-Length": "9"}
    assert viewer.post(sender.base, headers=headers).status_code == 403


def test_who_lost_the_role_may_not_go_on(sender: Sender) -> None:
    place = sender.announce(b"x" * 9)
    sender.user.memberships.update(role=Role.VIEWER)
    assert sender.piece(place, 0, b"x").status_code == 403


def test_a_post_without_the_csrf_token_is_refused(sender: Sender) -> None:
    careful = Client(enforce_csrf_checks=True)
    careful.force_login(sender.user)
    headers = {**VERSION, "Upload-Length": "9"}
    assert careful.post(sender.base, headers=headers).status_code == 403
    place = sender.announce(b"x" * 9)
    answer = careful.generic(
        "PATCH", place, b"x", content_type=BYTES, headers={**VERSION, "Upload-Offset": "0"}
    )
    assert answer.status_code == 403


def test_a_closed_upload_takes_no_more(sender: Sender) -> None:
    place = sender.announce(b"x" * 9)
    uploads.close_upload(None, sender.upload)
    assert sender.piece(place, 0, b"x").status_code == 409
    assert sender.ask("POST", Upload_Length=9).status_code == 409


def test_an_upload_waits_for_a_large_file_that_may_go_on(sender: Sender) -> None:
    place = sender.announce(b"x" * 9)
    quiet = timezone.now() - uploads.ABANDONED_AFTER * 2
    Upload.objects.update(active_at=quiet)
    assert uploads.close_abandoned() == 0
    sender.ask("DELETE", place)
    Upload.objects.update(active_at=quiet)
    assert uploads.close_abandoned() == 1


# --- how much ----------------------------------------------------------------------------


def test_unfinished_bytes_have_a_limit_per_person(sender: Sender, settings: Any) -> None:
    settings.MAX_UNFINISHED_MB = 1
    place = sender.announce(b"x" * 600_000)
    answer = sender.ask("POST", Upload_Length=600_000)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_much_unfinished")
    other = Sender(sender.upload)
    assert other.announce(b"x" * 600_000)
    sender.ask("DELETE", place)
    assert sender.announce(b"x" * 600_000)


def test_unfinished_files_have_a_limit_per_person(sender: Sender, settings: Any) -> None:
    settings.MAX_UNFINISHED_FILES = 1
    sender.announce(b"x" * 9)
    assert sender.ask("POST", Upload_Length=9).status_code == 413


def test_what_the_disk_has_no_room_for_is_507(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    from inspection.services import disk

    content = picture(1)
    place = sender.announce(content)
    monkeypatch.setattr(disk, "free_gb", lambda *_: 0.0)
    assert sender.ask("POST", Upload_Length=9).status_code == 507
    assert sender.piece(place, 0, content[:9]).status_code == 507
    monkeypatch.undo()
    assert sender.piece(place, 0, content).status_code == 204
    assert UploadReceipt.objects.get().outcome == "accepted"


# --- kills and crowds --------------------------------------------------------------------


def test_the_truth_is_the_smaller_of_file_and_row(sender: Sender) -> None:
    content = picture(1)
    place = sender.announce(content)
    sender.piece(place, 0, content[:1000])
    partial = partial_at(place)
    with partial.path.open("ab") as file:  # written, and killed before the row was
        file.write(b"never acknowledged")
    assert sender.offset(place) == 1000
    with partial.path.open("r+b") as file:  # a power cut lost what the row knows
        file.truncate(600)
    assert sender.offset(place) == 600
    assert sender.piece(place, 1000, content[1000:]).status_code == 409
    assert sender.piece(place, 600, content[600:]).status_code == 204
    assert UploadReceipt.objects.get().image.sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("how", ["HEAD", "GET", "PATCH", "tidy"])
def test_a_whole_file_that_nobody_took_is_taken_later(sender: Sender, how: str) -> None:
    content = picture(1)
    place = sender.announce(content)
    partial = partial_at(place)
    partial.path.write_bytes(content)
    PartialFile.objects.update(offset=len(content))  # killed right here
    if how == "tidy":
        tidying.tidy()
    elif how == "PATCH":
        assert sender.piece(place, len(content), b"").status_code == 204
    else:
        assert sender.ask(how, place).status_code == 200
    assert UploadReceipt.objects.get().outcome == "accepted"
    assert not partial.path.exists()
    assert sender.offset(place) == len(content)


def test_while_one_piece_is_written_another_is_423(sender: Sender) -> None:
    place = sender.announce(b"x" * 9)
    with resumable._held(partial_at(place)):
        answer = sender.piece(place, 0, b"x")
        assert (answer.status_code, answer["Retry-After"]) == (423, "1")
        assert sender.ask("DELETE", place).status_code == 423
    assert sender.piece(place, 0, b"x").status_code == 204


@pytest.mark.django_db(transaction=True)
def test_of_many_pieces_at_once_one_is_kept(redis_server: Any) -> None:
    upload = UploadFactory(dataset=DatasetFactory())
    owner = MembershipFactory(product=upload.dataset.viewpoint.product, role=Role.ENGINEER).user
    partial = resumable.begin(owner, upload=upload, length=10**6, file_name="a", client_key="a")
    outcomes: list[str] = []
    ready = threading.Barrier(8)

    def send(number: int) -> None:
        import io

        mine = PartialFile.objects.get(pk=partial.pk)
        ready.wait()
        try:
            resumable.append(mine, io.BytesIO(bytes([number]) * 500_000), offset=0, size=500_000)
            outcomes.append("kept")
        except (resumable.Busy, resumable.WrongOffset):
            outcomes.append("refused")
        finally:
            connection.close()

    threads = [threading.Thread(target=send, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["kept"] + ["refused"] * 7
    there = partial.path.read_bytes()
    assert len(there) == 500_000
    assert len(set(there)) == 1  # one sender's bytes, not a mixture
