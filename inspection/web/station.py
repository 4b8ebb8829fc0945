"""A shared station: locked when nobody is there, and handed from one person to the next.

Both are facts of the session, so that no other tab, back button or address gets round them:
`locked` shows nothing but the door; `by_pin` (somebody who came by badge and PIN, not by
password) opens the verification station and its pictures, and nothing else.
"""

import time
from inspect import iscoroutinefunction
from typing import Any

from django.conf import settings
from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.decorators import sync_and_async_middleware
from django.utils.translation import gettext as _

from inspection.live.push import hang_up
from inspection.models import User
from inspection.services import review_queue

from .access import SignedIn
from .ops import OPS_PATHS

LOCKED, BY_PIN, ACTIVE_AT = "locked", "by_pin", "active_at"
BACKEND = "allauth.account.auth_backends.AuthenticationBackend"
# What a PIN opens, by the first part of the address.
OPEN_TO_PIN = ("verify", "files", "notifications", "jobs/running.json")
ALWAYS_OPEN = ("account_logout", "account_login", "lock", "language")
TOUCH_EVERY_S = 15
GRACE_S = 30  # a browser's clock is not ours


def idle_limit_s() -> float:
    return float(settings.REVIEW_LOCK_MINUTES) * 60


def touch(request: SignedIn) -> None:
    """Somebody is at the station now; written down about every quarter of a minute."""
    now = int(time.time())
    if now - request.session.get(ACTIVE_AT, 0) >= TOUCH_EVERY_S:
        request.session[ACTIVE_AT] = now


def lock(request: SignedIn) -> None:
    """Show nothing until a PIN or a password says who is there; what was held is put back."""
    review_queue.release_all(request.user)
    request.session[LOCKED] = True
    request.session.save()  # before the sockets come back and ask
    hang_up(request.user.pk)


def unlock(request: SignedIn, who: User) -> None:
    """Go on as `who`; somebody else gets a session of their own that a PIN may open."""
    if who.pk != request.user.pk:
        review_queue.release_all(request.user)
        login(request, who, backend=BACKEND)  # a new session: nothing of the other's is left
        request.session[BY_PIN] = True
    request.session.pop(LOCKED, None)
    touch(request)


@sync_and_async_middleware
def guard_station(get_response: Any) -> Any:
    """Nothing is shown of a locked session, and little to one that a PIN opened."""

    def sync(request: HttpRequest) -> Any:
        if _is_open(request):
            return get_response(request)
        facts = {name: request.session.get(name) for name in (LOCKED, BY_PIN, ACTIVE_AT)}
        if stop := _stop(request, facts):
            return stop
        if _leaves(request, facts):
            request.session.pop(ACTIVE_AT)
        return get_response(request)

    async def asynchronous(request: HttpRequest) -> Any:
        if _is_open(request):
            return await get_response(request)
        session = request.session
        facts = {name: await session.aget(name) for name in (LOCKED, BY_PIN, ACTIVE_AT)}
        if stop := _stop(request, facts):
            return stop
        if _leaves(request, facts):
            await session.apop(ACTIVE_AT)
        return await get_response(request)

    return asynchronous if iscoroutinefunction(get_response) else sync


def _is_open(request: HttpRequest) -> bool:
    return request.path in OPS_PATHS or request.path in map(reverse, ALWAYS_OPEN)


def _stop(request: HttpRequest, facts: dict[str, Any]) -> HttpResponse | None:
    if facts[LOCKED] or _is_idle(request, facts):
        return _to_the_door(request)
    if facts[BY_PIN] and not request.path.strip("/").startswith(OPEN_TO_PIN):
        return _needs_password(request)
    return None


def _is_idle(request: HttpRequest, facts: dict[str, Any]) -> bool:
    """A PIN opens a shared station, so its session is left alone on no page; who signed in with a
    password may have gone on elsewhere."""
    by_pin = bool(facts[BY_PIN])
    return (by_pin or _at_station(request)) and gone_quiet(facts[ACTIVE_AT], by_pin=by_pin)


def _at_station(request: HttpRequest) -> bool:
    return request.path.startswith(reverse("verify"))


def _leaves(request: HttpRequest, facts: dict[str, Any]) -> bool:
    """Whether the person opens another page: then no station waits for them."""
    if facts[BY_PIN]:  # the station is all that a PIN opens: there is no leaving it
        return False
    opens_page = request.headers.get("Sec-Fetch-Dest") == "document"
    return bool(facts[ACTIVE_AT] and opens_page and not _at_station(request))


def gone_quiet(active_at: int | None, *, by_pin: bool = False) -> bool:
    """Whether a station whose page did not lock itself (its browser slept) should have been. One
    that a PIN opened, and of which nothing is known, is quiet."""
    limit = idle_limit_s()
    if not limit or (active_at is None and not by_pin):
        return False
    return time.time() - (active_at or 0) > limit + GRACE_S


def _to_the_door(request: HttpRequest) -> HttpResponse:
    door = reverse("lock")
    if request.headers.get("HX-Request"):
        return HttpResponse(status=204, headers={"HX-Redirect": door})
    if not request.accepts("text/html"):
        body = {"code": "locked", "message": _("This station is locked."), "go": door}
        return JsonResponse(body, status=423)
    return redirect(door)


def _needs_password(request: HttpRequest) -> HttpResponse:
    if not request.accepts("text/html"):
        body = {"code": "password_needed", "message": _("Sign in with your password for this.")}
        return JsonResponse(body, status=403)
    return render(request, "station/needs_password.html", status=403)
