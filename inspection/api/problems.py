"""Errors as RFC 9457 problem documents: one shape, whatever went wrong."""

import logging
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.http import Http404, HttpRequest, JsonResponse, UnreadablePostError
from django.views.decorators.csrf import csrf_exempt
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from inspection.errors import NotAllowed, UserError, WrongState
from inspection.problem import MEDIA_TYPE, plain, problem

log = logging.getLogger(__name__)

STATUS = {
    "disk_full": 507,
    "too_large": 413,
    "idempotency_key_missing": 400,
    "idempotency_key_invalid": 400,
    "still_receiving": 409,
    "duplicate_external_id": 409,
    "too_many_fetches": 429,
}


class Precondition(exceptions.APIException):
    """`If-Match` names another state than the one that is there."""

    status_code = HTTPStatus.PRECONDITION_FAILED
    default_code = "changed_meanwhile"
    default_detail = (
        "This was changed since you read it. Read it again, and decide whether your change "
        "still holds."
    )


def handle(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """DRF's way in for everything that a view raises; None leaves it to Django (500, 503)."""
    request = context.get("request")
    instance = request.path if request else ""
    headers: dict[str, str] = {}
    if isinstance(error, UserError):
        body = of_user_error(error, instance)
        if wait := getattr(error, "retry_after", None):
            headers["Retry-After"] = str(wait)
    elif isinstance(error, exceptions.APIException):
        body = _of_api(error, instance)
        headers = _headers(error)
    elif isinstance(error, Http404):
        body = problem(404, "not_found", "There is no such thing here.", instance=instance)
    elif isinstance(error, RequestDataTooBig):
        body = problem(413, "too_large", "The body is too large.", instance=instance)
    elif isinstance(error, SuspiciousOperation | UnreadablePostError):
        body = problem(400, "unreadable", "The request cannot be read.", instance=instance)
    elif isinstance(error, PermissionDenied):
        body = problem(403, "not_allowed", str(error) or "You may not do this.", instance=instance)
    else:
        return None
    set_rollback()
    body = writable(body)
    return Response(body, status=body["status"], content_type=MEDIA_TYPE, headers=headers)


def writable(value: Any) -> Any:
    """The same with halves of surrogate pairs replaced: a caller may have sent some, as a field's
    name or in a value that is cited, and UTF-8 has no bytes for them."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [writable(one) for one in value]
    if isinstance(value, dict):
        return {writable(name): writable(one) for name, one in value.items()}
    return value


def of_user_error(error: UserError, instance: str = "") -> dict[str, Any]:
    """A service's refusal: 403 where the person may not, 409 where nobody may now, else 422."""
    status = STATUS.get(error.code)
    if status is None:
        status = (
            403 if isinstance(error, NotAllowed) else 409 if isinstance(error, WrongState) else 422
        )
    errors = [{"pointer": pointer(error.field), "detail": error.message}] if error.field else []
    there = getattr(error, "inspection_id", None)  # of an external id that was sent before
    more = {"inspection": str(there)} if there else {}
    return problem(status, error.code, error.message, instance=instance, errors=errors, **more)


def pointer(field: str) -> str:
    """A field's name as a JSON pointer: `recipe.name` and `images[0]` become paths."""
    path = field.replace("[", ".").replace("]", "")
    return "/" + "/".join(part.replace("~", "~0").replace("/", "~1") for part in path.split("."))


@csrf_exempt
@login_not_required
def not_found(request: HttpRequest, *args: Any, **kwargs: Any) -> JsonResponse:
    """What no address of the API fits."""
    return plain(request, 404, "not_found", "The API has no such address; see /api/v1/docs/.")


def _of_api(error: exceptions.APIException, instance: str) -> dict[str, Any]:
    if isinstance(error, exceptions.ValidationError):
        errors = [{"pointer": at or "/", "detail": text} for at, text in _leaves(error.detail)]
        detail = errors[0]["detail"] if len(errors) == 1 else "Some fields are wrong; see errors."
        return problem(422, "invalid", detail, instance=instance, errors=errors)
    code = error.get_codes()
    return problem(
        error.status_code,
        code if isinstance(code, str) else error.default_code,
        str(error.detail),
        instance=instance,
    )


def _leaves(detail: Any, at: str = "") -> Iterator[tuple[str, str]]:
    """Every sentence of a nested error of DRF's with the pointer to its field."""
    if isinstance(detail, Mapping):
        for key, below in detail.items():
            step = "" if key == "non_field_errors" else pointer(str(key))
            yield from _leaves(below, at + step)
    elif isinstance(detail, list):
        for number, below in enumerate(detail):
            nested = isinstance(below, Mapping | list)
            if not nested or below:
                yield from _leaves(below, f"{at}/{number}" if nested else at)
    else:
        yield at, str(detail)


def _headers(error: exceptions.APIException) -> dict[str, str]:
    headers = {}
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if (wait := getattr(error, "wait", None)) is not None:
        headers["Retry-After"] = str(max(1, int(wait)))
    return headers
