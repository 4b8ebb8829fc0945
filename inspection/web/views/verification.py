"""How parts of one product are verified: audits, second looks, reason codes; and who may."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from inspection import policies
from inspection.models import Product, ReasonCode, Role
from inspection.services import products, users
from inspection.services.reason_codes import create_reason_code, retire_reason_code
from inspection.web.access import Rights, SignedIn, explains, find
from inspection.web.forms_verify import ReasonCodeForm, SharesForm


@explains
def show(request: SignedIn, key: UUID) -> HttpResponse:
    """Reason codes and shares. A POST adds a code, or sets the shares."""
    product = find(request.user, Product, key)
    rights = Rights(request.user, product)
    code, shares = ReasonCodeForm(), SharesForm.of(product)
    if request.method == "POST":
        policies.check(request.user, policies.MANAGE, product)
        form: ReasonCodeForm | SharesForm
        if "code" in request.POST:
            form = code = ReasonCodeForm(request.POST)
        else:
            form = shares = SharesForm(request.POST)
        if form.is_valid() and _done(request, product, form):
            return redirect("verification", product.pk)
    codes = list(product.reason_codes.order_by("created_at"))
    context = {
        "product": product,
        "rights": rights,
        "code": code,
        "shares": shares,
        "codes": [one for one in codes if one.retired_at is None],
        "retired": [one for one in codes if one.retired_at is not None],
    }
    return render(request, "products/verification.html", context)


def _done(request: SignedIn, product: Product, form: Any) -> bool:
    with form.refusals():
        if isinstance(form, ReasonCodeForm):
            create_reason_code(request.user, product, **form.cleaned_data)
        else:
            products.edit_product(request.user, product, **form.shares())
            messages.success(request, _("The shares are set."))
        return True
    return False


@require_POST
@explains
def retire(request: SignedIn, key: UUID) -> HttpResponse:
    code = find(request.user, ReasonCode, key)
    retire_reason_code(request.user, code)
    return redirect("verification", code.product_id)


@require_safe
@explains
def people(request: SignedIn, key: UUID) -> HttpResponse:
    """Who may do what with this product: for its administrators."""
    product = find(request.user, Product, key)
    policies.check(request.user, policies.ADMINISTER, product)
    rows = users.readable_memberships(request.user).filter(user__is_active=True)
    context = {
        "product": product,
        "rights": Rights(request.user, product),
        "members": rows.filter(product=product).order_by("user__username"),
        "everywhere": rows.filter(product=None).order_by("user__username"),
        "roles": Role.choices,
    }
    return render(request, "products/people.html", context)


@require_POST
@explains
def set_member(request: SignedIn, key: UUID) -> HttpResponse:
    """Give somebody a role for this product, or take it away."""
    product = find(request.user, Product, key)
    policies.check(request.user, policies.ADMINISTER, product)
    name = request.POST.get("username", "").strip()
    users.set_role(request.user, users.named(name), request.POST.get("role") or None, product)
    return redirect("product_people", product.pk)
