"""Who judges which part next. A claim is a row per part and look, taken by a conditional
UPDATE or an INSERT that only one can win, so that two people are never handed the same part."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from inspection import policies
from inspection.models import (
    TO_VERIFY,
    Disposition,
    Inspection,
    Look,
    Review,
    ReviewClaim,
    User,
    Verdict,
)

ROUNDS = 20  # how often others may be quicker before the page has to ask again

# Why a part is in the queue. A passed part in doubt is a doubt, not an audit.
KINDS: dict[str, Q] = {
    "fail": Q(verdict=Verdict.FAILED, disposition=Disposition.AUTO),
    "review": Q(disposition=Disposition.NEEDS_REVIEW),
    "audit": Q(verdict=Verdict.PASSED, disposition=Disposition.AUTO),
}


@dataclass(frozen=True)
class Queue:
    """What somebody works on: all that they may review, or less. `kind` is a key of KINDS."""

    products: tuple[UUID, ...] | None = None
    line: str = ""
    station: UUID | None = None
    kind: str = ""
    look: str = Look.FIRST


def next_for(
    user: User, queue: Queue, *, count: int = 1, held: Collection[UUID] = ()
) -> list[Inspection]:
    """The next parts for `user`, oldest first, claimed for a few minutes; fewer where there are
    no more. What the person holds already is handed out again unless it is in `held`."""
    got: list[UUID] = []
    for _ in range(ROUNDS):
        wanted = count - len(got)
        left = _free(user, queue, {*held, *got}, wanted)
        got += _claim(user, left, queue.look)
        if len(left) < wanted or len(got) == count:  # there are no more, or there is enough
            break
    there = waiting(user, queue).filter(pk__in=got)  # not judged between looking and claiming
    found = {inspection.pk: inspection for inspection in there}
    release(user, [key for key in got if key not in found], queue.look)
    return [found[key] for key in got if key in found]


def waiting(user: User, queue: Queue) -> QuerySet[Inspection]:
    """The parts of the queue that `user` may judge, whoever holds them now. What an archived
    product left is nobody's work at a station; it can be judged on its own page."""
    products = policies.products_with(user, policies.REVIEW).filter(policies.IN_USE)
    if queue.products is not None:
        products = products.filter(pk__in=queue.products)
    rows = Inspection.objects.filter(viewpoint__product__in=products)
    rows = rows.filter(TO_VERIFY) if queue.look == Look.FIRST else _second_looks(user, rows)
    if queue.kind:
        rows = rows.filter(KINDS[queue.kind])
    if queue.line:
        rows = rows.filter(station__line=queue.line)
    if queue.station:
        rows = rows.filter(station=queue.station)
    return rows.order_by("id")


def _second_looks(user: User, rows: QuerySet[Inspection]) -> QuerySet[Inspection]:
    """What chance drew for a second look, that nobody gave yet, and not of the person's own."""
    standing = Review.objects.filter(undoes=None, undone_by=None)
    drawn = standing.filter(look=Look.FIRST, second_look_rate__isnull=False)
    here = standing.filter(inspection=OuterRef("pk"))
    return rows.filter(
        ~Exists(here.filter(look=Look.FIRST, author=user)),
        ~Exists(here.filter(look=Look.SECOND)),
        pk__in=drawn.order_by().values("inspection"),
    )


def _free(user: User, queue: Queue, held: Collection[UUID], count: int) -> list[UUID]:
    taken = ReviewClaim.objects.filter(
        inspection=OuterRef("pk"), look=queue.look, expires_at__gt=timezone.now()
    ).exclude(holder=user)
    rows = waiting(user, queue).filter(~Exists(taken)).exclude(pk__in=held)
    return list(rows.values_list("pk", flat=True)[:count])


def _claim(user: User, keys: list[UUID], look: str) -> list[UUID]:
    """Those of `keys` that are the person's now. What nobody holds is inserted, which only one
    can; what somebody let expire is taken over by a conditional UPDATE, which only one can."""
    if not keys:
        return []
    now, until = timezone.now(), _until(timezone.now())
    rows = ReviewClaim.objects.filter(inspection__in=keys, look=look)
    rows.filter(holder=user).update(expires_at=until)
    known = dict(rows.values_list("inspection_id", "expires_at"))
    for key, expires_at in known.items():
        if expires_at <= now:
            expired = rows.filter(inspection=key, expires_at__lte=now)
            expired.update(holder=user, expires_at=until)
    new = [
        ReviewClaim(inspection_id=key, look=look, holder=user, expires_at=until)
        for key in sorted(keys)
        if key not in known
    ]
    if new:
        ReviewClaim.objects.bulk_create(new, ignore_conflicts=True)
    mine = set(rows.filter(holder=user).values_list("inspection_id", flat=True))
    return [key for key in keys if key in mine]


def hold(user: User, key: UUID, look: str = Look.FIRST) -> bool:
    """Put one part on the person's desk; False where somebody else has it."""
    return bool(_claim(user, [key], look))


def renew(user: User, keys: Iterable[UUID], look: str = Look.FIRST) -> set[UUID]:
    """Hold on to parts for another while; returns those that are still the person's own."""
    mine = ReviewClaim.objects.filter(holder=user, inspection__in=list(keys), look=look)
    mine.update(expires_at=_until(timezone.now()))
    return set(mine.values_list("inspection_id", flat=True))


def release(user: User, keys: Iterable[UUID], look: str = Look.FIRST) -> None:
    """Put parts back for others."""
    wanted = list(keys)
    if wanted:
        ReviewClaim.objects.filter(holder=user, inspection__in=wanted, look=look).delete()


def release_all(user: User) -> None:
    """Whoever leaves the station holds nothing."""
    ReviewClaim.objects.filter(holder=user).delete()


def counts(user: User, queue: Queue) -> dict[str, int]:
    """`left` in the queue, that by kind, second looks, and what the person did today."""
    rows = waiting(user, Queue(queue.products, queue.line, queue.station))
    by_kind = {kind: Count("pk", filter=which) for kind, which in KINDS.items()}
    found: dict[str, Any] = rows.order_by().aggregate(all=Count("pk"), **by_kind)
    again = Queue(queue.products, queue.line, queue.station, look=Look.SECOND)
    found["second"] = waiting(user, again).count()
    found["left"] = found["second"] if queue.look == Look.SECOND else found[queue.kind or "all"]
    found["today"] = done_since(user, midnight())
    return found


def done_since(user: User, since: datetime) -> int:
    """How many parts `user` judged since then; what was undone is not done."""
    mine = Review.objects.filter(author=user, created_at__gte=since, undoes=None, undone_by=None)
    return mine.count()


def midnight() -> datetime:
    """When today began in the plant's zone."""
    return timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)


def _until(now: datetime) -> datetime:
    return now + timedelta(seconds=settings.REVIEW_CLAIM_S)
