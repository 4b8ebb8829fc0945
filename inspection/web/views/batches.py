"""Batches: opening one, and watching its verdicts arrive."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST, require_safe

from inspection import policies
from inspection.errors import UserError
from inspection.models import (
    Batch,
    Inspection,
    ModelVersion,
    Purpose,
    Upload,
    UploadReceipt,
)
from inspection.querysets import VERDICTS
from inspection.services import batches, by_kind, uploads
from inspection.web import reads, words
from inspection.web.access import Rights, SignedIn, explains, find
from inspection.web.forms import BatchForm

from .products import product_and_viewpoint
from .uploads import addresses

TILES = 120
MAX_IDS = 200
REFUSED = 100  # refused files that are listed
ORDERS = {"new": ("-id",), "old": ("id",), "worst": ("-score", "-id"), "best": ("score", "id")}


@explains
def new(request: SignedIn, key: UUID) -> HttpResponse:
    """Name the batch; the pictures are dropped on its own page."""
    product, viewpoint = product_and_viewpoint(request, key)
    policies.check(request.user, policies.REVIEW, product)
    policies.check_in_use(product)
    models = reads.models_of([viewpoint], 20)
    judge = reads.judge_among(models)
    active = judge if judge and judge.state == ModelVersion.State.ACTIVE else None
    initial = {
        "name": f"Batch of {timezone.localtime():%d %b, %H:%M}",
        "viewpoint": viewpoint.code,
        "purpose": Purpose.PRODUCTION if active else Purpose.TRIAL,
    }
    form = BatchForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        fields = {k: v for k, v in form.cleaned_data.items() if k != "viewpoint"}
        chosen = str(fields.pop("model_version"))
        fields["model_version"] = next((m for m in models if str(m.pk) == chosen), None)
        with form.refusals():
            if chosen and fields["model_version"] is None:
                raise UserError("no_such_model", "This model is not on the list any more.")
            return redirect("batch", batches.open_batch(request.user, viewpoint, **fields).pk)
    context = {
        "form": form,
        "product": product,
        "viewpoint": viewpoint,
        "models": models,
        "active": active,
        "judge": judge,
    }
    return render(request, "batches/new.html", context)


@require_safe
def show(request: SignedIn, key: UUID) -> HttpResponse:
    """Tiles that fill while the batch is scored."""
    batch = find(request.user, Batch, key)
    view = chosen_view(request)
    tiles, more = page_of_tiles(batch, view, 0)
    going = Upload.objects.filter(batch=batch, closed_at=None).order_by("-id").first()
    summary = batches.batch_summary(batch)
    product = batch.viewpoint.product
    refused = UploadReceipt.objects.filter(
        upload__batch=batch, outcome=UploadReceipt.Outcome.REFUSED
    )
    context: dict[str, Any] = {
        "batch": batch,
        "product": product,
        "summary": summary,
        "tiles": tiles,
        "more": more,
        "view": view,
        "version": batch.model_version,
        "point": batch.operating_point,
        "rights": Rights(request.user, product),
        "upload": going,
        "addresses": addresses(going) if going else None,
        "progress": uploads.upload_progress(going) if going else None,
        "verdicts": words.VERDICTS,
        "counts": figures(summary),
        "by_kind": when_known(batch, summary),
        "refused": list(refused[: REFUSED + 1]),
        "most_refused": REFUSED,
    }
    return render(request, "batches/show.html", context)


def figures(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Each verdict with its count, in the order of the filters."""
    names = {"pass": "passed", "fail": "failed", "review": "review", "error": "errors"}
    return [{"sign": sign, "count": summary[names[sign.key]]} for sign in words.VERDICTS]


def when_known(batch: Batch, summary: dict[str, Any]) -> by_kind.ByKind | None:
    """The result by kind, once nothing waits: shares of half a batch would mislead."""
    return by_kind.batch_by_kind(batch) if summary["scored"] >= summary["total"] else None


