"""Settings: people, weights, about."""

import platform
from typing import Any
from uuid import UUID

import django
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_POST, require_safe

from inspection import policies
from inspection.errors import UserError
from inspection.models import Product, Role, User
from inspection.services import disk, users, weights
from inspection.web.access import Rights, SignedIn, back, explains
from inspection.web.forms import UserForm

LANGUAGE_KEPT_S = 365 * 24 * 3600


@require_POST
@login_not_required
def language(request: HttpRequest) -> HttpResponse:
    """Choose the language of the pages: kept with the account, or, signed out, in a cookie."""
    wanted = request.POST.get("language", "")
    if wanted not in dict(settings.LANGUAGES):
        raise Http404("no such language")
    if isinstance(request.user, User):
        users.choose_language(request.user, wanted)
    answer = back(request, "home")
    answer.set_cookie(
        settings.LANGUAGE_COOKIE_NAME,
        wanted,
        max_age=LANGUAGE_KEPT_S,
        samesite="Lax",
        secure=request.is_secure(),
        httponly=True,
    )
    return answer


@require_safe
def index(request: SignedIn) -> HttpResponse:
    rights = Rights(request.user, None)
    return redirect("settings_users" if rights.administer else "settings_about")


@explains
@never_cache
@sensitive_variables()
def people(request: SignedIn) -> HttpResponse:
    """Who signs in. A POST makes a user and shows the one-time password, once."""
    policies.check(request.user, policies.ADMINISTER, None)
    form = UserForm(request.POST or None)
    shown: dict[str, Any] = {}
    if request.method == "POST" and form.is_valid():
        with form.refusals():
            who, password = users.create_user(request.user, **form.cleaned_data)
            shown = {"who": who, "password": password, "made": True}
            form = UserForm()
    return _people(request, form, shown)


def _people(request: SignedIn, form: UserForm, shown: dict[str, Any]) -> HttpResponse:
    context = {
        "people": User.objects.prefetch_related("memberships__product").order_by("username"),
        "form": form,
        "rights": Rights(request.user, None),
        "roles": Role.choices,
        "products": Product.objects.filter(archived_at=None).order_by("code"),
        **shown,
    }
    return render(request, "settings/users.html", context)


@require_POST
@explains
@never_cache
@sensitive_variables()
def person(request: SignedIn, key: UUID, action: str) -> HttpResponse:
    """Disable, enable, give a new one-time password, or another role."""
    policies.check(request.user, policies.ADMINISTER, None)
    who = get_object_or_404(User, pk=key)
    if action == "reset":
        password = users.reset_password(request.user, who)
        return _people(request, UserForm(), {"who": who, "password": password})
    if action == "disable":
        users.disable_user(request.user, who)
    elif action == "enable":
        users.enable_user(request.user, who)
    else:
        product = _product(request.POST.get("product", ""))
        users.set_role(request.user, who, request.POST.get("role") or None, product)
        if request.POST.get("back") == "person":
            return redirect("settings_person", who.pk)
    return redirect("settings_users")


@require_safe
@explains
def person_page(request: SignedIn, key: UUID) -> HttpResponse:
    """One person's roles: for all products, and for each."""
    policies.check(request.user, policies.ADMINISTER, None)
    who = get_object_or_404(User, pk=key)
    held: dict[UUID | None, str] = dict(who.memberships.values_list("product_id", "role"))
    products = Product.objects.order_by("code")  # of archived ones too: they can be read
    rows: list[dict[str, Any]] = [{"product": None, "role": held.get(None, "")}]
    rows += [{"product": one, "role": held.get(one.pk, "")} for one in products]
    context = {
        "who": who,
        "roles_by_product": rows,
        "roles": Role.choices,
        "rights": Rights(request.user, None),
    }
    return render(request, "settings/person.html", context)


def _product(key: str) -> Product | None:
    """The product that a role is for; nothing chosen means all products."""
    if not key:
        return None
    chosen = next((one for one in Product.objects.all() if str(one.pk) == key), None)
    if chosen is None:
        raise UserError("no_product", "There is no such product any more.", field="product")
    return chosen


@require_safe
def weights_page(request: SignedIn) -> HttpResponse:
    installed = {weight.file_name: weight for weight in weights.installed()}
    known = [
        {"known": known, "installed": installed.get(name)} for name, known in weights.KNOWN.items()
    ]
    context = {
        "known": known,
        "folder": settings.WEIGHTS_DIR,
        "rights": Rights(request.user, None),
    }
    return render(request, "settings/weights.html", context)


@require_safe
def about(request: SignedIn) -> HttpResponse:
    from importlib.metadata import version

    free = disk.free_gb()
    context = {
        "version": version("kintsugi"),
        "python": platform.python_version(),
        "django": django.get_version(),
        "free_gb": free,
        "min_free_gb": settings.MIN_FREE_GB,
        "disk_low": free < settings.MIN_FREE_GB,
        "max_pixels": settings.MAX_PIXELS // 1_000_000,
        "max_file_mb": settings.MAX_FILE_MB,
        "max_archive_mb": settings.MAX_ARCHIVE_MB,
        "rights": Rights(request.user, None),
    }
    return render(request, "settings/about.html", context)
