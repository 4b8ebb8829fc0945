"""What is said when the database or Redis cannot be reached: a clear page, never a trace."""

import logging
import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import RedisError

from inspection import problem
from inspection.logs import request_id

log = logging.getLogger(__name__)

RETRY_AFTER_S = 10
DATABASE = (OperationalError, InterfaceError)
REDIS = (RedisError, BrokerError)
WHAT = {
    "database_unreachable": "The database does not answer.",
    "redis_unreachable": "Redis, the queue, does not answer.",
}
REMEDY = (
    "Nothing that was accepted is lost. This page can be tried again in a few seconds; if it "
    "stays like this, ask whoever runs the server to look at /readyz and the logs."
)
BROKEN = (
    "Something went wrong on our side. It was written to the log; the number below helps to find "
    "it there."
)


def outage_code(error: BaseException | None) -> str:
    """`database_unreachable`, `redis_unreachable`, or empty for an error of another kind."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, DATABASE):
            return "database_unreachable"
        if isinstance(error, REDIS):
            return "redis_unreachable"
        seen.add(id(error))
        error = error.__cause__
    return ""


def explain(request: HttpRequest, error: BaseException) -> HttpResponse | None:
    """The 503 for an outage; None when the error is none."""
    code = outage_code(error)
    if not code:
        return None
    log.error("%s", WHAT[code], exc_info=error)
    response = page(request, 503, code, WHAT[code], REMEDY)
    response["Retry-After"] = str(RETRY_AFTER_S)
    return response


def server_error(request: HttpRequest) -> HttpResponse:
    """handler500: an outage is explained with 503; anything else is a plain 500."""
    error = sys.exc_info()[1]
    explained = explain(request, error) if error else None
    return explained or page(request, 500, "server_error", "Something went wrong.", BROKEN)


def page(request: HttpRequest, status: int, code: str, what: str, remedy: str) -> HttpResponse:
    """An error for a browser or for a program. Rendered without the request, because what the
    frame of a page needs (user, session) may be just what is away."""
    if problem.wanted_by(request):
        return problem.plain(request, status, code, f"{what} {remedy}")
    if not request.accepts("text/html"):
        return JsonResponse({"code": code, "message": f"{what} {remedy}"}, status=status)
    return HttpResponse(_html(status, what, remedy), status=status)


def _html(status: int, what: str, remedy: str) -> str:
    message = f"{what} {remedy}"
    context = {"message": message, "request_id": request_id.get(), "retry_after": RETRY_AFTER_S}
    try:
        return render_to_string(f"{status}.html", context)
    except Exception:  # the page about an error must not be an error itself
        log.exception("%s.html cannot be shown", status)
        return f"<!doctype html><title>{what}</title><p>{message}</p>"
