"""What happens around every request. All of it works under ASGI without a thread of its own."""

import logging
import re
import time
import uuid
from inspect import iscoroutinefunction
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import translation
from django.utils.decorators import sync_and_async_middleware
from prometheus_client import Histogram

from inspection import logs, problem
from inspection.models import User

from .ops import OPS_PATHS
from .outage import explain

log = logging.getLogger("kintsugi.request")

SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
CHANGE_PAGE = "account_change_password"
FREE_OF_CHANGE = (CHANGE_PAGE, "account_logout")

REQUESTS = Histogram(
    "kintsugi_http_request_seconds",
    "How long requests took, by the name of the page, the method and the status.",
    ("route", "method", "status"),
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


# --- which request is this? --------------------------------------------------------------


@sync_and_async_middleware
def request_id(get_response: Any) -> Any:
    """Every request has an id, the proxy's own if it sends a sane one; it comes back as a
    header and stands on every log line and audit event."""

    def begin(request: HttpRequest) -> str:
        given = request.headers.get("X-Request-ID", "")
        return given if SANE_ID.fullmatch(given) else uuid.uuid4().hex

    def sync(request: HttpRequest) -> HttpResponseBase:
        token = logs.request_id.set(begin(request))
        try:
            return _with_id(get_response(request))
        finally:
            logs.request_id.reset(token)

    async def asynchronous(request: HttpRequest) -> HttpResponseBase:
        # Not reset: a request is a task with a context of its own, and Django logs errors
        # after the last middleware is done.
        logs.request_id.set(begin(request))
        return _with_id(await get_response(request))

    return asynchronous if iscoroutinefunction(get_response) else sync


def _with_id(response: HttpResponseBase) -> HttpResponseBase:
    response["X-Request-ID"] = logs.request_id.get()
    return response


# --- how long did it take? ---------------------------------------------------------------


@sync_and_async_middleware
def measure(get_response: Any) -> Any:
    """Count and time every request, and write one log line for it."""

    def sync(request: HttpRequest) -> HttpResponseBase:
        started = time.perf_counter()
        return _measured(request, get_response(request), time.perf_counter() - started)

    async def asynchronous(request: HttpRequest) -> HttpResponseBase:
        started = time.perf_counter()
        response = await get_response(request)
        return _measured(request, response, time.perf_counter() - started)

    return asynchronous if iscoroutinefunction(get_response) else sync


def _measured(request: HttpRequest, response: HttpResponseBase, seconds: float) -> HttpResponseBase:
    match = request.resolver_match
    # never the path itself: that would make a series per object
    route = (match.view_name or match.route) if match else "none"
    method = request.method if request.method in METHODS else "other"
    REQUESTS.labels(route, method, response.status_code).observe(seconds)
    facts = {"route": route, "method": method, "status": response.status_code}
    level = logging.DEBUG if request.path in OPS_PATHS else logging.INFO
    log.log(level, "request", extra={**facts, "ms": round(seconds * 1000, 1)})
    return response


# --- in whose language? -------------------------------------------------------------------


@sync_and_async_middleware
def own_language(get_response: Any) -> Any:
    """Who chose a language has it wherever they sign in; for others the browser decides."""

    def sync(request: HttpRequest) -> Any:
        if request.path not in OPS_PATHS:
            _speak(request, request.user)
        return get_response(request)

    async def asynchronous(request: HttpRequest) -> Any:
        if request.path not in OPS_PATHS:
            _speak(request, await request.auser())
        return await get_response(request)

    return asynchronous if iscoroutinefunction(get_response) else sync


def _speak(request: HttpRequest, user: Any) -> None:
    language = getattr(user, "language", "")
    if language and translation.check_for_language(language):
        translation.activate(language)
        request.LANGUAGE_CODE = translation.get_language()


# --- a one-time password must be changed ---------------------------------------------------


@sync_and_async_middleware
def must_change_password(get_response: Any) -> Any:
    """Who signed in with a one-time password gets no page before it is changed."""

    def sync(request: HttpRequest) -> HttpResponseBase:
        stop = None if _is_free(request) else _stop(request, request.user)
        return stop or get_response(request)

    async def asynchronous(request: HttpRequest) -> HttpResponseBase:
        stop = None if _is_free(request) else _stop(request, await request.auser())
        return stop or await get_response(request)

    return asynchronous if iscoroutinefunction(get_response) else sync


def _is_free(request: HttpRequest) -> bool:
    return request.path in OPS_PATHS or request.path in map(reverse, FREE_OF_CHANGE)


def _stop(request: HttpRequest, user: Any) -> HttpResponse | None:
    if not (isinstance(user, User) or user.is_authenticated) or not user.must_change_password:
        return None
    page = reverse(CHANGE_PAGE)
    if request.headers.get("HX-Request"):
        return HttpResponse(status=204, headers={"HX-Redirect": page})
    message = "Sign in by browser and change the one-time password first."
    if problem.wanted_by(request):
        return problem.plain(request, 403, "password_change_needed", message)
    if not request.accepts("text/html"):
        return JsonResponse({"code": "password_change_needed", "message": message}, status=403)
    return redirect(page)


# --- the database or Redis is away ---------------------------------------------------------


@sync_and_async_middleware
def explain_outage(get_response: Any) -> Any:
    """Answer 503 with a clear page when a view cannot reach the database or Redis.

    What fails outside of views (sessions, sign-in check) comes to `ops.server_error`.
    """

    def sync(request: HttpRequest) -> Any:
        return get_response(request)

    async def asynchronous(request: HttpRequest) -> Any:
        return await get_response(request)

    middleware: Any = asynchronous if iscoroutinefunction(get_response) else sync
    middleware.process_exception = explain
    return middleware
