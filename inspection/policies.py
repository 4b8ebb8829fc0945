"""Who may do what (permissions), and in which state (policies).

`check_*` raises with a sentence; `can_*` wraps it for templates.
"""

from collections.abc import Iterable
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext_lazy

from inspection.errors import NotAllowed, WrongState
from inspection.models import (
    ENDED,
    RANK,
    Batch,
    Inspection,
    Job,
    JobState,
    Membership,
    ModelVersion,
    Product,
    Purpose,
    ReviewState,
    Role,
    TrainingRun,
    User,
    Verdict,
)

VIEW, REVIEW, MANAGE, ADMINISTER = (
    Role.VIEWER,
    Role.INSPECTOR,
    Role.ENGINEER,
    Role.ADMINISTRATOR,
)


def role_for(user: User, product: Product | None) -> Role | None:
    """The highest role that `user` has for `product` (or over all products, for None)."""
    if not user.is_active:
        return None
    if user.is_superuser:
        return Role.ADMINISTRATOR
    scope = Q(product=None) if product is None else Q(product=None) | Q(product=product)
    roles = Membership.objects.filter(scope, user=user).values_list("role", flat=True)
    return _highest(roles)


def _highest(roles: Iterable[str]) -> Role | None:
    found = list(roles)
    return Role(max(found, key=RANK.__getitem__)) if found else None


class Roles:
    """Every role of one user, asked once: for lists that show things of many products."""

    def __init__(self, user: User) -> None:
        self._user = user
        known = Membership.objects.filter(user=user) if user.is_active else ()
        self._given = [(m.product_id, m.role) for m in known]

    def role_for(self, product: UUID) -> Role | None:
        """As the function `role_for`, by the product's key."""
        if self._user.is_active and self._user.is_superuser:
            return Role.ADMINISTRATOR
        return _highest(role for where, role in self._given if where in (None, product))

    def can(self, role: Role, product: UUID) -> bool:
        """Whether the user has at least `role` for the product."""
        has = self.role_for(product)
        return has is not None and RANK[has] >= RANK[role]


def can(user: User, role: Role, product: Product | None) -> bool:
    """Whether `user` has at least `role` for `product`."""
    has = role_for(user, product)
    return has is not None and RANK[has] >= RANK[role]


def check(user: User, role: Role, product: Product | None) -> None:
    """Raise NotAllowed unless `user` has at least `role` for `product`."""
    if not can(user, role, product):
        raise _needs(role, product)


def _needs(role: Role, product: Product | None) -> NotAllowed:
    if product is None:
        return NotAllowed(
            "not_allowed",
            "This needs the role {role} for all products. An administrator can give it to you.",
            role=role.label,
        )
    return NotAllowed(
        "not_allowed",
        "This needs the role {role} for {product}. An administrator can give it to you.",
        role=role.label,
        product=product.code,
    )


def visible_products(user: User) -> QuerySet[Product]:
    """The products that `user` may see, archived ones too: what befell them stays to be read."""
    products = Product.objects.all()
    if role_for(user, None) is not None:
        return products
    return products.filter(memberships__user=user).distinct()


def products_with(user: User, role: Role) -> QuerySet[Product]:
    """The products for which `user` has at least `role`, archived ones too (see `IN_USE`); one
    question, or part of another."""
    products = Product.objects.all()
    if user.is_superuser and user.is_active:
        return products
    enough = [name for name, rank in RANK.items() if rank >= RANK[role]]
    mine = Membership.objects.filter(user=user, user__is_active=True, role__in=enough)
    return products.filter(Exists(mine.filter(Q(product=None) | Q(product=OuterRef("pk")))))


# The products that are offered for new work. Archived ones are read, reviewed and reported on.
IN_USE = Q(archived_at=None)


def check_in_use(product: Product) -> None:
    """Nothing new is learned or judged for a product that is archived."""
    if product.archived_at is not None:
        raise WrongState(
            "product_archived",
            "{product} is archived, so nothing new is learned or judged for it. Restore it first.",
            product=product.code,
        )


