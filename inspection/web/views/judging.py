"""What people say of parts, from the page of one inspection or of many at once."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from inspection.errors import UserError
from inspection.models import Inspection, ReasonCode, Review, ReviewState
from inspection.services import reviews
from inspection.services.bulk_reviews import MOST_AT_ONCE, record_reviews
from inspection.web import words
from inspection.web.access import SignedIn, back, explains, find, visible

MOST_TOLD = 3  # refusals that are said one by one


@require_POST
@explains
def one(request: SignedIn, key: UUID) -> HttpResponse:
    """Confirm, reject, …: what was on the person's screen (`seen`) must still be so."""
    inspection = find(request.user, Inspection, key)
    _as_seen(inspection, request.POST.get("seen", ""))
    reviews.record_review(
        request.user,
        inspection,
        state=request.POST.get("state", ""),
        reason_code=_reason(request),
        comment=request.POST.get("comment", ""),
    )
    return back(request, "defects")


@require_POST
@explains
def undo(request: SignedIn, key: UUID) -> HttpResponse:
    """Take back the review that holds."""
    inspection = find(request.user, Inspection, key)
    review = Review.objects.filter(
        inspection=inspection, pk=_uuid(request.POST.get("review"))
    ).first()
    if review is None:
        raise UserError("no_such_review", _("This review is not there any more. Look again."))
    review.inspection = inspection
    reviews.undo_review(request.user, review)
    return back(request, "defects")


@require_POST
@explains
def many(request: SignedIn) -> HttpResponse:
    """The same of every part that was picked (`inspection`: keys; `seen`: key and state of each
    on the page). Each is written or refused on its own; the refusals are said."""
    picked = request.POST.getlist("inspection")
    seen = dict(part.partition(".")[::2] for part in request.POST.getlist("seen"))
    if not picked or len(picked) > MOST_AT_ONCE:
        raise UserError("nothing_picked", "Pick 1 to {most} parts first.", most=MOST_AT_ONCE)
    state, reason = request.POST.get("state", ""), _reason(request)
    found = visible(request.user, Inspection).in_bulk([_uuid(key) for key in picked])
    for inspection in found.values():
        _as_seen(inspection, seen.get(str(inspection.pk), ""))
    said = record_reviews(request.user, found.values(), state=state, reason_of=lambda _part: reason)
    refused = [f"{part.unit or part.pk}: {error.message}" for part, error in said.refused]
    _tell(request, state, len(said.written), refused)
    return back(request, "defects")


def _tell(request: SignedIn, state: str, done: int, refused: list[str]) -> None:
    if done:
        text = ngettext("{n} part is now “{word}”.", "{n} parts are now “{word}”.", done)
        messages.success(request, text.format(n=done, word=words.review_sign(state).word))
    for sentence in refused[:MOST_TOLD]:
        messages.error(request, sentence)
    if len(refused) > MOST_TOLD:
        more = len(refused) - MOST_TOLD
        messages.error(request, _("{n} more were refused.").format(n=more))


def _as_seen(inspection: Inspection, seen: str) -> None:
    """Judge what was on the screen: if it changed meanwhile, the service says so."""
    if seen in ReviewState.values:
        inspection.review_state = seen


def _reason(request: SignedIn) -> ReasonCode | None:
    key = request.POST.get("reason", "")
    return ReasonCode.objects.filter(pk=_uuid(key)).first() if key else None


def _uuid(text: str | None) -> UUID:
    try:
        return UUID(text or "")
    except ValueError as error:
        raise UserError("no_such_thing", _("This page is out of date. Load it again.")) from error
