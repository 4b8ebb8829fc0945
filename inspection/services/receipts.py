"""What becomes of one file: kept and put in its place, already there, or refused; written down."""

import time
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Count, Q, QuerySet, Sum
from django.utils import timezone
from django.utils.translation import gettext

from inspection.errors import UserError
from inspection.jobs.claim import Claim
from inspection.live.push import push
from inspection.models import (
    Batch,
    Dataset,
    DatasetImage,
    Image,
    InspectionImage,
    Purpose,
    Upload,
    UploadArchive,
    UploadReceipt,
    User,
)

from . import batches
from .announce import upload_line
from .images import display_name, store_image
from .incoming import Incoming, folder_of
from .locking import lock_row

Outcome = UploadReceipt.Outcome
GOOD = "good"
LABEL_LENGTH = 60
LOT_LENGTH = 80
PUSH_EVERY_S = 1.0
ACTIVE_EVERY = timedelta(seconds=30)
# The sender still has the file and may send it again with the same key: no receipt.
PASSING = ("disk_full", "incomplete_transfer")
NOT_READ_WHOLE = ("too_large", *PASSING)
_last_push: dict[UUID, float] = {}


def find(upload: Upload, client_key: str) -> UploadReceipt | None:
    """The receipt that a file with this key has already."""
    return upload.receipts.filter(client_key=client_key).first()


def take(
    user: User | None,
    upload: Upload,
    client_key: str,
    file: Incoming,
    claim: Claim[Upload] | None = None,
) -> UploadReceipt:
    """Check and keep one picture, put it in its place, and write the receipt.

    Raises UserError only for what passes (a full disk, a broken connection), so that the same
    file can be sent again. With a `claim`, nothing is written once the job is somebody else's.
    """
    try:
        image, _ = store_image(user, file.name, file)  # type: ignore[arg-type]
    except UserError as refusal:
        if refusal.code not in NOT_READ_WHOLE:
            file.check_whole()  # broken off, it looks like a damaged picture
        return refuse(upload, client_key, file.name, refusal, size=file.received, claim=claim)
    file.check_whole()
    receipt = UploadReceipt(
        upload=upload,
        client_key=client_key,
        file_name=display_name(file.name),
        size_bytes=image.size_bytes,
        image=image,
    )
    return _write(receipt, user, claim)


def refuse(
    upload: Upload,
    client_key: str,
    name: str,
    refusal: UserError,
    *,
    size: int = 0,
    claim: Claim[Upload] | None = None,
) -> UploadReceipt:
    """Write down why a file was not taken; what passes is raised again."""
    if refusal.code in PASSING:
        raise refusal
    receipt = UploadReceipt(
        upload=upload,
        client_key=client_key,
        file_name=display_name(name),
        size_bytes=size,
        outcome=Outcome.REFUSED,
        code=refusal.code,
        message=refusal.message,
    )
    return _write(receipt, None, claim)


def _write(receipt: UploadReceipt, user: User | None, claim: Claim[Upload] | None) -> UploadReceipt:
    """The picture's place and its receipt in one transaction; the first writer of a key wins."""
    try:
        with transaction.atomic():
            if claim:
                claim.fence()
            renew(receipt.upload)  # before the batch is locked, in the order that closing has
            if receipt.image:
                _place(receipt, receipt.image, user)
            receipt.save(force_insert=True)
    except IntegrityError:
        known = find(receipt.upload, receipt.client_key)
        if known is None:
            raise
        return known
    return receipt


def renew(upload: Upload) -> None:
    """Note that something came for `upload`; the row is written about twice a minute."""
    now = timezone.now()
    stale = Upload.objects.filter(pk=upload.pk, active_at__lt=now - ACTIVE_EVERY)
    stale.update(active_at=now)


def _place(receipt: UploadReceipt, image: Image, user: User | None) -> None:
    upload = receipt.upload
    try:
        if upload.dataset:
            there = _into_dataset(upload, upload.dataset, image, receipt.file_name, user)
        else:
            assert upload.batch  # noqa: S101  (a check constraint of the table)
            there = _into_batch(upload, upload.batch, image, receipt.file_name)
    except UserError as refusal:
        receipt.outcome, receipt.code = Outcome.REFUSED, refusal.code
        receipt.message = f"{receipt.file_name}: {refusal.message}"
        return
    receipt.outcome = Outcome.DUPLICATE if there else Outcome.ACCEPTED
    receipt.code, receipt.message = ("duplicate", there) if there else ("", "")


