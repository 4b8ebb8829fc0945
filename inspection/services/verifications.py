"""What another system verified on parts that were inspected here."""

from uuid import UUID

from inspection.errors import UserError
from inspection.models import Inspection, Product, ReasonCode, Review, ReviewState, User

from . import reviews


def take_over(
    reviewer: User,
    key: str,
    *,
    state: str,
    reason_code: str = "",
    comment: str = "",
    only: Product | None = None,
) -> Review | None:
    """Record the state that another system gives for an inspection of ours, as `reviewer`.

    None where it has that state already (so a message that comes twice counts once) or the
    state says nothing (NotVerifiedYet). `reason_code` is used where the product knows it.
    Raises UserError; who may review what is as for any user.
    """
    inspection = _inspection(key, only)
    if state in (ReviewState.NOT_VERIFIED, inspection.review_state):
        return None
    known = ReasonCode.objects.filter(
        product=inspection.viewpoint.product_id, code=reason_code, retired_at=None
    )
    return reviews.record_review(
        reviewer, inspection, state=state, reason_code=known.first(), comment=comment
    )


def _inspection(key: str, only: Product | None) -> Inspection:
    rows = Inspection.objects.select_related("viewpoint__product", "review_reason", "reviewed_by")
    if only is not None:
        rows = rows.filter(viewpoint__product=only)
    try:
        found = rows.filter(pk=UUID(key)).first()
    except ValueError:
        found = None
    if found is None:
        raise UserError(
            "unknown_inspection",
            "There is no inspection “{key}” here.",
            key=key[:60],
            field="id",
        )
    return found
