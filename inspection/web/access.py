"""Finding what a person may see, and answering refusals as a page or as JSON."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from django.contrib import messages
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django_htmx.middleware import HtmxDetails

from inspection import policies
from inspection.errors import NotAllowed, UserError
from inspection.models import RANK, Product, Role, User
from inspection.services.visible import may_see as may_see
from inspection.services.visible import visible as visible


class SignedIn(HttpRequest):
    """A request of somebody who signed in, as every page but the door requires."""

    user: User
    htmx: HtmxDetails


M = TypeVar("M", bound=Model)
View = Callable[..., HttpResponse]


def find(user: User, model: type[M], key: Any) -> M:
    """The row, or 404: what a person may not see does not exist for them."""
    found = visible(user, model).filter(pk=key).first()
    if found is None:
        raise Http404(f"no {model._meta.verbose_name} {key}")
    return found


class Rights:
    """What the person may do with one product, asked once per page."""

    def __init__(self, user: User, product: Product | None) -> None:
        self.role = policies.role_for(user, product)

    def _has(self, role: Role) -> bool:
        return self.role is not None and RANK[self.role] >= RANK[role]

    @property
    def manage(self) -> bool:
        return self._has(policies.MANAGE)

    @property
    def review(self) -> bool:
        return self._has(policies.REVIEW)

    @property
    def administer(self) -> bool:
        return self._has(policies.ADMINISTER)


def wants_json(request: HttpRequest) -> bool:
    return "application/json" in request.headers.get("Accept", "")


def back(request: HttpRequest, fallback: str = "products") -> HttpResponse:
    """To the page that the person came from, if it is one of ours."""
    came_from = request.headers.get("Referer", "")
    if url_has_allowed_host_and_scheme(came_from, {request.get_host()}):
        return redirect(came_from)
    return redirect(fallback)


STATUS = {"disk_full": 507, "too_large": 413}


def explains(view: View) -> View:
    """Turn a service's refusal into its sentence: JSON for a script, a message for a person."""

    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except UserError as error:
            return refusal(request, error)

    return wrapped


def refusal(request: HttpRequest, error: UserError) -> HttpResponse:
    forbidden = isinstance(error, NotAllowed)
    if wants_json(request):
        body = {"code": error.code, "message": error.message, "field": error.field}
        status = 403 if forbidden else STATUS.get(error.code, 409)
        return JsonResponse(body, status=status)
    if forbidden:
        return render(request, "403.html", {"message": error.message}, status=403)
    if error.code == "disk_full":
        return render(request, "507.html", {"message": error.message}, status=507)
    messages.error(request, error.message)
    return back(request)
