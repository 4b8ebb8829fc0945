"""Eight senders at the same time: nothing is lost and nothing is there twice."""

import pytest

from inspection.jobs.claim import claim
from inspection.models import Image, InspectionImage, Upload
from inspection.services import uploads
from tests.factories.batch import BatchFactory
from tests.factories.dataset import DatasetFactory
from tests.factories.files import picture, pictures, zipped
from tests.factories.upload import UploadFactory, send
from tests.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)


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


def test_one_file_sent_eight_times_at_once_has_one_receipt() -> None:
    upload = UploadFactory()
    got = at_once([lambda: send(upload, "a.png", picture(1), key="k")] * 8)
    assert {receipt.pk for receipt in got} == {upload.receipts.get().pk}
    assert {receipt.outcome for receipt in got} == {"accepted"}


def test_one_zip_sent_eight_times_at_once_is_one_archive(settings) -> None:
    upload = UploadFactory()
    content = zipped(pictures(3))
    got = at_once([lambda: send(upload, "a.zip", content, key="k")] * 8)
    archive = upload.archives.get()
    assert {one.pk for one in got} == {archive.pk}
    assert (settings.STAGING_DIR / archive.path).exists()
    held = claim(Upload, upload.pk)
    assert held is not None
