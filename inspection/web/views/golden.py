"""Golden sets: the parts that every new model is held against."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from inspection import policies
from inspection.errors import UserError
from inspection.models import Dataset, Inspection, Upload, Viewpoint
from inspection.services import datasets, golden, uploads
from inspection.web.access import Rights, SignedIn, explains, find

from .products import product_and_viewpoint
from .uploads import addresses

MOST = 600


@require_safe
def show(request: SignedIn, key: UUID) -> HttpResponse:
    """Good parts and kinds of defects, with those that every model must judge right."""
    product, viewpoint = product_and_viewpoint(request, key)
    dataset = golden.find(viewpoint)
    items = []
    if dataset:
        found = golden.items(dataset).select_related("image", "origin").order_by("-id")
        items = list(found[: MOST + 1])
    shown = items[:MOST]
    goods = [item for item in shown if not item.label]
    defects = sorted((i for i in shown if i.label), key=lambda i: i.label.lower())
    context: dict[str, Any] = {
        "product": product,
        "viewpoint": viewpoint,
        "dataset": dataset,
        "goods": goods,
        "defects": defects,
        "groups": [(_("Defects"), defects), (_("Good parts"), goods)],
        "kinds": sorted({item.label for item in shown if item.label}),
        "musts": sum(item.must_catch or item.must_pass for item in shown),
        "more": len(items) > MOST,
        "most": MOST,
        "rights": Rights(request.user, product),
    }
    return render(request, "models/golden.html", context)


@require_POST
@explains
def upload(request: SignedIn, key: UUID) -> HttpResponse:
    """A drop on the page: folders say the kind unless the person says otherwise."""
    product, viewpoint = product_and_viewpoint(request, key)
    policies.check(request.user, policies.MANAGE, product)
    opened = uploads.open_upload(
        request.user,
        dataset=golden.golden_set(viewpoint),
        folders=request.POST.get("folders", Upload.Folders.LABEL),
    )
    return JsonResponse(addresses(opened), status=201)


@require_POST
@explains
def describe(request: SignedIn, key: UUID) -> HttpResponse:
    """Say of the chosen parts what they are; or take them out of the set."""
    dataset = find(request.user, Dataset, key)
    keys = _keys(request)
    if not keys:
        raise UserError("nothing_chosen", _("Choose the parts first."))
    if request.POST.get("do") == "remove":
        images = dataset.items.filter(pk__in=keys).values_list("image_id", flat=True)
        n = datasets.remove_images(request.user, dataset, list(images))
        said = _("{n} parts were taken out of the golden set.")
    else:
        n = golden.describe(
            request.user,
            dataset,
            keys,
            label=_label(request),
            must=request.POST.get("must") == "yes",
        )
        said = _("{n} parts are described.")
    messages.success(request, said.format(n=n))
    return redirect(address(dataset.viewpoint))


@require_POST
@explains
def take_over(request: SignedIn, key: UUID) -> HttpResponse:
    """Put an inspected part into the golden set."""
    inspection = find(request.user, Inspection, key)
    golden.take_over(
        request.user, inspection, label=_label(request), must=request.POST.get("must") == "yes"
    )
    messages.success(request, _("The part is in the golden set now."))
    return redirect(address(inspection.viewpoint))


def _label(request: SignedIn) -> str:
    """`kind` says good or defect; a defect needs a name."""
    if request.POST.get("kind") != "defect":
        return ""
    label = golden.clean_label(request.POST.get("label", ""))
    if not label:
        raise UserError("label_missing", _("Name the kind of defect."), field="label")
    return label


def _keys(request: SignedIn) -> list[UUID]:
    keys = []
    for text in request.POST.getlist("item")[:MOST]:
        try:
            keys.append(UUID(text))
        except ValueError:
            continue
    return keys


def address(viewpoint: Viewpoint) -> str:
    query = "" if viewpoint.code == "main" else "?" + urlencode({"viewpoint": viewpoint.code})
    return reverse("golden", args=[viewpoint.product_id]) + query
