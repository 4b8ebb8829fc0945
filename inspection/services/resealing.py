"""What an earlier SECRET_KEY sealed, sealed anew by the newest."""

from dataclasses import dataclass, field

from django.db import transaction

from inspection.models import Endpoint
from inspection.sealed import CannotOpen, sealed_anew

from .audit import record
from .locking import lock_row


@dataclass
class Resealed:
    """What became of the endpoints that keep secrets; both by name."""

    done: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)


def reseal() -> Resealed:
    """Seal the secrets of every endpoint by the newest SECRET_KEY. Those that no key here opens
    stay as they are. Each is written by itself: what was done stays done when it is stopped."""
    told = Resealed()
    for endpoint in Endpoint.objects.exclude(sealed="").order_by("name"):
        with transaction.atomic():
            lock_row(endpoint)
            row = Endpoint.objects.filter(pk=endpoint.pk).exclude(sealed="").first()
            if row is None:
                continue  # gone meanwhile, or it keeps none any more
            try:
                row.sealed = sealed_anew(row.sealed)
            except CannotOpen:
                told.closed.append(row.name)
                continue
            row.save(update_fields=["sealed"])
            record(None, "endpoint.resealed", row, product=row.product)
        told.done.append(row.name)
    return told
