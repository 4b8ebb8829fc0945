"""Who delivers to an endpoint: one process at a time, by a lease on the endpoint's row."""

from datetime import datetime, timedelta
from uuid import UUID, uuid4

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone

from inspection.models import Endpoint

from .foreign_text import storable


def hold_free() -> list[Endpoint]:
    """Take every enabled endpoint that nobody holds, or whose holder's lease ran out. Each
    comes with a `token` of its own; only one process can get it."""
    free = Q(token=None) | Q(lease_expires_at=None) | Q(lease_expires_at__lt=timezone.now())
    found = Endpoint.objects.filter(free, disabled_at=None)
    return [one for one in found if _take(one)]


def _take(endpoint: Endpoint) -> bool:
    token, until = uuid4(), _lease_end()
    unchanged = Endpoint.objects.filter(
        pk=endpoint.pk,
        token=endpoint.token,
        lease_expires_at=endpoint.lease_expires_at,
        disabled_at=None,
    )
    if not unchanged.update(token=token, lease_expires_at=until, connected_at=None):
        return False
    endpoint.token, endpoint.lease_expires_at = token, until
    return True


def token_of(endpoint: Endpoint) -> UUID:
    """The token of an endpoint that `hold_free` returned."""
    if endpoint.token is None:
        raise ValueError(f"{endpoint} is not held")
    return endpoint.token


def renew(endpoint: UUID, token: UUID) -> bool:
    """Push the end of the lease out; False when the endpoint is somebody else's."""
    return bool(_held(endpoint, token).update(lease_expires_at=_lease_end()))


def let_go(endpoint: UUID, token: UUID) -> None:
    """Leave the endpoint to whoever comes next."""
    _held(endpoint, token).update(token=None, lease_expires_at=None, connected_at=None)


def as_it_is(endpoint: UUID, token: UUID) -> Endpoint | None:
    """The row as it is now; None when it is not held by `token` any more, or was disabled."""
    return _held(endpoint, token).filter(disabled_at=None).first()


def is_connected(endpoint: Endpoint) -> bool:
    """Whether a process that lives holds it and the other side answered it last."""
    alive = endpoint.lease_expires_at is not None and endpoint.lease_expires_at > timezone.now()
    return alive and endpoint.connected_at is not None


def connected(endpoint: UUID, token: UUID) -> None:
    """The other side answers."""
    _held(endpoint, token).update(connected_at=timezone.now(), last_error="", last_error_at=None)


def away(endpoint: UUID, token: UUID, why: str) -> None:
    """The other side does not answer."""
    _held(endpoint, token).update(
        connected_at=None, last_error=storable(why, 300), last_error_at=timezone.now()
    )


def trouble(endpoint: UUID, token: UUID, why: str) -> None:
    """It answers, but not as it should: what its page shows."""
    _held(endpoint, token).update(last_error=storable(why, 300), last_error_at=timezone.now())


def answers(endpoint: UUID, token: UUID) -> None:
    """A delivery was taken: what was wrong before is over."""
    _held(endpoint, token).filter(~Q(last_error="")).update(last_error="", last_error_at=None)


def _held(endpoint: UUID, token: UUID) -> QuerySet[Endpoint]:
    return Endpoint.objects.filter(pk=endpoint, token=token)


def _lease_end() -> datetime:
    return timezone.now() + timedelta(seconds=settings.EXCHANGE_LEASE_S)
