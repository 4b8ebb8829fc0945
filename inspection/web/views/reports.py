"""Reports: order one, watch it being made, download it, have it sent."""

from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.core.files.storage import default_storage
from django.http import Http404, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_GET, require_POST, require_safe

from inspection import policies
from inspection.models import JobState, Lot, Product, Report, ReportSchedule, User
from inspection.services import report_mail, report_pdf, report_schedules, reports
from inspection.services.job_lists import MayCancel
from inspection.web.access import SignedIn, explains, find, visible
from inspection.web.report_forms import ReportForm, ScheduleForm

PAGE = 50
LOTS = 200
BLOCK = 1 << 18


@require_safe
def index(request: SignedIn) -> HttpResponse:
    """What was made lately, and how to make another."""
    if request.htmx:
        return render(request, "reports/_list.html", _listed(request))
    return _page(request)


@require_POST
@explains
def order(request: SignedIn) -> HttpResponse:
    """Order a report; its refusals stand at the fields."""
    form = ReportForm(request.POST, products=_products(request))
    if form.is_valid():
        with form.refusals():
            reports.request_report(request.user, form.cleaned_data["product"], **form.order())
            return redirect("reports")
    return _page(request, form=form)


@require_POST
@explains
def schedule(request: SignedIn) -> HttpResponse:
    """Have a report sent by itself."""
    form = ScheduleForm(request.POST, products=_in_use(request))
    if form.is_valid():
        product = form.cleaned_data["product"]
        with form.refusals():
            report_schedules.schedule_report(request.user, product, **form.order())
            return redirect("reports")
    return _page(request, schedule_form=form)


@require_POST
@explains
def edit_schedule(request: SignedIn, key: UUID) -> HttpResponse:
    """Change one of those; its product stays."""
    found = find(request.user, ReportSchedule, key)
    form = ScheduleForm(request.POST, products=_products(request), schedule=found)
    if form.is_valid():
        with form.refusals():
            report_schedules.edit_schedule(request.user, found, **form.order())
            return redirect("reports")
    return _page(request, schedule_form=form)


@require_POST
@explains
def act_on_schedule(request: SignedIn, key: UUID, action: str) -> HttpResponse:
    """End it, switch it on again, or remove it."""
    actions: dict[str, Callable[[User, ReportSchedule], object]] = {
        "end": report_schedules.end_schedule,
        "resume": report_schedules.resume_schedule,
        "delete": report_schedules.delete_schedule,
    }
    if action not in actions:
        raise Http404("no such action")
    actions[action](request.user, find(request.user, ReportSchedule, key))
    return redirect("reports")


@require_POST
@explains
def act(request: SignedIn, key: UUID, action: str) -> HttpResponse:
    """Cancel, delete, or send once more."""
    actions = {
        "cancel": reports.cancel_report,
        "delete": reports.delete_report,
        "mail": report_mail.send_again,
    }
    if action not in actions:
        raise Http404("no such action")
    actions[action](request.user, find(request.user, Report, key))
    return redirect("reports")


@require_GET
def download(request: SignedIn, key: UUID) -> HttpResponseBase:
    """The file, in pieces, as an attachment that no browser shows as a page of ours."""
    report = find(request.user, Report, key)
    if report.state != JobState.DONE or not default_storage.exists(report.file_key):
        raise Http404("there is no file of this report")
    kind = "application/pdf" if report.is_pdf else "text/csv; charset=utf-8"
    name = reports.file_name(report)
    return StreamingHttpResponse(
        _pieces(report.file_key),
        content_type=kind,
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "Content-Length": str(report.size_bytes),
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "private, no-store",
        },
    )


async def _pieces(key: str) -> AsyncIterator[bytes]:
    file = await sync_to_async(default_storage.open)(key)
    try:
        while block := await sync_to_async(file.read)(BLOCK):
            yield block
    finally:
        await sync_to_async(file.close)()


# --- what the page shows -------------------------------------------------------------------


def _products(request: SignedIn) -> Any:
    return visible(request.user, Product).order_by("code")


def _in_use(request: SignedIn) -> Any:
    """For what is sent from now on; of archived products a report can still be ordered."""
    return _products(request).filter(policies.IN_USE)


def _page(
    request: SignedIn, form: ReportForm | None = None, schedule_form: ScheduleForm | None = None
) -> HttpResponse:
    products = list(_products(request))
    wanted = {"product": request.GET.get("product", ""), "lot": request.GET.get("lot", "")}
    first = {name: value for name, value in wanted.items() if value}
    roles = policies.Roles(request.user)
    schedule_form = schedule_form or _edited(request)
    context = {
        **_listed(request),
        "form": form or ReportForm(products=_products(request), initial=first),
        "schedule_form": schedule_form or ScheduleForm(products=_in_use(request)),
        "schedule_open": schedule_form is not None,
        "products": products,
        "lots": Lot.objects.filter(product__in=products).select_related("product")[:LOTS],
        "may_schedule": any(roles.can(policies.MANAGE, product.pk) for product in products),
        "mail_is_set_up": report_mail.is_set_up(),
        "pdf_missing": gettext(report_pdf.missing()),
    }
    return render(request, "reports/index.html", context, status=200)


def _edited(request: SignedIn) -> ScheduleForm | None:
    """The form of the schedule that the address names."""
    key = _key(request, "schedule")
    if key is None:
        return None
    return ScheduleForm(
        products=_products(request), schedule=find(request.user, ReportSchedule, key)
    )


def _listed(request: SignedIn) -> dict[str, Any]:
    """The newest, or those before the key that was seen last; and what is sent by itself."""
    may, after = MayCancel(request.user), _key(request, "after")
    roles = may.roles
    rows = visible(request.user, Report).order_by("-id")
    found = list((rows.filter(pk__lt=after) if after else rows)[: PAGE + 1])
    shown = found[:PAGE]
    for report in shown:
        own = report.requested_by_id == request.user.pk
        report.may_cancel = may.report(report)  # type: ignore[attr-defined]
        mine = own or roles.can(policies.MANAGE, report.product_id)
        report.may_delete = mine and report.ended  # type: ignore[attr-defined]
        report.may_mail = roles.can(policies.MANAGE, report.product_id)  # type: ignore[attr-defined]
    schedules = sorted(visible(request.user, ReportSchedule), key=lambda one: not one.enabled)
    for one in schedules:
        one.may_manage = roles.can(policies.MANAGE, one.product_id)  # type: ignore[attr-defined]
    return {
        "reports": shown,
        "schedules": schedules,
        "after": after,
        "more": str(shown[-1].pk) if len(found) > PAGE else "",
    }


def _key(request: SignedIn, name: str) -> UUID | None:
    try:
        return UUID(request.GET.get(name, ""))
    except ValueError:
        return None
