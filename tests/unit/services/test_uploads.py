import io
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.db import connection

from inspection.errors import NotAllowed, UserError, WrongState
from inspection.ids import new_id
from inspection.jobs import shutdown
from inspection.jobs.claim import claim
from inspection.live import push as live
from inspection.models import (
    AuditEvent,
    Image,
    InspectionImage,
    JobState,
    Purpose,
    Upload,
    UploadArchive,
    UploadReceipt,
)
from inspection.services import disk, receipts, uploads
from tests.factories.batch import BatchFactory
from tests.factories.dataset import DatasetFactory
from tests.factories.files import picture, zipped
from tests.factories.membership import MembershipFactory
from tests.factories.upload import UploadFactory, send
from tests.factories.user import UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def upload() -> Upload:
    return UploadFactory()


@pytest.fixture
def pushed(monkeypatch) -> list[dict]:
    """What browsers were told."""
    told: list[dict] = []
    monkeypatch.setattr(live, "_send", lambda topic, text: told.append(json.loads(text)))
    return told


def files(how_many: int) -> dict[str, bytes]:
    return {f"{n:03}.png": picture(n) for n in range(how_many)}


# --- receipts ----------------------------------------------------------------------------


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


# --- into a batch ------------------------------------------------------------------------


def test_pictures_of_a_batch_become_inspections_and_closing_seals_it() -> None:
    batch = BatchFactory(model_version__images_per_second=1.0)  # chunks of two
    upload = uploads.open_upload(None, batch=batch)
    for name, content in files(5).items():
        assert send(upload, name, content).outcome == "accepted"
    assert batch.chunks.count() == 2
    uploads.close_upload(None, upload)
    batch.refresh_from_db()
    assert batch.sealed_at is not None
    assert batch.inspections.count() == 5
    assert sum(chunk.inspections.count() for chunk in batch.chunks.all()) == 5


def test_the_same_picture_twice_in_a_batch_is_judged_once() -> None:
    upload = uploads.open_upload(None, batch=BatchFactory())
    send(upload, "a.png", picture(1))
    receipt = send(upload, "b.png", picture(1))
    assert receipt.outcome == "duplicate"
    assert "a.png" in receipt.message
    assert "open a new batch" in receipt.message
    assert upload.batch.inspections.count() == 1


def test_a_batch_is_sealed_only_when_the_last_upload_is_unpacked() -> None:
    batch = BatchFactory()
    first, second = (uploads.open_upload(None, batch=batch) for _ in range(2))
    send(first, "a.zip", zipped(files(3)))
    uploads.close_upload(None, first)
    uploads.close_upload(None, second)
    batch.refresh_from_db()
    assert batch.sealed_at is None
    uploads.unpack(first.pk)
    batch.refresh_from_db()
    assert batch.sealed_at is not None
    assert batch.inspections.count() == 3


@pytest.mark.parametrize(
    ("purpose", "folders", "labels"),
    [
        (Purpose.TRIAL, "label", {"good", "scratch"}),
        (Purpose.TRIAL, "", {""}),
        (Purpose.PRODUCTION, "label", {""}),
    ],
)
def test_folders_of_a_trial_say_what_is_known(purpose: str, folders: str, labels: set) -> None:
    upload = uploads.open_upload(None, batch=BatchFactory(purpose=purpose), folders=folders)
    send(upload, "t.zip", zipped({"test/good/1.png": picture(1), "test/scratch/1.png": picture(2)}))
    uploads.unpack(upload.pk)
    assert set(upload.batch.inspections.values_list("reference_label", flat=True)) == labels


def test_folders_of_a_dataset_may_be_lots() -> None:
    upload = uploads.open_upload(None, dataset=DatasetFactory(), folders="lot")
    send(upload, "LOT-7/1.png", picture(1))
    assert upload.dataset.items.get().lot_code == "LOT-7"


def test_a_file_that_comes_after_the_batch_is_sealed_is_refused_with_a_receipt() -> None:
    batch = BatchFactory()
    upload = uploads.open_upload(None, batch=batch)
    batch.sealed_at = batch.created_at
    batch.save()
    receipt = send(upload, "late.png", picture(1))
    assert (receipt.outcome, receipt.code) == ("refused", "batch_sealed")
    assert "late.png" in receipt.message


# --- zips as jobs ------------------------------------------------------------------------