def check_cancellable(job: Job) -> None:
    if job.state in ENDED:
        raise WrongState(
            "already_ended",
            "This job has ended already: {state}.",
            state=JobState(job.state).label,
        )


def can_be_cancelled(job: Job) -> bool:
    """Whether a cancel would do anything that was not asked for already."""
    return job.state not in ENDED and job.cancel_requested_at is None


def check_resumable(run: TrainingRun) -> None:
    if run.state not in (JobState.FAILED, JobState.CANCELLED):
        raise WrongState(
            "not_resumable",
            "Only a failed or cancelled run can be resumed; this one is {state}.",
            state=run.get_state_display().lower(),
        )


def check_awaits_vetting(run: TrainingRun) -> None:
    if run.state != JobState.PAUSED:
        raise WrongState(
            "not_waiting", "This run is not waiting for decisions on suspicious pictures."
        )


def check_promotable(version: ModelVersion) -> None:
    if version.state == ModelVersion.State.ACTIVE:
        raise WrongState("already_active", "This model judges already.")


def check_open(batch: Batch) -> None:
    if batch.sealed_at or batch.cancel_requested_at:
        raise WrongState(
            "batch_sealed",
            "Batch {batch} is closed; open a new batch for more pictures.",
            batch=batch.name,
        )


# --- what a person may say of a part -----------------------------------------------------

_State = ReviewState
# IPC-CFX names the states, not the ways between them; these are ours. On a part that failed or
# is in doubt, Rejected says that the call was false; on one that passed and was drawn for an
# audit, Rejected says that there is no defect indeed, and Confirmed that one was missed.
# Nothing leads back to NotVerifiedYet but an undo. A state may follow itself: with another
# reason code, until the part is closed.
NEXT_STATES: dict[ReviewState, tuple[ReviewState, ...]] = {
    _State.NOT_VERIFIED: (_State.CONFIRMED, _State.REJECTED, _State.ACCEPTED, _State.REPAIRED),
    _State.CONFIRMED: (
        _State.CONFIRMED,
        _State.REJECTED,
        _State.ACCEPTED,
        _State.REPAIRED,
        _State.CLOSED,
    ),
    _State.REJECTED: (_State.REJECTED, _State.CONFIRMED, _State.ACCEPTED, _State.REPAIRED),
    _State.ACCEPTED: (
        _State.ACCEPTED,
        _State.CONFIRMED,
        _State.REJECTED,
        _State.REPAIRED,
        _State.CLOSED,
    ),
    _State.REPAIRED: (_State.REPAIRED, _State.CONFIRMED, _State.CLOSED),
    _State.CLOSED: (),
}


def check_reviewable(inspection: Inspection) -> None:
    """A person judges what the machine judged, never a part that has no verdict."""
    if inspection.verdict not in (Verdict.PASSED, Verdict.FAILED):
        raise WrongState(
            "no_verdict",
            "This part has no verdict to review. Submit its picture again.",
        )
    if inspection.purpose == Purpose.RESCORE:
        raise WrongState(
            "rescore", "This is a score by another model for comparison; review the first one."
        )


def can_be_reviewed(inspection: Inspection) -> bool:
    """Whether there is anything to say of it at all."""
    try:
        check_reviewable(inspection)
    except WrongState:
        return False
    return True


def check_next_state(now: str, then: str) -> None:
    """Whether a review may bring a part from `now` to `then`."""
    allowed = NEXT_STATES[ReviewState(now)]
    if then not in allowed:
        nothing = gettext_lazy("nothing: it is closed for good")
        raise WrongState(
            "bad_transition",
            "A part that is “{now}” cannot become “{then}”; it can become: {states}.",
            now=ReviewState(now).label,
            then=ReviewState(then).label,
            states=", ".join(str(state.label) for state in allowed) or nothing,
        )
