"""Golden sets: parts whose truth is known, that every new model is held against."""

import hashlib
from collections.abc import Collection, Iterable
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from inspection import policies
from inspection.errors import UserError
from inspection.models import (
    Dataset,
    DatasetImage,
    Image,
    Inspection,
    ModelVersion,
    SnapshotImage,
    User,
    Viewpoint,
)

from .access import require
from .audit import record
from .locking import lock_row
from .products import good_dataset

NAME = "Golden set"
LABEL_LENGTH = 60


def golden_set(viewpoint: Viewpoint) -> Dataset:
    """The golden set of a viewpoint; an empty one is made where there is none."""
    return (
        find(viewpoint)
        or Dataset.objects.get_or_create(
            viewpoint=viewpoint, name=NAME, defaults={"purpose": Dataset.Purpose.GOLDEN}
        )[0]
    )


def find(viewpoint: Viewpoint) -> Dataset | None:
    """The golden set, if anybody has begun one."""
    return viewpoint.datasets.filter(purpose=Dataset.Purpose.GOLDEN).order_by("id").first()


def items(dataset: Dataset) -> QuerySet[DatasetImage]:
    """What a gate scores: everything that was not left out."""
    return dataset.items.filter(excluded_at=None)


def digest(parts: Iterable[DatasetImage]) -> str:
    """SHA-256 over what every part is and must be: another golden set, another digest."""
    lines = sorted(
        f"{item.image_id} {item.label} {item.must_catch:d}{item.must_pass:d}" for item in parts
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def describe(
    user: User | None,
    dataset: Dataset,
    keys: Collection[UUID],
    *,
    label: str,
    must: bool,
) -> int:
    """Say what some parts are: good (an empty `label`) or a kind of defect, and whether every
    model must pass or catch them. Returns how many were changed."""
    product = dataset.viewpoint.product
    require(user, policies.MANAGE, product)
    label = clean_label(label)
    with transaction.atomic():
        lock_row(dataset)
        chosen = list(dataset.items.filter(pk__in=keys))
        before = {item.file_name: _told(item) for item in chosen}
        for item in chosen:
            _set(item, label, must)
        DatasetImage.objects.bulk_update(chosen, ["label", "must_catch", "must_pass"])
        after = {item.file_name: _told(item) for item in chosen}
        if before != after:
            record(user, "golden.described", dataset, product=product, before=before, after=after)
    return len(chosen)


def take_over(
    user: User | None, inspection: Inspection, *, label: str, must: bool
) -> list[DatasetImage]:
    """Put the pictures of an inspected part into the golden set of its viewpoint.

    A picture that a model may learn from cannot be held against it: it is refused.
    """
    viewpoint = inspection.viewpoint
    product = viewpoint.product
    require(user, policies.MANAGE, product)
    policies.check_in_use(product)
    label = clean_label(label)
    with transaction.atomic():
        dataset = golden_set(viewpoint)
        lock_row(dataset)
        pictures = list(inspection.pictures.select_related("image").order_by("index"))
        check_not_learned(viewpoint, [picture.image for picture in pictures])
        added = []
        for picture in pictures:
            item, _ = DatasetImage.objects.get_or_create(
                dataset=dataset,
                image=picture.image,
                defaults={"file_name": picture.file_name, "added_by": user, "origin": inspection},
            )
            _set(item, label, must)
            item.save(update_fields=["label", "must_catch", "must_pass"])
            added.append(item)
        after = {item.file_name: _told(item) for item in added}
        record(user, "golden.taken_over", dataset, product=product, after=after)
    return added


def check_not_learned(viewpoint: Viewpoint, images: list[Image]) -> None:
    """Raise UserError when a picture is among those that training learns from."""
    learned = good_dataset(viewpoint).items.filter(image__in=images, label="", excluded_at=None)
    if there := learned.first():
        raise UserError(
            "learned_already",
            "{name} is among the good parts that models learn from, so it proves nothing. Leave "
            "it out of them first.",
            name=there.file_name,
        )


def learned_of(dataset: Dataset, version: ModelVersion) -> int:
    """How many pictures of the golden set `version` learned from or was calibrated on: for
    them its results look better than they are."""
    snapshot = version.training_run.snapshot_id
    used = SnapshotImage.objects.filter(snapshot=snapshot).exclude(split="")
    return used.filter(image__in=items(dataset).values("image")).count()


def clean_label(label: str) -> str:
    """A kind of defect; “good” in any spelling is none."""
    text = label.strip()[:LABEL_LENGTH]
    return "" if text.lower() == "good" else text


def _set(item: DatasetImage, label: str, must: bool) -> None:
    item.label = label
    item.must_catch, item.must_pass = must and bool(label), must and not label


def _told(item: DatasetImage) -> str:
    kind = item.label or "good"
    if item.must_catch or item.must_pass:
        kind += ", must be caught" if item.must_catch else ", must pass"
    return kind
