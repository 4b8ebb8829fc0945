"""Settings, API keys: make one, see it once, rotate it, end it."""

from typing import Any
from uuid import UUID

from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_POST

from inspection.services import api_keys
from inspection.web.access import Rights, SignedIn, explains
from inspection.web.key_forms import KeyForm


@explains
@never_cache
@sensitive_variables()
def index(request: SignedIn) -> HttpResponse:
    """One's own keys; administrators see everybody's. A POST makes one and shows it, once."""
    form = KeyForm(request.POST or None)
    shown: dict[str, Any] = {}
    if request.method == "POST" and form.is_valid():
        with form.refusals():
            key, text = api_keys.create_key(request.user, **form.cleaned_data)
            shown, form = {"made": key, "text": text}, KeyForm()
    return _page(request, form, shown)


@require_POST
@explains
@never_cache
@sensitive_variables()
def act(request: SignedIn, key: UUID, action: str) -> HttpResponse:
    """Rotate: another key takes its place, shown once. Revoke: it ends now."""
    found = api_keys.keys_of(request.user).filter(pk=key).first()
    if found is None:
        raise Http404("no such key")
    if action == "rotate":
        fresh, text = api_keys.rotate_key(request.user, found)
        return _page(request, KeyForm(), {"made": fresh, "text": text, "replaces": found})
    if action != "revoke":
        raise Http404("no such action")
    api_keys.revoke_key(request.user, found)
    return redirect("settings_keys")


def _page(request: SignedIn, form: KeyForm, shown: dict[str, Any]) -> HttpResponse:
    context = {
        "keys": list(api_keys.keys_of(request.user)),
        "form": form,
        "overlap": api_keys.OVERLAP_HOURS,
        "rights": Rights(request.user, None),
        **shown,
    }
    return render(request, "settings/keys.html", context)
