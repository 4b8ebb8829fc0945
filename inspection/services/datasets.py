"""What is in a dataset, what is left out, and the frozen list that a run learns from."""

import hashlib
from collections.abc import Iterable
from uuid import UUID

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from inspection import policies
from inspection.models import (
    Dataset,
    DatasetImage,
    DatasetSnapshot,
    Image,
    SnapshotImage,
    User,
)

from .access import require
from .audit import record
from .locking import lock_row

Decision = SnapshotImage.Decision


def remove_images(user: User | None, dataset: Dataset, images: Iterable[Image | UUID]) -> int:
    """Take pictures out of a dataset; the pictures themselves and old snapshots stay.

    Returns how many were taken out.
    """
    product = dataset.viewpoint.product
    require(user, policies.MANAGE, product)
    ids = [image.pk if isinstance(image, Image) else image for image in images]
    with transaction.atomic():
        items = dataset.items.filter(image_id__in=ids)
        names = list(items.values_list("file_name", flat=True))
        items.delete()
        if names:
            record(user, "dataset.removed", dataset, product=product, before={"files": names})
    return len(names)


def exclude_image(user: User | None, item: DatasetImage, reason: str = "") -> None:
    """Leave a picture out of every later training run; an empty reason takes it in again."""
    dataset = item.dataset
    product = dataset.viewpoint.product
    require(user, policies.MANAGE, product)
    with transaction.atomic():
        before = item.excluded_reason
        item.excluded_at = timezone.now() if reason else None
        item.excluded_reason = reason[:300]
        item.save(update_fields=["excluded_at", "excluded_reason"])
        action = "dataset.excluded" if reason else "dataset.included"
        record(
            user,
            action,
            dataset,
            product=product,
            before={"file": item.file_name, "reason": before},
            after={"file": item.file_name, "reason": reason},
        )


def take_snapshot(user: User | None, dataset: Dataset) -> DatasetSnapshot:
    """Write down which pictures of `dataset` a run will look at, and which are left out why.

    It is frozen (`freeze`) when the run knows what it learnt from.
    """
    require(user, policies.MANAGE, dataset.viewpoint.product)
    with transaction.atomic():
        lock_row(dataset)
        last = dataset.snapshots.aggregate(last=Max("number"))["last"] or 0
        snapshot = DatasetSnapshot.objects.create(dataset=dataset, number=last + 1)
        good = dataset.items.filter(label="").iterator(chunk_size=1000)
        SnapshotImage.objects.bulk_create(
            (_snapshot_image(snapshot, item) for item in good), batch_size=500
        )
    return snapshot


def _snapshot_image(snapshot: DatasetSnapshot, item: DatasetImage) -> SnapshotImage:
    excluded = item.excluded_at is not None
    return SnapshotImage(
        snapshot=snapshot,
        image_id=item.image_id,
        file_name=item.file_name,
        decision=Decision.EXCLUDED if excluded else Decision.OPEN,
        reason=item.excluded_reason if excluded else "",
        decided_at=item.excluded_at,
    )


def freeze(snapshot: DatasetSnapshot) -> str:
    """Close the list: the SHA-256 over the sorted hashes of what was used. Returns it."""
    used = snapshot.items.exclude(split=SnapshotImage.Split.NONE)
    hashes = sorted(used.values_list("image__sha256", flat=True))
    snapshot.digest = hashlib.sha256("\n".join(hashes).encode()).hexdigest()
    snapshot.frozen_at = timezone.now()
    snapshot.save(update_fields=["digest", "frozen_at"])
    return snapshot.digest
