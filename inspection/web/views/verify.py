"""The verification station: one part after the other, one key each."""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.http import HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from inspection import policies
from inspection.errors import UserError
from inspection.models import Inspection, Look, ReasonCode, Review, ReviewState
from inspection.services import review_queue
from inspection.services.review_queue import Queue
from inspection.services.reviews import record_review, undo_and_hold
from inspection.web import reads_verify, station
from inspection.web.access import SignedIn, back, explains, find, wants_json
from inspection.web.scope import Scope
from inspection.web.scope import query_of as scope_query

LAST = 8
MOST_HELD = 60  # parts that one page may name at once


@never_cache
@require_safe
@explains
def show(request: SignedIn) -> HttpResponse:
    """The station with its first parts; more follow by `parts`."""
    if not policies.products_with(request.user, policies.REVIEW).exists():
        policies.check(request.user, policies.REVIEW, None)
    station.touch(request)
    scope = Scope.of(request)
    queue = queue_of(request, scope)
    context = {
        "queue": queue,
        "kind": "second" if queue.look == Look.SECOND else queue.kind,
        "scope": scope,
        "narrowed": scope_query(request),
        "counts": review_queue.counts(request.user, queue),
        "query": query_of(request),
        "last": reads_verify.last_of(request.user, LAST),
        "lock_minutes": settings.REVIEW_LOCK_MINUTES,
        **_next(request, queue, set()),
    }
    return render(request, "verify/index.html", context)


@never_cache
@require_POST
def parts(request: SignedIn) -> HttpResponse:
    """More parts, besides those that the page names in `have`."""
    return render(
        request, "verify/_parts.html", _next(request, queue_of(request), _keys(request, "have"))
    )


def _next(request: SignedIn, queue: Queue, held: set[UUID]) -> dict[str, Any]:
    found = review_queue.next_for(request.user, queue, count=settings.REVIEW_AHEAD, held=held)
    return {"cards": reads_verify.cards(found, queue.look), "look": queue.look}


@never_cache
@require_POST
@explains
def claims(request: SignedIn) -> HttpResponse:
    """Hold on to `keep`, put back `drop`; answers what is still held, and the counts."""
    queue = queue_of(request)
    if request.POST.get("active"):
        station.touch(request)
    review_queue.release(request.user, _keys(request, "drop"), queue.look)
    kept = review_queue.renew(request.user, _keys(request, "keep"), queue.look)
    counts = review_queue.counts(request.user, queue)
    return JsonResponse({"kept": [str(key) for key in kept], "counts": counts})


@require_POST
@explains
def review(request: SignedIn, key: UUID) -> HttpResponse:
    """Say what a part is. `seen` and `seen_at` are the state that the page shows; without
    them, what the row says now is taken as seen."""
    inspection = find(request.user, Inspection, key)
    if "seen" in request.POST:
        if request.POST["seen"] not in ReviewState.values:
            raise UserError("bad_state", _("This is no review state."), field="state")
        inspection.review_state = request.POST["seen"]
        inspection.reviewed_at = parse_datetime(request.POST.get("seen_at", ""))
    reason = request.POST.get("reason", "")
    look = request.POST.get("look") or Look.FIRST
    written = record_review(
        request.user,
        inspection,
        state=request.POST.get("state", ""),
        reason_code=find(request.user, ReasonCode, _key(reason)) if reason else None,
        comment=request.POST.get("comment", ""),
        look=Look.SECOND if look == Look.SECOND else Look.FIRST,
    )
    station.touch(request)
    return _said(request, written)


@require_POST
@explains
def undo(request: SignedIn, key: UUID) -> HttpResponse:
    """Take a review back; the part is to be judged again, or what was said before. It stays on
    the desk of whoever undid it, unless another has it (`held`)."""
    written, held = undo_and_hold(request.user, find(request.user, Review, key))
    station.touch(request)
    return _said(request, written, held=held)


def _said(request: SignedIn, written: Review, **more: Any) -> HttpResponse:
    if not wants_json(request):
        return back(request, "verify")
    state = ReviewState(written.state)
    answer: dict[str, Any] = {"review": str(written.pk), "state": state, "word": str(state.label)}
    answer |= more
    part = written.inspection
    if written.look == Look.FIRST:
        seen_at = part.reviewed_at.isoformat() if part.reviewed_at else ""
        return JsonResponse(answer | {"seen": part.review_state, "seen_at": seen_at})
    first = reads_verify.first_look_of(part) if written.undoes_id is None else None
    if first is not None:  # the eyes are no longer blind
        answer["agrees"] = first.state == written.state
        answer["first"] = _("First look: {state} by {name}").format(
            state=first.get_state_display(), name=first.author
        )
    return JsonResponse(answer)


# --- what the address and the page say -----------------------------------------------------


def queue_of(request: SignedIn, scope: Scope | None = None) -> Queue:
    """Product, line, station and kind as the address names them."""
    return reads_verify.queue_in(scope or Scope.of(request), request.GET.get("kind", ""))


def query_of(request: SignedIn) -> str:
    """What chose these parts, for the requests of the page."""
    kind = request.GET.get("kind", "")
    return "&".join(filter(None, (scope_query(request), kind and urlencode({"kind": kind}))))


def _keys(request: SignedIn, name: str) -> set[UUID]:
    """Keys that a page sends, separated by commas; what is none is left out."""
    given = request.POST.get(name, "").split(",")[:MOST_HELD]
    return {UUID(one) for one in given if _is_key(one)}


def _key(text: str) -> UUID:
    if not _is_key(text):
        raise UserError("bad_reason", _("There is no such reason code."), field="reason_code")
    return UUID(text)


def _is_key(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
