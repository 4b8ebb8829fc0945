"""Watched folders: which there are, how file names are read, and what became of every file."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Count, QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST, require_safe

from inspection import policies
from inspection.errors import UserError
from inspection.models import Intake, IntakeFile, Viewpoint
from inspection.services import intakes
from inspection.web.access import Rights, SignedIn, explains, find, visible
from inspection.web.intake_forms import IntakeForm

PAGE = 100
EXAMPLE_LENGTH = 4000
OUTCOMES = dict(IntakeFile.Outcome.choices)
ACTS = {"pause": intakes.pause_intake, "resume": intakes.resume_intake}


@require_safe
def index(request: SignedIn) -> HttpResponse:
    """Every watched folder of products that the person sees, with counts and the last error."""
    context = {
        "intakes": intakes.with_counts(visible(request.user, Intake)).order_by("name"),
        "may_make": _viewpoints(request).exists(),
        "roots": settings.INTAKE_ROOTS,
        "rights": Rights(request.user, None),
    }
    return render(request, "settings/folders.html", context)


@explains
def new(request: SignedIn) -> HttpResponse:
    """Watch another folder."""
    if not _viewpoints(request).exists():
        policies.check(request.user, policies.MANAGE, None)
    return _form(request, None)


@explains
def edit(request: SignedIn, key: UUID) -> HttpResponse:
    """Change what is watched, and how its names are read."""
    intake = find(request.user, Intake, key)
    policies.check(request.user, policies.MANAGE, intake.viewpoint.product)
    return _form(request, intake)


def _form(request: SignedIn, intake: Intake | None) -> HttpResponse:
    initial = {name: getattr(intake, name) for name in intakes.FIELDS} if intake else None
    form = IntakeForm(request.POST or None, initial=initial, viewpoints=_viewpoints(request))
    if request.method == "POST" and form.is_valid():
        with form.refusals():
            kept = _save(request, intake, form.cleaned_data)
            return redirect("folder", kept.pk)
    context = {
        "form": form,
        "intake": intake,
        "fields": [f"{{{field}}}" for field in intakes.PATTERN_FIELDS],
        "roots": settings.INTAKE_ROOTS,
        "rights": Rights(request.user, None),
    }
    return render(request, "settings/folder_edit.html", context)


def _save(request: SignedIn, intake: Intake | None, fields: dict[str, Any]) -> Intake:
    if intake is None:
        return intakes.create_intake(request.user, **fields)
    return intakes.edit_intake(request.user, intake, **fields)


def _viewpoints(request: SignedIn) -> QuerySet[Viewpoint]:
    mine = policies.products_with(request.user, policies.MANAGE).filter(policies.IN_USE)
    found = Viewpoint.objects.filter(product__in=mine).select_related("product")
    return found.order_by("product__code", "code")


@require_GET
def preview(request: SignedIn) -> HttpResponse:
    """How the pattern reads the example names, while somebody writes it."""
    names = request.GET.get("examples", "")[:EXAMPLE_LENGTH].splitlines()
    context: dict[str, Any] = {"rows": [], "wrong": ""}
    try:
        context["rows"] = intakes.examples(request.GET.get("pattern", ""), names)
    except UserError as error:
        context["wrong"] = error.message
    return render(request, "settings/_folder_preview.html", context)


@require_safe
def show(request: SignedIn, key: UUID) -> HttpResponse:
    """One folder and the log of its files, newest first."""
    intake = find(request.user, Intake, key)
    asked = {name: request.GET.get(name, "").strip() for name in ("outcome", "path", "after")}
    found = list(_narrowed(intake, asked)[: PAGE + 1])
    shown = found[:PAGE]
    counts = dict(intake.files.values_list("outcome").annotate(Count("id")).order_by())
    context = {
        "intake": intake,
        "files": shown,
        "more": str(shown[-1].pk) if len(found) > PAGE else "",
        "asked": asked,
        "counts": [(name, word, counts.get(name, 0)) for name, word in OUTCOMES.items()],
        "rights": Rights(request.user, None),
        "may": Rights(request.user, intake.viewpoint.product),
    }
    return render(request, "settings/folder.html", context)


def _narrowed(intake: Intake, asked: dict[str, str]) -> QuerySet[IntakeFile]:
    files = intakes.files_of(intake, outcome=asked["outcome"], path=asked["path"])
    files = files.select_related("inspection")
    if asked["after"]:
        files = files.filter(pk__lt=_key(asked["after"]))
    return files


def _key(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise Http404("no such place in the list") from error


@require_POST
@explains
def act(request: SignedIn, key: UUID, action: str) -> HttpResponse:
    """Pause or resume."""
    if action not in ACTS:
        raise Http404("no such action")
    intake = ACTS[action](request.user, find(request.user, Intake, key))
    return redirect("folder", intake.pk)
