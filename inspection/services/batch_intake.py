"""Pictures into a batch one by one, as programs ask about them."""

from django.db import transaction

from inspection import policies
from inspection.errors import UserError
from inspection.models import Batch, Image, Inspection, Purpose, User

from . import batches
from .access import require
from .images import display_name
from .locking import lock_row
from .units import Named, of_unit


def check_may_submit(user: User | None, batch: Batch) -> None:
    """Raise NotAllowed or WrongState before a picture is looked for."""
    require(user, policies.REVIEW, batch.viewpoint.product)
    policies.check_in_use(batch.viewpoint.product)


def submit_image(
    user: User | None,
    batch: Batch,
    image: Image,
    *,
    file_name: str = "",
    serial_number: str = "",
    panel_id: str = "",
    position_number: int = 0,
    reference_label: str = "",
) -> tuple[Inspection, bool]:
    """Ask about one picture; returns the inspection, and False when the batch asks about it
    already: a batch judges a picture of a unit once, so a repeated request is harmless. The same
    picture of another unit is another part."""
    check_may_submit(user, batch)
    known = batch.purpose in (Purpose.TRIAL, Purpose.GOLDEN)
    if reference_label and not known:
        raise UserError(
            "label_in_production",
            "Only in a trial is it known beforehand what a part is.",
            field="reference_label",
        )
    unit = Named(serial_number.strip(), panel_id.strip(), position_number)
    with transaction.atomic():
        lock_row(batch)
        rows = Inspection.objects.filter(of_unit(unit), batch=batch, pictures__image=image)
        if there := rows.first():
            return there, False
        asked = batches.add_image(
            batch,
            image,
            display_name(file_name or image.original_name),
            reference_label=reference_label,
            serial_number=unit.serial_number,
            panel_id=unit.panel_id,
            position_number=unit.position_number,
        )
        batches.dispatch(batch)
    return asked, True
