"""Uploads whose browser went away are closed; what still comes, or is to come, is not."""

import io
from datetime import timedelta

import pytest
from django.utils import timezone

from inspection.errors import NotAllowed, WrongState
from inspection.models import AuditEvent, Batch, Upload
from inspection.services import batches, incoming, uploads
from tests.factories.batch import BatchFactory
from tests.factories.files import picture, pictures, zipped
from tests.factories.membership import MembershipFactory
from tests.factories.upload import UploadFactory, send

pytestmark = pytest.mark.django_db
LONG = 2 * uploads.ABANDONED_AFTER


def silent(upload: Upload, since: timedelta = LONG) -> Upload:
    then = timezone.now() - since
    Upload.objects.filter(pk=upload.pk).update(created_at=then, active_at=then)
    return upload


def into(batch: Batch) -> Upload:
    return uploads.open_upload(None, batch=batch)


def closed(row: Upload | Batch) -> bool:
    row.refresh_from_db()
    return (row.closed_at if isinstance(row, Upload) else row.sealed_at) is not None


def test_a_silent_upload_is_closed_and_a_fresh_one_is_not() -> None:
    old, fresh = silent(UploadFactory()), UploadFactory()
    assert uploads.close_abandoned() == 1
    assert (closed(old), closed(fresh)) == (True, False)


def test_a_batch_that_nobody_fills_any_more_is_closed_with_its_upload() -> None:
    upload = into(BatchFactory())
    send(upload, "a.png", picture(1))
    silent(upload)
    assert uploads.close_abandoned() == 1
    assert closed(upload.batch)


def test_a_batch_that_is_to_be_kept_open_is_never_closed_for_its_silence() -> None:
    upload = into(BatchFactory())
    send(upload, "a.png", picture(1))
    uploads.keep_open(None, upload.batch, True)
    silent(upload)
    assert uploads.close_abandoned() == 0
    assert (closed(upload), closed(upload.batch)) == (False, False)


def test_a_receipt_is_a_sign_of_life_even_for_a_file_that_is_refused() -> None:
    upload = silent(into(BatchFactory()))
    send(upload, "a.png", b"no picture")
    assert uploads.close_abandoned() == 0


def test_a_large_file_that_still_arrives_is_a_sign_of_life(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(incoming, "HEARD_EVERY_S", 0.0)
    upload = silent(UploadFactory())
    content, closed_meanwhile = picture(1), []

    class Slow(io.BytesIO):
        """A sender that takes longer than a silence may last between any two pieces."""

        def read(self, amount: int | None = -1) -> bytes:
            closed_meanwhile.append(uploads.close_abandoned())
            silent(upload)
            return super().read(400)

    receipt = uploads.receive_file(
        None, upload, client_key="k", name="a.png", stream=Slow(content), size=len(content)
    )
    assert receipt.outcome == "accepted"
    assert len(closed_meanwhile) > 3
    assert set(closed_meanwhile) == {0}


def test_what_is_being_unpacked_is_not_silent() -> None:
    upload = into(BatchFactory())
    send(upload, "a.zip", zipped(pictures(2)))
    silent(upload)
    assert uploads.close_abandoned() == 0
    uploads.unpack(upload.pk)
    silent(upload)
    assert uploads.close_abandoned() == 1
    assert closed(upload.batch)


def test_closing_the_upload_leaves_a_batch_open_that_is_to_be_kept_open() -> None:
    upload = into(BatchFactory())
    send(upload, "a.png", picture(1))
    uploads.keep_open(None, upload.batch, True)
    uploads.close_upload(None, upload)
    assert not closed(upload.batch)
    uploads.keep_open(None, upload.batch, False)
    assert closed(upload.batch), "nothing more comes, and nobody wants it open"


def test_a_batch_without_any_upload_yet_is_not_closed_by_a_change_of_mind() -> None:
    batch = BatchFactory()
    uploads.keep_open(None, batch, True)
    uploads.keep_open(None, batch, False)
    assert not closed(batch)
    said = AuditEvent.objects.filter(action="batch.keep_open").order_by("id")
    assert [event.after["keep_open"] for event in said] == [True, False]


def test_who_may_keep_a_batch_open_and_until_when() -> None:
    batch = BatchFactory()
    viewer = MembershipFactory(product=batch.viewpoint.product).user
    with pytest.raises(NotAllowed):
        uploads.keep_open(viewer, batch, True)
    batches.seal(None, batch)
    with pytest.raises(WrongState, match="open a new batch"):
        uploads.keep_open(None, batch, True)
