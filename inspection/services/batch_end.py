"""When a batch is done: sealed, and every part has a verdict. Said once."""

from functools import partial
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from inspection.models import Batch, Inspection

from . import outbox
from .locking import lock_row


def settle(batch_id: UUID) -> bool:
    """Mark the batch done and tell of it, if it is so and nobody did yet.

    Two chunks that end at once, or a chunk and a cancel, come through one after the other, so
    that the later one sees what the earlier one wrote. Verdicts of the caller must be committed
    or written in this transaction. Whoever holds a chunk's row uses `settle_later`: a cancel
    takes the batch first and its chunks then.
    """
    with transaction.atomic():
        lock_row(Batch(pk=batch_id))
        if not _done().filter(pk=batch_id).update(completed_at=timezone.now()):
            return False
        outbox.batch_completed(Batch.objects.get(pk=batch_id))
    return True


def settle_later(batch_id: UUID) -> None:
    """`settle` once the running transaction is committed; `catch_up` finds what is lost by a
    crash in between."""
    transaction.on_commit(partial(settle, batch_id), robust=True)


def catch_up() -> int:
    """Settle what nobody settled; returns how many batches were done."""
    return sum(settle(key) for key in list(_done().order_by("id").values_list("pk", flat=True)))


def _done() -> "QuerySet[Batch]":
    unfinished = Inspection.objects.filter(batch=OuterRef("pk"), verdict="")
    return Batch.objects.filter(~Exists(unfinished), sealed_at__isnull=False, completed_at=None)
