"""Products: the list, one product with all that belongs to it, new and edit."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Exists, OuterRef, Q
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST, require_safe

from inspection import policies
from inspection.errors import UserError
from inspection.models import Batch, Dataset, DatasetImage, ModelVersion, Product, Viewpoint
from inspection.services import datasets, products
from inspection.services.training import MIN_PICTURES
from inspection.web import reads, words
from inspection.web.access import Rights, SignedIn, explains, find, may_see, visible
from inspection.web.forms import ProductForm, viewpoint_of
from inspection.web.next_step import next_step

CARDS_PER_PAGE = 24
TILES = 60


@require_safe
def index(request: SignedIn) -> HttpResponse:
    """Every product that the person may see, as a card with its pictures: those in use, or,
    asked for `archived`, the others."""
    query, archived = request.GET.get("q", "").strip(), bool(request.GET.get("archived"))
    every = visible(request.user, Product).order_by("code")
    if query:
        every = every.filter(Q(code__icontains=query) | Q(name__icontains=query))
    found = every.exclude(policies.IN_USE) if archived else every.filter(policies.IN_USE)
    page = Paginator(found, CARDS_PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "cards": reads.product_cards(page.object_list) if page.paginator.count else [],
        "page": page,
        "query": query,
        "archived": archived,
        "put_away": 0 if archived else every.exclude(policies.IN_USE).count(),
        "inspected": found.filter(_judges()).count() if page.paginator.count and not query else 0,
        "rights": Rights(request.user, None),
        "min_pictures": MIN_PICTURES,
    }
    return render(request, "products/index.html", context)


def _judges() -> Exists:
    """Products that have a model which judges: the only ones that are inspected."""
    active = ModelVersion.objects.filter(
        viewpoint__product=OuterRef("pk"), state=ModelVersion.State.ACTIVE
    )
    return Exists(active)


@explains
def new(request: SignedIn) -> HttpResponse:
    """A part number and a name are enough."""
    policies.check(request.user, policies.MANAGE, None)
    form = ProductForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        with form.refusals():
            product = products.create_product(request.user, **form.cleaned_data)
            return redirect("product", product.pk)
    return render(request, "products/edit.html", {"form": form})


@explains
def edit(request: SignedIn, key: UUID) -> HttpResponse:
    product = find(request.user, Product, key)
    policies.check(request.user, policies.MANAGE, product)
    fields = {name: getattr(product, name) for name in ProductForm.base_fields}
    form = ProductForm(request.POST or None, initial=fields)
    if request.method == "POST" and form.is_valid():
        with form.refusals():
            products.edit_product(request.user, product, **form.cleaned_data)
            return redirect("product", product.pk)
    return render(request, "products/edit.html", {"form": form, "product": product})


def product_and_viewpoint(request: SignedIn, key: UUID) -> tuple[Product, Viewpoint]:
    """The product of an address and the viewpoint that the page is about."""
    product = find(request.user, Product, key)
    code = request.POST.get("viewpoint") or request.GET.get("viewpoint", "")
    viewpoint = viewpoint_of(product, code)
    if viewpoint is None:
        raise Http404(f"product {product.code} has no viewpoint")
    viewpoint.product = product
    return product, viewpoint


@require_safe
def show(request: SignedIn, key: UUID) -> HttpResponse:
    """Dataset, runs, models and batches of one product, and what to do next."""
    product, viewpoint = product_and_viewpoint(request, key)
    dataset = products.good_dataset(viewpoint)
    counts = reads.dataset_counts(dataset)
    items, after = reads.dataset_page(dataset, "", TILES)
    runs = reads.runs_of(viewpoint)
    models = reads.models_of([viewpoint], 5)
    newest = Batch.objects.filter(viewpoint=viewpoint).order_by("-id")[:8]
    batches = list(reads.with_counts(list(newest)))
    rights = Rights(request.user, product)
    context: dict[str, Any] = {
        "product": product,
        "viewpoint": viewpoint,
        "dataset": dataset,
        "counts": counts,
        "missing": max(0, MIN_PICTURES - counts["usable"]),
        "min_pictures": MIN_PICTURES,
        "items": items,
        "after": after,
        "runs": runs,
        "models": models,
        "symmetries": words.symmetry_words(viewpoint.symmetries),
        "active": next((model for model in models if model.state == "active"), None),
        "judge": reads.judge_among(models),
        "batches": batches,
        "next": next_step(viewpoint, counts["usable"], runs, models, batches),
        "rights": rights,
        "works": None if product.archived_at else rights,  # for what is new
    }
    return render(request, "products/show.html", context)


@require_GET
def pictures(request: SignedIn, key: UUID) -> HttpResponse:
    """More tiles of a dataset, for htmx."""
    dataset = find(request.user, Dataset, key)
    try:
        items, after = reads.dataset_page(dataset, request.GET.get("after", ""), TILES)
    except ValueError as error:
        raise Http404("no such place in the list") from error
    return render(
        request, "products/_tiles.html", {"items": items, "after": after, "dataset": dataset}
    )


@require_safe
def picture(request: SignedIn, key: UUID) -> HttpResponse:
    """One picture of a dataset, large, with its facts and its neighbours."""
    item = _find_picture(request, key)
    around = item.dataset.items.order_by()
    product = item.dataset.viewpoint.product
    context = {
        "item": item,
        "product": product,
        "newer": around.filter(pk__gt=item.pk).order_by("id").values_list("pk", flat=True).first(),
        "older": around.filter(pk__lt=item.pk).order_by("-id").values_list("pk", flat=True).first(),
        "rights": Rights(request.user, product),
    }
    return render(request, "products/picture.html", context)


def _find_picture(request: SignedIn, key: UUID) -> DatasetImage:
    seen = may_see(request.user, "dataset__viewpoint__product")
    related = ("image", "dataset__viewpoint__product", "added_by")
    item = DatasetImage.objects.filter(seen, pk=key).select_related(*related).first()
    if item is None:
        raise Http404("no such picture")
    return item


@require_POST
@explains
def archive(request: SignedIn, key: UUID) -> HttpResponse:
    """Take a product off the lists, with the reason that was given."""
    product = find(request.user, Product, key)
    reason = request.POST.get("reason", "").strip()
    products.archive_product(request.user, product, reason)
    messages.success(request, _("{product} is archived.").format(product=product.name))
    return redirect("product", product.pk)


@require_POST
@explains
def restore(request: SignedIn, key: UUID) -> HttpResponse:
    """Bring an archived product back to the lists."""
    product = products.restore_product(request.user, find(request.user, Product, key))
    messages.success(request, _("{product} is in use again.").format(product=product.name))
    return redirect("product", product.pk)


@require_POST
@explains
def picture_exclude(request: SignedIn, key: UUID) -> HttpResponse:
    """Leave a picture out of later runs (with a reason), or take it in again (without)."""
    item = _find_picture(request, key)
    reason = request.POST.get("reason", "").strip() if "exclude" in request.POST else ""
    if "exclude" in request.POST and not reason:
        raise UserError("reason_missing", "Say why this picture is left out.", field="reason")
    datasets.exclude_image(request.user, item, reason)
    return redirect("picture", item.pk)
