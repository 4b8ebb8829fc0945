"""RFC 9457 problem documents: what programs are told when something goes wrong."""

from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, JsonResponse

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:kintsugi:problem:"  # followed by the code, which programs match on
API = "/api/"
Errors = list[dict[str, str]]


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    instance: str = "",
    errors: Errors | None = None,
    **more: Any,
) -> dict[str, Any]:
    """The body of a problem document."""
    return {
        "type": TYPE + code,
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": instance,
        "code": code,
        "errors": errors or [],
        **more,
    }


def plain(request: HttpRequest, status: int, code: str, detail: str) -> JsonResponse:
    """A problem outside of any view of the API: an address that does not exist, an outage."""
    body = problem(status, code, detail, instance=request.path)
    return JsonResponse(body, status=status, content_type=MEDIA_TYPE)


def wanted_by(request: HttpRequest) -> bool:
    """Whether who asks is a program that reads problem documents."""
    return request.path.startswith(API)
