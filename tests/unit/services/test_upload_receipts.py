"""Every file gets one receipt, however often and however badly it is sent."""

import io

import pytest

from inspection.errors import NotAllowed, UserError, WrongState
from inspection.models import AuditEvent, Image, Upload
from inspection.services import disk, uploads
from tests.factories.batch import BatchFactory
from tests.factories.dataset import DatasetFactory
from tests.factories.files import picture
from tests.factories.membership import MembershipFactory
from tests.factories.upload import UploadFactory, send
from tests.factories.user import UserFactory

pytestmark = pytest.mark.django_db


def test_a_repeated_send_gets_the_same_receipt(upload: Upload) -> None:
    first = send(upload, "a.png", picture(1), key="k1")
    again = send(upload, "a.png", picture(1), key="k1")
    assert again == first
    assert again.outcome == "accepted"
    assert upload.dataset.items.count() == 1


def test_a_repeat_after_the_end_still_gets_its_receipt(upload: Upload) -> None:
    first = send(upload, "a.png", picture(1), key="k1")
    uploads.close_upload(None, upload)
    assert send(upload, "a.png", picture(1), key="k1") == first
    with pytest.raises(WrongState, match="Start a new upload"):
        send(upload, "b.png", picture(2), key="k2")


def test_a_connection_that_broke_off_may_try_again(upload: Upload) -> None:
    whole = picture(1)
    with pytest.raises(UserError) as broken:
        send(upload, "a.png", whole[:500], key="k1", size=len(whole))
    assert broken.value.code == "incomplete_transfer"
    assert "a.png" in broken.value.message
    assert send(upload, "a.png", whole, key="k1").outcome == "accepted"


def test_a_full_disk_is_no_receipt_and_may_be_tried_again(upload: Upload, settings) -> None:
    settings.MIN_FREE_GB = disk.free_gb() + 1000
    with pytest.raises(UserError, match="must stay free"):
        send(upload, "a.png", picture(1))
    settings.MIN_FREE_GB = 0.1
    assert send(upload, "a.png", picture(1)).outcome == "accepted"


def test_a_picture_may_be_in_two_datasets() -> None:
    for upload in (UploadFactory(), UploadFactory()):
        assert send(upload, "a.png", picture(1)).outcome == "accepted"
    assert Image.objects.count() == 1


def test_a_left_out_duplicate_says_so(upload: Upload) -> None:
    send(upload, "a.png", picture(1))
    upload.dataset.items.update(excluded_at=upload.created_at, excluded_reason="blurred")
    assert "blurred" in send(upload, "b.png", picture(1)).message


@pytest.mark.parametrize("key", ["", "x" * 81, "a\x00b"])
def test_a_bad_key_is_refused(upload: Upload, key: str) -> None:
    with pytest.raises(UserError, match="X-Client-Key"):
        uploads.receive_file(
            None, upload, client_key=key, name="a.png", stream=io.BytesIO(b"x"), size=1
        )


def test_who_may_upload() -> None:
    dataset, batch = DatasetFactory(), BatchFactory()
    inspector = MembershipFactory(product=batch.viewpoint.product, role="inspector").user
    viewer = MembershipFactory(product=dataset.viewpoint.product, role="inspector").user
    assert uploads.open_upload(inspector, batch=batch).created_by == inspector
    with pytest.raises(NotAllowed):
        uploads.open_upload(viewer, dataset=dataset)
    with pytest.raises(NotAllowed):
        uploads.open_upload(UserFactory(), batch=batch)


def test_open_and_close_are_written_down_with_counts(upload: Upload) -> None:
    user = UserFactory(role="engineer")
    upload = uploads.open_upload(user, dataset=upload.dataset, expected_files=3)
    send(upload, "a.png", picture(1))
    send(upload, "b.png", picture(1))
    send(upload, "c.png", b"no picture")
    uploads.close_upload(user, upload)
    opened, closed = AuditEvent.objects.filter(object_id=upload.pk).order_by("id")
    assert (opened.action, opened.actor, opened.after["expected_files"]) == (
        "upload.opened",
        user,
        3,
    )
    assert closed.action == "upload.closed"
    counts = {key: closed.after[key] for key in ("done", "accepted", "duplicate", "refused")}
    assert counts == {"done": 3, "accepted": 1, "duplicate": 1, "refused": 1}
