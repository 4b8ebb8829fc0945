"""What people say of a part. Each review is a row of its own; the inspection carries the one
that holds, and is written only if it still is as the reviewer saw it."""

import random
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_noop

from inspection import policies
from inspection.errors import UserError, WrongState
from inspection.live.push import push
from inspection.models import (
    Disposition,
    Inspection,
    Look,
    Product,
    ReasonCode,
    Review,
    ReviewClaim,
    ReviewState,
    User,
    Verdict,
)

from . import outbox, review_queue
from .access import require
from .audit import record
from .locking import lock_row
from .reason_codes import check_usable
from .tallies import Counted, moved

MAX_COMMENT = 2000
_chance = random.SystemRandom()  # nobody can tell beforehand which parts are audited


def record_review(
    user: User,
    inspection: Inspection,
    *,
    state: ReviewState | str,
    reason_code: ReasonCode | None = None,
    comment: str = "",
    look: Look | str = Look.FIRST,
) -> Review:
    """Write what `user` says of the part, as they saw it: `inspection.review_state` is what
    was on their screen, and if another has judged meanwhile, a sentence says so.

    A second look is kept for comparison and changes nothing.
    """
    product = inspection.viewpoint.product
    require(user, policies.REVIEW, product)
    policies.check_reviewable(inspection)
    chosen = _state(state)
    _check_words(reason_code, comment, product)
    review = Review(
        inspection=inspection,
        state=chosen,
        reason_code=reason_code,
        comment=comment.strip(),
        author=user,
        look=look,
    )
    if look == Look.SECOND:
        return _second_look(user, review)
    policies.check_next_state(inspection.review_state, chosen)
    with transaction.atomic():
        _draw_second_look(review, product)
        before = _move(inspection, review, by=user)
        review.save(force_insert=True)
        _put_down(review)
        _write_down(user, "review.recorded", inspection, before, comment=review.comment)
        outbox.review_recorded(inspection, review)
    return review


def undo_review(user: User, review: Review) -> Review:
    """Bring back the state before `review`; the undo is a review too. One's own newest, or, as
    an engineer, anybody's."""
    inspection = review.inspection
    product = inspection.viewpoint.product
    own = review.author_id == user.pk
    require(user, policies.REVIEW if own else policies.MANAGE, product)
    with transaction.atomic():
        lock_row(inspection)
        inspection.refresh_from_db()
        standing = standing_reviews(inspection, review.look)
        if not standing or standing[0].pk != review.pk:
            raise WrongState(
                "not_newest", "Only the newest review can be undone, and this is not it any more."
            )
        earlier = standing[1] if len(standing) > 1 else None
        undo = Review(
            inspection=inspection,
            state=earlier.state if earlier else ReviewState.NOT_VERIFIED,
            reason_code=earlier.reason_code if earlier else None,
            author=user,
            look=review.look,
            undoes=review,
        )
        before = _seen(inspection)
        if review.look == Look.FIRST:
            before = _move(inspection, undo, by=earlier.author if earlier else None, holds=earlier)
        undo.save(force_insert=True)
        _write_down(user, "review.undone", inspection, before)
        outbox.review_recorded(inspection, undo)
    return undo


def undo_and_hold(user: User, review: Review) -> tuple[Review, bool]:
    """Undo at the verification station, where the part goes on being shown: it is on the
    person's desk again before anybody can be handed it. False where somebody else has it."""
    with transaction.atomic():
        undone = undo_review(user, review)
        held = review_queue.hold(user, review.inspection_id, review.look)
    return undone, held


def standing_reviews(inspection: Inspection, look: Look | str) -> list[Review]:
    """What was said and not undone, newest first."""
    said = Review.objects.filter(inspection=inspection, look=look, undoes=None, undone_by=None)
    return list(said.select_related("author", "reason_code"))


def draw_audit(inspection: Inspection) -> bool:
    """Whether chance sends this passed part to a person too: called when its verdict is
    written, in that transaction. The probability is kept with it, to weigh by its inverse."""
    product = Product.objects.filter(viewpoints=inspection.viewpoint_id).only("audit_rate").get()
    if not _chance.random() < product.audit_rate:
        return False
    drawn = Inspection.objects.filter(
        pk=inspection.pk,
        is_record=True,
        verdict=Verdict.PASSED,
        disposition=Disposition.AUTO,
        audit_rate=None,
    )
    return bool(drawn.update(audit_rate=product.audit_rate))


