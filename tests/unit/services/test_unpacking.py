"""Zips are jobs: killed, stopped, cancelled or out of disk, nothing is lost or taken twice."""

import pytest

from inspection.ids import new_id
from inspection.jobs import shutdown
from inspection.models import JobState, Upload, UploadArchive, UploadReceipt
from inspection.services import disk, receipts, uploads
from tests.factories.files import picture, pictures, zipped
from tests.factories.upload import send

pytestmark = pytest.mark.django_db


def test_a_zip_waits_as_a_job_and_its_staged_file_goes_when_it_is_done(
    upload: Upload, settings
) -> None:
    archive = send(upload, "a.zip", zipped(pictures(3)), key="z")
    upload.refresh_from_db()
    staged = settings.STAGING_DIR / archive.path
    assert (upload.state, staged.exists()) == (JobState.QUEUED, True)
    assert send(upload, "a.zip", zipped(pictures(3)), key="z") == archive
    uploads.unpack(upload.pk)
    upload.refresh_from_db()
    archive.refresh_from_db()
    assert (upload.state, staged.exists()) == (JobState.DONE, False)
    assert (archive.members_total, archive.members_done) == (3, 3)
    assert set(upload.receipts.values_list("client_key", flat=True)) == {
        "z/000.png",
        "z/001.png",
        "z/002.png",
    }


def test_an_upload_takes_a_second_zip_after_the_first_is_done(upload: Upload) -> None:
    for name, content in (("a.zip", picture(1)), ("b.zip", picture(2))):
        send(upload, name, zipped({"1.png": content}))
        uploads.unpack(upload.pk)
    assert upload.dataset.items.count() == 2


class _Killed(BaseException):
    """As kill -9: nothing of ours runs after it."""


def kill_after(monkeypatch, count: int) -> None:
    real, taken = receipts.take, []

    def take(*args: object) -> UploadReceipt:
        if len(taken) == count:
            raise _Killed
        taken.append(1)
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(receipts, "take", take)


def test_a_killed_unpacking_goes_on_where_it_was(upload: Upload, monkeypatch) -> None:
    send(upload, "a.zip", zipped(pictures(6)), key="z")
    with monkeypatch.context() as patch:
        kill_after(patch, 4)
        with pytest.raises(_Killed):
            uploads.unpack(upload.pk)
    upload.refresh_from_db()
    assert (upload.state, upload.receipts.count()) == (JobState.RUNNING, 4)
    Upload.objects.filter(pk=upload.pk).update(state=JobState.QUEUED, token=None)  # the reaper
    before = set(upload.receipts.values_list("id", flat=True))
    uploads.unpack(upload.pk)
    upload.refresh_from_db()
    assert upload.state == JobState.DONE
    assert upload.receipts.filter(outcome="accepted").count() == 6
    assert before < set(upload.receipts.values_list("id", flat=True))


def test_a_stopping_worker_gives_the_rest_back(upload: Upload, monkeypatch) -> None:
    send(upload, "a.zip", zipped(pictures(3)))
    monkeypatch.setattr(shutdown, "requested", lambda: upload.receipts.count() >= 1)
    uploads.unpack(upload.pk)
    upload.refresh_from_db()
    assert (upload.state, upload.attempt, upload.receipts.count()) == (JobState.QUEUED, 0, 1)


def test_a_worker_that_lost_the_job_writes_nothing_more(upload: Upload, monkeypatch) -> None:
    send(upload, "a.zip", zipped(pictures(3)))
    real = receipts.take

    def taken_away(*args: object) -> UploadReceipt:
        if upload.receipts.count() == 1:
            Upload.objects.filter(pk=upload.pk).update(token=new_id())
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(receipts, "take", taken_away)
    uploads.unpack(upload.pk)
    upload.refresh_from_db()
    assert (upload.state, upload.receipts.count()) == (JobState.RUNNING, 1)


def test_cancel_is_looked_for_between_members(upload: Upload, monkeypatch) -> None:
    send(upload, "a.zip", zipped(pictures(5)))
    real = receipts.take

    def take(*args: object) -> UploadReceipt:
        if upload.receipts.count() == 1:
            uploads.cancel_upload(None, upload)
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(receipts, "take", take)
    uploads.unpack(upload.pk)
    upload.refresh_from_db()
    assert upload.state == JobState.CANCELLED
    assert upload.receipts.filter(outcome="accepted").count() == 2  # what was accepted stays
    assert upload.closed_at is not None


def test_a_queued_zip_is_cancelled_at_once(
    upload: Upload, settings, django_capture_on_commit_callbacks
) -> None:
    archive = send(upload, "a.zip", zipped(pictures(5)))
    with django_capture_on_commit_callbacks(execute=True):
        uploads.cancel_upload(None, upload)
    uploads.unpack(upload.pk)
    upload.refresh_from_db()
    assert (upload.state, upload.receipts.count()) == (JobState.CANCELLED, 0)
    assert not (settings.STAGING_DIR / archive.path).exists()


def test_a_zip_that_arrives_after_the_cancel_does_not_wait_for_ever(
    upload: Upload, settings, monkeypatch
) -> None:
    send(upload, "a.zip", zipped(pictures(2)))
    uploads.cancel_upload(None, upload)
    monkeypatch.setattr(uploads, "_check_takes_files", lambda upload: None)  # it was on its way
    receipt = send(upload, "b.zip", zipped(pictures(2)))
    assert (receipt.outcome, receipt.code) == ("refused", "upload_cancelled")
    assert not upload.archives.filter(unpacked_at=None).exists()


def test_a_full_disk_fails_the_job_and_it_can_go_on(upload: Upload, settings) -> None:
    send(upload, "a.zip", zipped(pictures(2)))
    settings.MIN_FREE_GB = disk.free_gb() + 1000
    uploads.unpack(upload.pk)
    upload.refresh_from_db()
    assert (upload.state, upload.error_code) == (JobState.FAILED, "disk_full")
    settings.MIN_FREE_GB = 0.1
    uploads.resume_upload(None, upload)
    uploads.unpack(upload.pk)
    assert upload.receipts.filter(outcome="accepted").count() == 2


def test_a_bug_is_tried_again_and_then_given_up(upload: Upload, monkeypatch) -> None:
    send(upload, "a.zip", zipped(pictures(2)))
    monkeypatch.setattr(receipts, "take", lambda *args: 1 / 0)
    for _ in range(upload.max_attempts):
        upload.refresh_from_db()
        assert upload.state == JobState.QUEUED
        uploads.unpack(upload.pk)
    upload.refresh_from_db()
    assert (upload.state, upload.error_code) == (JobState.FAILED, "unpacking_failed")


def test_a_zip_that_comes_while_the_job_runs_is_seen(upload: Upload, monkeypatch) -> None:
    send(upload, "a.zip", zipped(pictures(1)))
    real = receipts.take

    def take(*args: object) -> UploadReceipt:
        if not upload.archives.filter(client_key="late").exists():
            send(upload, "b.zip", zipped({"b.png": picture(77)}), key="late")
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(receipts, "take", take)
    uploads.unpack(upload.pk)
    upload.refresh_from_db()
    assert upload.state == JobState.DONE
    assert not UploadArchive.objects.filter(unpacked_at=None).exists()
