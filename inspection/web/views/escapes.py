"""Defects that were found downstream: reported by what is on the part, listed newest first."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from inspection import policies
from inspection.models import Escape, Inspection
from inspection.services.escapes import report_escape, role_to_withdraw, withdraw_escape
from inspection.web import reads_today
from inspection.web.access import SignedIn, explains, find, visible
from inspection.web.filters import LABELS
from inspection.web.forms_verify import EscapeForm
from inspection.web.scope import Scope, given

PAGE = 50


@explains
def index(request: SignedIn) -> HttpResponse:
    """The list, and the form to report one. A POST reports."""
    products = policies.products_with(request.user, policies.REVIEW).order_by("code")
    asked = {"serial_number": "serial", "panel_id": "panel", "position_number": "position"}
    start = {field: request.GET.get(name, "") for field, name in asked.items()}
    form = EscapeForm(request.POST or None, products=products, initial=start)
    if request.method == "POST" and form.is_valid():
        with form.refusals():
            escape = report_escape(request.user, **form.cleaned_data)
            messages.success(
                request, _("The escape of {unit} is on record.").format(unit=escape.unit)
            )
            return redirect("escapes")
    return render(request, "escapes/index.html", {"form": form, **_list(request, products)})


@require_POST
@explains
def withdraw(request: SignedIn, key: UUID) -> HttpResponse:
    """Take back a report that was a mistake, with a reason."""
    escape = find(request.user, Escape, key)
    withdraw_escape(request.user, escape, reason=request.POST.get("reason", ""))
    messages.success(
        request, _("The escape of {unit} is withdrawn: it counts no more.").format(unit=escape.unit)
    )
    return redirect("escapes")


def _list(request: SignedIn, products: Any) -> dict[str, Any]:
    rows = visible(request.user, Escape).order_by("-id")
    scope = Scope.of(request) if given(request.GET) else None
    if scope is not None:
        rows = rows.filter(pk__in=reads_today.reported_escapes(scope).order_by().values("pk"))
        if scope.dated:
            rows = rows.filter(reads_today.found_within(scope))
    wanted = request.GET.get("q", "").strip()
    if wanted:
        named = Q(unit__serial_number__icontains=wanted) | Q(unit__panel_id__icontains=wanted)
        rows = rows.filter(named)
    after = request.GET.get("after", "")
    if after and _is_key(after):
        rows = rows.filter(pk__lt=UUID(after))
    found = list(rows[: PAGE + 1])
    shown, more = found[:PAGE], len(found) > PAGE
    decided = {
        row.unit_id: row
        for row in Inspection.objects.filter(
            unit__in=[one.unit_id for one in shown], is_record=True
        ).order_by("-id")
    }
    roles = policies.Roles(request.user)
    for one in shown:
        one.record = decided.get(one.unit_id)  # type: ignore[attr-defined]
        role = role_to_withdraw(request.user, one)
        may = one.withdrawn_at is None and roles.can(role, one.unit.product_id)
        one.may_withdraw = may  # type: ignore[attr-defined]
    return {
        "escapes": shown,
        "more": str(shown[-1].pk) if more else "",
        "q": wanted,
        "kept": scope.given if scope else {},
        "narrowed": _narrowed(scope, wanted) if scope else [],
        "may_report": products.exists(),
    }


def _narrowed(scope: Scope, wanted: str) -> list[tuple[str | Promise, str, str]]:
    """What the address narrows the list by: its label, its words, and the query without it."""
    days = f"{scope.first_day} – {scope.last_day}"
    said = {
        ("product",): scope.product.name if scope.product else scope.given.get("product", ""),
        ("line",): scope.line,
        ("station",): scope.station.name if scope.station else scope.given.get("station", ""),
        ("period", "since", "until"): days if scope.dated else "",
    }
    return [
        (LABELS[names[0]], text, scope.with_(**dict.fromkeys(names), q=wanted or None))
        for names, text in said.items()
        if text
    ]


def _is_key(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