def _into_dataset(
    upload: Upload, dataset: Dataset, image: Image, name: str, user: User | None
) -> str:
    """Add the picture; returns a sentence that says where it is when it was there already."""
    folder = folder_of(name)
    label = folder if upload.folders == Upload.Folders.LABEL else ""
    item, created = DatasetImage.objects.get_or_create(
        dataset=dataset,
        image=image,
        defaults={
            "file_name": name,
            "label": "" if label.lower() == GOOD else label[:LABEL_LENGTH],
            "lot_code": folder[:LOT_LENGTH] if upload.folders == Upload.Folders.LOT else "",
            "added_by": user,
        },
    )
    if created:
        return ""
    if item.excluded_at:
        sentence = gettext(
            "{name} is the same picture as {known}, which is in “{dataset}” since {day}, left out "
            "of training ({reason}). Nothing was added; nothing needs to be done."
        )
    else:
        sentence = gettext(
            "{name} is the same picture as {known}, which is in “{dataset}” since {day}. Nothing "
            "was added; nothing needs to be done."
        )
    return sentence.format(
        name=name,
        known=item.file_name,
        dataset=dataset.name,
        day=f"{item.created_at:%Y-%m-%d}",
        reason=item.excluded_reason,
    )


def _into_batch(upload: Upload, batch: Batch, image: Image, name: str) -> str:
    """Add the picture; returns a sentence that says where it is when it was there already."""
    lock_row(batch)  # or two copies that arrive together would both be added
    batch.refresh_from_db()
    same = InspectionImage.objects.filter(inspection__batch=batch, image=image).first()
    if same:
        sentence = gettext(
            "{name} is the same picture as {known}, which is in this batch already. It is judged "
            "once; to judge it again, open a new batch."
        )
        return sentence.format(name=name, known=same.file_name)
    known = batch.purpose in (Purpose.TRIAL, Purpose.GOLDEN)
    label = folder_of(name) if known and upload.folders == Upload.Folders.LABEL else ""
    batches.add_image(batch, image, name, reference_label=label[:LABEL_LENGTH])
    batches.dispatch(batch)
    return ""


# --- what a page is told ---------------------------------------------------------------


def receipt_payload(receipt: UploadReceipt | UploadArchive) -> dict[str, Any]:
    """One file as a browser is told of it: client_key, file_name, outcome, code, message, image_id.

    A zip that waits to be unpacked has the outcome `queued`.
    """
    if isinstance(receipt, UploadArchive):
        outcome, code, image_id = "queued", "", None
        arrived = gettext("{name} has arrived and is being unpacked.")
        message = arrived.format(name=receipt.file_name)
    else:
        outcome, code, message = receipt.outcome, receipt.code, receipt.message
        image_id = str(receipt.image_id) if receipt.image_id else None
    return {
        "client_key": receipt.client_key,
        "file_name": receipt.file_name,
        "outcome": outcome,
        "code": code,
        "message": message,
        "image_id": image_id,
    }


COUNTED: dict[str, Any] = {
    "done": Count("id"),
    **{outcome: Count("id", filter=Q(outcome=outcome)) for outcome in Outcome.values},
}
PACKED = {
    "count": Count("id"),
    "members": Sum("members_total"),
    "unread": Count("id", filter=Q(members_total=None)),
}


def upload_progress(upload: Upload) -> dict[str, Any]:
    """How far an upload is: done, total, accepted, duplicate, refused, state, closed."""
    return upload_progresses([upload])[upload.pk]


def upload_progresses(some: Iterable[Upload]) -> dict[UUID, dict[str, Any]]:
    """How far each is, by its key, in three questions for all of them."""
    wanted = {upload.pk: upload for upload in some}
    if not wanted:
        return {}
    received = _by_upload(UploadReceipt.objects.all(), wanted, COUNTED)
    packed = _by_upload(UploadArchive.objects.all(), wanted, PACKED)
    states: Any = Upload.objects.filter(pk__in=wanted).order_by()
    ends = {key: (state, at) for key, state, at in states.values_list("pk", "state", "closed_at")}
    found = {}
    for key, upload in wanted.items():
        counts = received.get(key) or dict.fromkeys(COUNTED, 0)
        archives = packed.get(key) or dict.fromkeys(PACKED, 0)
        single = max((upload.expected_files or 0) - archives["count"], 0)
        total = single + (archives["members"] or 0) + archives["unread"]
        state, closed_at = ends[key]
        found[key] = {
            **counts,
            "total": max(total, counts["done"]),
            "state": state,
            "closed": closed_at is not None,
        }
    return found


def _by_upload(
    rows: QuerySet[Any], wanted: Iterable[UUID], counts: Mapping[str, Any]
) -> dict[UUID, dict[str, Any]]:
    grouped: Any = rows.filter(upload__in=wanted).order_by().values("upload").annotate(**counts)
    return {row.pop("upload"): row for row in grouped}


def announce(upload: Upload, receipts: list[UploadReceipt], *, now: bool = False) -> bool:
    """Tell who watches the upload, at most once a second; False when it was too early."""
    moment = time.monotonic()
    if not now and moment - _last_push.get(upload.pk, 0.0) < PUSH_EVERY_S:
        return False
    _last_push[upload.pk] = moment
    if len(_last_push) > 1000:
        del _last_push[next(iter(_last_push))]
    payload = [receipt_payload(receipt) for receipt in receipts]
    progress = upload_progress(upload)
    push(f"upload:{upload.pk}", "receipt", receipts=payload, **progress)
    push("jobs", "jobs", **upload_line(upload, progress))
    return True
