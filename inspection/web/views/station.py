"""The locked station's door, and the badge and PIN that open it."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods

from inspection.errors import UserError
from inspection.services import pins
from inspection.web import station
from inspection.web.access import SignedIn
from inspection.web.forms_verify import PinForm, UnlockForm


@never_cache
@sensitive_post_parameters("pin")
@sensitive_variables()
@require_http_methods(["GET", "POST"])
def lock(request: SignedIn) -> HttpResponse:
    """A POST with `pin` opens, one without locks. A GET shows the door, once it is locked."""
    if request.method == "POST" and "pin" not in request.POST:
        station.lock(request)
        return redirect("lock")
    if not request.session.get(station.LOCKED):
        by_pin = bool(request.session.get(station.BY_PIN))
        if not station.gone_quiet(request.session.get(station.ACTIVE_AT), by_pin=by_pin):
            return redirect("verify")
        station.lock(request)
    form = UnlockForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        name = form.cleaned_data["who"] or request.user.get_username()
        try:
            who = pins.identify(name, form.cleaned_data["pin"], request.session.session_key or "")
        except UserError as error:
            form.refuse(error.field, error.message)
        else:
            station.unlock(request, who)
            return redirect("verify")
    return render(request, "station/lock.html", {"form": form, "has_pin": request.user.pin})


@never_cache
@sensitive_post_parameters("pin", "password", "pin_again")
@sensitive_variables()
@require_http_methods(["GET", "POST"])
def pin(request: SignedIn) -> HttpResponse:
    """One's own badge and PIN."""
    shown: dict[str, Any] = {"badge": request.user.badge}
    form = PinForm(request.POST or None, initial=shown)
    if request.method == "POST" and form.is_valid():
        given = {name: form.cleaned_data[name] for name in ("password", "badge", "pin")}
        try:
            pins.set_pin(request.user, **given)
        except UserError as error:
            form.refuse(error.field, error.message)
        else:
            messages.success(request, _("Badge and PIN are set."))
            return redirect("account_pin")
    return render(request, "station/pin.html", {"form": form})
