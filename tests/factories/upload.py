import io

import factory
from factory.django import DjangoModelFactory

from inspection.models import JobState, Upload, UploadArchive, UploadReceipt
from inspection.services.uploads import receive_file

from .dataset import DatasetFactory


class UploadFactory(DjangoModelFactory):
    """An open upload into a dataset; `dataset=None, batch=…` for one into a batch."""

    class Meta:
        model = Upload

    dataset = factory.SubFactory(DatasetFactory)
    state = JobState.DONE


class UploadReceiptFactory(DjangoModelFactory):
    class Meta:
        model = UploadReceipt

    upload = factory.SubFactory(UploadFactory)
    client_key = factory.Sequence(lambda n: f"key-{n}")
    file_name = factory.Sequence(lambda n: f"part-{n:04}.png")
    outcome = UploadReceipt.Outcome.ACCEPTED


class UploadArchiveFactory(DjangoModelFactory):
    """A zip that waits, without its file."""

    class Meta:
        model = UploadArchive

    upload = factory.SubFactory(UploadFactory)
    client_key = factory.Sequence(lambda n: f"zip-{n}")
    file_name = "lot.zip"
    path = factory.Sequence(lambda n: f"{n}.zip")
    size_bytes = 1234


def send(
    upload: Upload, name: str, content: bytes, *, key: str | None = None, size: int | None = None
) -> UploadReceipt | UploadArchive:
    """Send one file as the browser does, as the system's own user."""
    size = len(content) if size is None else size
    return receive_file(
        None, upload, client_key=key or name, name=name, stream=io.BytesIO(content), size=size
    )
