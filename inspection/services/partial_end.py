"""A file that came in pieces and is whole: taken as every other file."""

from typing import IO

from django.utils import timezone

from inspection.errors import UserError
from inspection.models import PartialFile, UploadArchive, UploadReceipt

from . import dataset_pictures, receipts, uploads
from .incoming import Incoming, other_archive


def finish(partial: PartialFile) -> None:
    """Take the whole file as every other, and let its bytes go. Safe to run again after a kill:
    a file with the same key, and a picture with the same bytes, is taken once.

    Raises UserError only for what passes (a full disk): the bytes stay, and it is tried again.
    """
    fields: dict[str, object] = {}
    try:
        with partial.path.open("rb") as stream:
            fields = _take(partial, stream)
    except UserError as refusal:
        if refusal.code in receipts.PASSING:
            raise
        fields = {"code": refusal.code, "message": refusal.message}
    PartialFile.objects.filter(pk=partial.pk, finished_at=None).update(
        finished_at=timezone.now(), **fields
    )
    partial.path.unlink(missing_ok=True)
    partial.refresh_from_db()


def _take(partial: PartialFile, stream: IO[bytes]) -> dict[str, object]:
    owner = partial.owner
    if partial.upload:
        taken = uploads.receive_file(
            owner,
            partial.upload,
            client_key=partial.client_key,
            name=partial.file_name,
            stream=stream,
            size=partial.length,
            path=partial.path,
        )
        return _said_of(taken)
    file = Incoming(partial.file_name, stream, partial.length)
    if file.is_zip or file.is_other_archive:
        raise other_archive(partial.file_name)
    image = dataset_pictures.receive_image(owner, partial.file_name, file)  # type: ignore[arg-type]
    return {"image": image}


def _said_of(taken: UploadReceipt | UploadArchive) -> dict[str, object]:
    if isinstance(taken, UploadArchive):
        return {}
    refused = taken.outcome == UploadReceipt.Outcome.REFUSED
    said = {"code": taken.code, "message": taken.message} if refused else {}
    return {"image": taken.image, **said}