def test_a_zip_waits_as_a_job_and_its_staged_file_goes_when_it_is_done(
    upload: Upload, settings
) -> None:
    archive = send(upload, "a.zip", zipped(files(3)), key="z")
    upload.refresh_from_db()
    staged = settings.STAGING_DIR / archive.path
    assert (upload.state, staged.exists()) == (JobState.QUEUED, True)
    assert send(upload, "a.zip", zipped(files(3)), key="z") == archive
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
    send(upload, "a.zip", zipped(files(6)), key="z")
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
    send(upload, "a.zip", zipped(files(3)))
    monkeypatch.setattr(shutdown, "requested", lambda: upload.receipts.count() >= 1)
    uploads.unpack(upload.pk)
    upload.refresh_from_db()
    assert (upload.state, upload.attempt, upload.receipts.count()) == (JobState.QUEUED, 0, 1)


def test_a_worker_that_lost_the_job_writes_nothing_more(upload: Upload, monkeypatch) -> None:
    send(upload, "a.zip", zipped(files(3)))
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
    send(upload, "a.zip", zipped(files(5)))
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
    archive = send(upload, "a.zip", zipped(files(5)))
    with django_capture_on_commit_callbacks(execute=True):
        uploads.cancel_upload(None, upload)
    uploads.unpack(upload.pk)
    upload.refresh_from_db()
    assert (upload.state, upload.receipts.count()) == (JobState.CANCELLED, 0)
    assert not (settings.STAGING_DIR / archive.path).exists()


def test_a_zip_that_arrives_after_the_cancel_does_not_wait_for_ever(
    upload: Upload, settings, monkeypatch
) -> None:
    send(upload, "a.zip", zipped(files(2)))
    uploads.cancel_upload(None, upload)
    monkeypatch.setattr(uploads, "_check_takes_files", lambda upload: None)  # it was on its way
    receipt = send(upload, "b.zip", zipped(files(2)))
    assert (receipt.outcome, receipt.code) == ("refused", "upload_cancelled")
    assert not upload.archives.filter(unpacked_at=None).exists()


def test_a_full_disk_fails_the_job_and_it_can_go_on(upload: Upload, settings) -> None:
    send(upload, "a.zip", zipped(files(2)))
    settings.MIN_FREE_GB = disk.free_gb() + 1000
    uploads.unpack(upload.pk)
    upload.refresh_from_db()
    assert (upload.state, upload.error_code) == (JobState.FAILED, "disk_full")
    settings.MIN_FREE_GB = 0.1
    uploads.resume_upload(None, upload)
    uploads.unpack(upload.pk)
    assert upload.receipts.filter(outcome="accepted").count() == 2


def test_a_bug_is_tried_again_and_then_given_up(upload: Upload, monkeypatch) -> None:
    send(upload, "a.zip", zipped(files(2)))
    monkeypatch.setattr(receipts, "take", lambda *args: 1 / 0)
    for _ in range(upload.max_attempts):
        upload.refresh_from_db()
        assert upload.state == JobState.QUEUED
        uploads.unpack(upload.pk)
    upload.refresh_from_db()
    assert (upload.state, upload.error_code) == (JobState.FAILED, "unpacking_failed")


def test_a_zip_that_comes_while_the_job_runs_is_seen(upload: Upload, monkeypatch) -> None:
    send(upload, "a.zip", zipped(files(1)))
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


# --- what a page is told -------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_progress_is_written_and_pushed_at_most_once_a_second(
    monkeypatch, pushed: list[dict]
) -> None:
    upload = UploadFactory(expected_files=1)
    send(upload, "a.zip", zipped(files(40)))
    ticks = count()  # a tenth of a second passes at every look at the clock
    clock = SimpleNamespace(monotonic=lambda: next(ticks) * 0.1)
    monkeypatch.setattr("inspection.services.unpacking.time", clock)
    uploads.unpack(upload.pk)
    mine = [message for message in pushed if message["topic"] == f"upload:{upload.pk}"]
    assert 3 <= len(mine) <= 6
    assert sum(len(message["receipts"]) for message in mine) == 40
    last = mine[-1]
    assert (last["done"], last["total"], last["state"]) == (40, 40, "done")
    first = mine[0]["receipts"][0]
    assert set(first) == {"client_key", "file_name", "outcome", "code", "message", "image_id"}
    upload.refresh_from_db()
    assert upload.progress["total"] == 40


