"""Pictures that are dropped into a batch, and when the batch is closed."""

import pytest

from inspection.models import Purpose
from inspection.services import uploads
from tests.factories.batch import BatchFactory
from tests.factories.dataset import DatasetFactory
from tests.factories.files import picture, pictures, zipped
from tests.factories.upload import send

pytestmark = pytest.mark.django_db


def test_pictures_of_a_batch_become_inspections_and_closing_seals_it() -> None:
    batch = BatchFactory(model_version__images_per_second=1.0)  # chunks of two
    upload = uploads.open_upload(None, batch=batch)
    for name, content in pictures(5).items():
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
    send(first, "a.zip", zipped(pictures(3)))
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
