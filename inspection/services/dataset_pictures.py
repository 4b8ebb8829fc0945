"""Single pictures into a dataset, as programs send them; people drop many (`uploads`)."""

from typing import IO

from django.db import transaction

from inspection import policies
from inspection.errors import NotAllowed, UserError
from inspection.models import Dataset, DatasetImage, Image, User

from . import golden
from .access import require
from .audit import record
from .images import display_name, store_image
from .pictures import own

GOOD = "good"
LABEL_LENGTH = 60


def check_may_send(user: User) -> None:
    """Raise NotAllowed unless `user` may send pictures that are nowhere yet: whoever submits
    parts may."""
    mine = policies.products_with(user, policies.REVIEW).filter(policies.IN_USE)
    if not (user.is_active and mine.exists()):
        raise NotAllowed("not_allowed", "This needs the role Inspector for some product.")


def receive_image(user: User, name: str, stream: IO[bytes]) -> Image:
    """Check and keep a picture that is nowhere yet. It is the sender's to use, and nobody else
    learns of it."""
    check_may_send(user)
    image, _ = store_image(user, name, stream)
    own(user, image)
    return image


def check_may_add(user: User | None, dataset: Dataset) -> None:
    """Raise NotAllowed or WrongState before a picture is read that would not be taken."""
    require(user, policies.MANAGE, dataset.viewpoint.product)
    policies.check_in_use(dataset.viewpoint.product)


def add_image(
    user: User | None,
    dataset: Dataset,
    image: Image,
    *,
    file_name: str = "",
    label: str = "",
    lot_code: str = "",
) -> tuple[DatasetImage, bool]:
    """Put a picture into a dataset; returns its place, and False when it was there already.

    `label`: empty or `good` for a good part, else its kind of defect. Good parts are what runs
    learn from; the golden set takes both.
    """
    product = dataset.viewpoint.product
    check_may_add(user, dataset)
    label = "" if label.strip().lower() == GOOD else label.strip()
    if len(label) > LABEL_LENGTH:
        raise UserError(
            "label_too_long", "At most {most} characters.", most=LABEL_LENGTH, field="label"
        )
    if dataset.purpose == Dataset.Purpose.GOLDEN:
        golden.check_not_learned(dataset.viewpoint, [image])
    with transaction.atomic():
        item, created = DatasetImage.objects.get_or_create(
            dataset=dataset,
            image=image,
            defaults={
                "file_name": display_name(file_name or image.original_name),
                "label": label,
                "lot_code": lot_code.strip()[:80],
                "added_by": user,
            },
        )
        if created:
            after = {"file": item.file_name, "label": label}
            record(user, "dataset.added", dataset, product=product, after=after)
    return item, created