def test_the_total_counts_what_is_in_the_zips() -> None:
    upload = UploadFactory(expected_files=3)
    send(upload, "a.png", picture(1))
    send(upload, "a.zip", zipped(files(10)))
    assert uploads.upload_progress(upload)["total"] == 3
    uploads.unpack(upload.pk)
    progress = uploads.upload_progress(upload)
    assert (progress["done"], progress["total"]) == (11, 12)


# --- a folder of this machine ------------------------------------------------------------


def test_import_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "lot 1").mkdir()
    (tmp_path / "lot 1" / "a.png").write_bytes(picture(1))
    (tmp_path / "b.png").write_bytes(picture(2))
    (tmp_path / "c.png").write_bytes(b"no picture")
    (tmp_path / ".DS_Store").write_bytes(b"x")
    seen: list[tuple[int, int]] = []
    upload = uploads.import_folder(
        None,
        dataset=DatasetFactory(),
        folder=tmp_path,
        progress=lambda done, total: seen.append((done, total)),
    )
    outcomes = dict(upload.receipts.values_list("file_name", "outcome"))
    assert outcomes == {"lot 1/a.png": "accepted", "b.png": "accepted", "c.png": "refused"}
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert upload.closed_at is not None
    assert (tmp_path / "b.png").read_bytes() == picture(2)


def test_import_into_a_trial_takes_labels_from_folders(tmp_path: Path) -> None:
    for kind, seed in (("good", 1), ("bridge", 2)):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "1.png").write_bytes(picture(seed))
    batch = BatchFactory(purpose=Purpose.TRIAL)
    uploads.import_folder(None, batch=batch, folder=tmp_path, labels=True)
    assert set(batch.inspections.values_list("reference_label", flat=True)) == {"good", "bridge"}


def test_import_of_what_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a folder"):
        uploads.import_folder(None, dataset=DatasetFactory(), folder=tmp_path / "nowhere")


def test_an_abandoned_upload_is_closed() -> None:
    old = UploadFactory()
    fresh = UploadFactory()
    Upload.objects.filter(pk=old.pk).update(created_at=old.created_at - 2 * uploads.ABANDONED_AFTER)
    assert uploads.close_abandoned() == 1
    old.refresh_from_db()
    fresh.refresh_from_db()
    assert (old.closed_at is None, fresh.closed_at is None) == (False, True)


# --- many at once --------------------------------------------------------------------------


def at_once(work: list, threads: int = 8) -> list:
    """Run the calls in threads that all start together, each with a connection of its own."""
    start = threading.Barrier(threads)

    def run(share: list) -> list:
        try:
            start.wait()
            return [call() for call in share]
        finally:
            connection.close()

    with ThreadPoolExecutor(threads) as pool:
        shares = [work[n::threads] for n in range(threads)]
        return [result for share in pool.map(run, shares) for result in share]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("into", ["dataset", "batch"])
def test_nothing_is_lost_when_eight_upload_at_once(into: str) -> None:
    target = DatasetFactory() if into == "dataset" else BatchFactory()
    upload = uploads.open_upload(None, **{into: target})
    own = [(f"own-{n}.png", picture(n)) for n in range(40)]
    same = [(f"same-{n}.png", picture(9999)) for n in range(16)]
    work = [
        lambda name=name, content=content: send(upload, name, content)
        for name, content in own + same
    ]
    got = at_once(work)
    assert len(got) == upload.receipts.count() == 56
    outcomes = sorted(receipt.outcome for receipt in got)
    assert outcomes == ["accepted"] * 41 + ["duplicate"] * 15
    assert Image.objects.count() == 41
    if into == "dataset":
        assert target.items.count() == 41
    else:
        assert InspectionImage.objects.filter(inspection__batch=target).count() == 41


@pytest.mark.django_db(transaction=True)
def test_one_file_sent_eight_times_at_once_has_one_receipt() -> None:
    upload = UploadFactory()
    got = at_once([lambda: send(upload, "a.png", picture(1), key="k")] * 8)
    assert {receipt.pk for receipt in got} == {upload.receipts.get().pk}
    assert {receipt.outcome for receipt in got} == {"accepted"}


@pytest.mark.django_db(transaction=True)
def test_one_zip_sent_eight_times_at_once_is_one_archive(settings) -> None:
    upload = UploadFactory()
    content = zipped(files(3))
    got = at_once([lambda: send(upload, "a.zip", content, key="k")] * 8)
    archive = upload.archives.get()
    assert {one.pk for one in got} == {archive.pk}
    assert (settings.STAGING_DIR / archive.path).exists()
    held = claim(Upload, upload.pk)
    assert held is not None
