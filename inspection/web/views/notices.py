"""What a person should know of: the bell in the frame, and the page with all of it."""

from typing import Any
from uuid import UUID

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST, require_safe

from inspection.services import notifications
from inspection.web.access import SignedIn
from inspection.web.context import bell_count

IN_THE_BELL = 8
PAGE = 50


@require_safe
def index(request: SignedIn) -> HttpResponse:
    """All of them, newest first; `?after=<id>` goes on."""
    rows = notifications.notifications_of(request.user)
    after = request.GET.get("after", "")
    if after:
        rows = rows.filter(pk__lt=_key(after))
    found = list(rows[: PAGE + 1])
    context: dict[str, Any] = {
        "notices": found[:PAGE],
        "after": found[PAGE - 1].pk if len(found) > PAGE else "",
    }
    return render(request, "notifications/index.html", context)


@require_safe
def bell(request: SignedIn) -> HttpResponse:
    """The newest few and how many are unread, for the frame."""
    return _bell(request)


def _bell(request: SignedIn) -> HttpResponse:
    found = notifications.notifications_of(request.user)[:IN_THE_BELL]
    unread = bell_count(notifications.unread_count(request.user))
    return render(request, "notifications/_bell.html", {"notices": found, "unread": unread})


@require_POST
def open_one(request: SignedIn, key: UUID) -> HttpResponse:
    """Mark it as read and go to the page that it is about."""
    notice = get_object_or_404(notifications.notifications_of(request.user), pk=key)
    notifications.mark_read(request.user, [notice.pk])
    ours = url_has_allowed_host_and_scheme(notice.url, None) and notice.url.startswith("/")
    return redirect(notice.url if ours else "notifications")


@require_POST
def read_all(request: SignedIn) -> HttpResponse:
    """Mark all as read."""
    notifications.mark_read(request.user)
    if request.htmx:
        return _bell(request)
    return redirect("notifications")


def _key(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise Http404("no such notification") from error