# --- how it is written -------------------------------------------------------------------


def _move(
    inspection: Inspection, review: Review, *, by: User | None, holds: Review | None = None
) -> dict[str, Any]:
    """Put `review` on the inspection if it still is as it was seen, and move its share of the
    sums. An undo puts back who judged before, and when (`holds`). Returns what was there."""
    at = review.created_at if review.undoes_id is None else (holds.created_at if holds else None)
    now: dict[str, Any] = {
        "review_state": review.state,
        "review_reason": review.reason_code,
        "reviewed_by": by,
        "reviewed_at": at,
        "updated_at": timezone.now(),
    }
    lock_row(inspection)
    row = Inspection.objects.select_related("review_reason", "reviewed_by").get(pk=inspection.pk)
    before, counted = _seen(row), Counted.of(row)
    unchanged = Inspection.objects.filter(
        pk=inspection.pk,
        review_state=inspection.review_state,
        reviewed_at=inspection.reviewed_at,
    )
    if not unchanged.update(**now):
        raise _changed_meanwhile(row)
    for name, value in now.items():
        setattr(inspection, name, value)
        setattr(row, name, value)
    moved(counted, Counted.of(row))
    return before


def _draw_second_look(review: Review, product: Product) -> None:
    """Chance decides at the first judgement of a part whether somebody else looks again."""
    fresh = review.inspection.review_state == ReviewState.NOT_VERIFIED
    if fresh and _chance.random() < product.second_look_rate:
        review.second_look_rate = product.second_look_rate


def _put_down(review: Review) -> None:
    """What is judged is on nobody's desk any more."""
    ReviewClaim.objects.filter(inspection=review.inspection, look=review.look).delete()


def _second_look(user: User, review: Review) -> Review:
    inspection = review.inspection
    with transaction.atomic():
        lock_row(inspection)
        first = standing_reviews(inspection, Look.FIRST)
        if not first:
            raise WrongState("no_first_look", "This part has had no first look yet.")
        if any(one.author_id == user.pk for one in first):
            raise WrongState(
                "own_first_look", "You judged this part yourself; somebody else looks again."
            )
        if standing_reviews(inspection, Look.SECOND):
            raise WrongState("has_second_look", "This part has had its second look already.")
        review.save(force_insert=True)
        _put_down(review)
        after = {"state": review.state, "reason": _code(review.reason_code), "look": review.look}
        product = inspection.viewpoint.product
        record(user, "review.second_look", inspection, product=product, after=after)
        outbox.review_recorded(inspection, review)
    return review


def _write_down(
    user: User, action: str, inspection: Inspection, before: dict[str, Any], comment: str = ""
) -> None:
    after = _seen(inspection)
    product = inspection.viewpoint.product
    record(user, action, inspection, product=product, before=before, after=after, reason=comment)
    if inspection.batch_id:
        push(
            f"batch:{inspection.batch_id}",
            "review",
            inspection_ids=[str(inspection.pk)],
            review_state=inspection.review_state,
        )


def _seen(inspection: Inspection) -> dict[str, Any]:
    by = inspection.reviewed_by
    return {
        "state": inspection.review_state,
        "reason": _code(inspection.review_reason),
        "by": by.get_username() if by else None,
    }


def _code(reason_code: ReasonCode | None) -> str | None:
    return reason_code.code if reason_code else None


def _state(state: ReviewState | str) -> ReviewState:
    try:
        return ReviewState(state)
    except ValueError:
        raise UserError(
            "bad_state", "{state} is no review state.", state=state, field="state"
        ) from None


def _check_words(reason_code: ReasonCode | None, comment: str, product: Product) -> None:
    if reason_code is not None:
        check_usable(reason_code, product)
    if len(comment) > MAX_COMMENT:
        raise UserError(
            "comment_too_long",
            "A comment has at most {most} characters; this one has {n}.",
            most=MAX_COMMENT,
            n=len(comment),
            field="comment",
        )


def _changed_meanwhile(now: Inspection) -> WrongState:
    known = gettext_noop(
        "Somebody judged this part a moment ago: “{state}” by {who}. Nothing of yours was written; "
        "look again before you change it."
    )
    unknown = gettext_noop(
        "Somebody judged this part a moment ago: “{state}”. Nothing of yours was written; look "
        "again before you change it."
    )
    return WrongState(
        "changed_meanwhile",
        known if now.reviewed_by else unknown,
        state=ReviewState(now.review_state).label,
        who=now.reviewed_by,
    )