def chosen_view(request: SignedIn) -> dict[str, str]:
    """Filter and order as the address says; anything unknown is the default."""
    verdict, order = request.GET.get("verdict", ""), request.GET.get("order", "")
    return {
        "verdict": verdict if verdict in VERDICTS else "",
        "order": order if order in ORDERS else "new",
    }


def in_view(batch: Batch, view: dict[str, str]) -> QuerySet[Inspection]:
    found = Inspection.objects.filter(batch=batch)
    if view["verdict"]:
        found = found.filter(VERDICTS[view["verdict"]])
    if view["order"] in ("worst", "best"):
        found = found.filter(score__isnull=False)
    return found.order_by(*ORDERS[view["order"]])


def page_of_tiles(batch: Batch, view: dict[str, str], start: int) -> tuple[list[Inspection], int]:
    """Tiles from `start`, and where the next page starts (0: nowhere)."""
    found = list(with_pictures(in_view(batch, view))[start : start + TILES + 1])
    return dressed(found[:TILES]), start + TILES if len(found) > TILES else 0


def with_pictures(found: QuerySet[Inspection]) -> QuerySet[Inspection]:
    return found.prefetch_related("pictures__image", "pictures__result")


def dressed(inspections: list[Inspection]) -> list[Inspection]:
    """Each with the picture that its tile shows: the worst one of the unit."""
    for inspection in inspections:
        pictures = list(inspection.pictures.all())
        pictures.sort(key=lambda p: -(getattr(getattr(p, "result", None), "score", None) or 0.0))
        inspection.shown = pictures[0] if pictures else None  # type: ignore[attr-defined]
        inspection.result = getattr(inspection.shown, "result", None)  # type: ignore[attr-defined]
        inspection.sign = words.verdict_sign(inspection.verdict, inspection.disposition)  # type: ignore[attr-defined]
    return inspections


@require_GET
def tiles(request: SignedIn, key: UUID) -> HttpResponse:
    """More tiles: a page (`start`), or exactly those that a push named (`ids`)."""
    batch = find(request.user, Batch, key)
    view = chosen_view(request)
    if ids := request.GET.get("ids", ""):
        wanted = [_key(part) for part in ids.split(",")[:MAX_IDS]]
        found = dressed(list(with_pictures(in_view(batch, view).filter(pk__in=wanted))))
        return render(request, "batches/_tiles.html", {"tiles": found, "view": view})
    start = request.GET.get("start", "0")
    if not start.isdecimal() or len(start) > 8:
        raise Http404("no such page")
    page, more = page_of_tiles(batch, view, int(start))
    return render(
        request, "batches/_tiles.html", {"tiles": page, "more": more, "view": view, "batch": batch}
    )


def _key(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise Http404("no such inspection") from error


@require_GET
def head(request: SignedIn, key: UUID) -> HttpResponse:
    """Counts, progress and buttons, as the row is now."""
    batch = find(request.user, Batch, key)
    summary = batches.batch_summary(batch)
    context = {
        "batch": batch,
        "summary": summary,
        "counts": figures(summary),
        "by_kind": when_known(batch, summary),
        "view": chosen_view(request),
        "rights": Rights(request.user, batch.viewpoint.product),
    }
    return render(request, "batches/_head.html", context)


@require_POST
@explains
def keep_open(request: SignedIn, key: UUID) -> HttpResponse:
    """More pictures follow later, or (without `keep`) no more do."""
    batch = find(request.user, Batch, key)
    uploads.keep_open(request.user, batch, request.POST.get("keep") == "yes")
    return JsonResponse({"keep_open": batch.keep_open})


@require_POST
@explains
def cancel(request: SignedIn, key: UUID) -> HttpResponse:
    batch = find(request.user, Batch, key)
    batches.cancel_batch(request.user, batch)
    return redirect("jobs" if request.POST.get("next") == "jobs" else f"/batches/{batch.pk}/")


@require_POST
@explains
def seal(request: SignedIn, key: UUID) -> HttpResponse:
    """No more pictures: close what is still open, then the last chunk is cut."""
    batch = find(request.user, Batch, key)
    uploads.close_all(request.user, batch)
    batches.seal(request.user, batch)
    return redirect("batch", batch.pk)
