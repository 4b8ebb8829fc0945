"""Bringing pictures in: the drop zone, one request per file, and what became of each."""

from typing import Any
from urllib.parse import unquote
from uuid import UUID

from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST, require_safe

from inspection import policies
from inspection.errors import UserError
from inspection.models import Batch, Dataset, Upload, UploadArchive, UploadReceipt
from inspection.services import products, uploads
from inspection.services.training import MIN_PICTURES
from inspection.web import reads
from inspection.web.access import Rights, SignedIn, explains, find, refusal

from .products import product_and_viewpoint

RECEIPTS_PER_PAGE = 500


def addresses(upload: Upload) -> dict[str, str]:
    """Where a script sends files of this upload and asks what became of them."""
    names = (
        "upload",
        "upload_file",
        "upload_pieces",
        "upload_close",
        "upload_cancel",
        "upload_receipts",
    )
    return {name: reverse(name, args=[upload.pk]) for name in names} | {"id": str(upload.pk)}


@explains
def new(request: SignedIn, key: UUID) -> HttpResponse:
    """The page with the drop zone; a POST of its script opens the upload."""
    product, viewpoint = product_and_viewpoint(request, key)
    policies.check(request.user, policies.MANAGE, product)
    policies.check_in_use(product)
    dataset = products.good_dataset(viewpoint)
    if request.method == "POST":
        upload = uploads.open_upload(
            request.user, dataset=dataset, expected_files=_count(request), folders=_folders(request)
        )
        return JsonResponse(addresses(upload), status=201)
    context = {
        "product": product,
        "viewpoint": viewpoint,
        "rights": Rights(request.user, product),
        "counts": reads.dataset_counts(dataset),
        "min_pictures": MIN_PICTURES,
    }
    return render(request, "uploads/page.html", context)


@require_POST
@explains
def into_batch(request: SignedIn, key: UUID) -> HttpResponse:
    """A drop on the page of a batch that is still open."""
    batch = find(request.user, Batch, key)
    upload = uploads.open_upload(
        request.user, batch=batch, expected_files=_count(request), folders=_folders(request)
    )
    return JsonResponse(addresses(upload), status=201)


def _count(request: SignedIn) -> int | None:
    count = request.POST.get("expected_files", "")
    return int(count) if count.isdecimal() and len(count) < 9 else None


def _folders(request: SignedIn) -> str:
    return request.POST.get("folders", Upload.Folders.NOTHING)


@require_safe
def show(request: SignedIn, key: UUID) -> HttpResponse:
    """An upload as it is now: receipts come from the server, so a reload loses nothing."""
    upload = find(request.user, Upload, key)
    if upload.batch_id:
        return redirect("batch", upload.batch_id)
    assert upload.dataset  # noqa: S101  (a check constraint of the table)
    viewpoint = upload.dataset.viewpoint
    if upload.dataset.purpose == Dataset.Purpose.GOLDEN:
        return redirect("golden", viewpoint.product_id)
    context = {
        "product": viewpoint.product,
        "viewpoint": viewpoint,
        "upload": upload,
        "can_go_on": uploads.can_go_on(upload),
        "rights": Rights(request.user, viewpoint.product),
        "addresses": addresses(upload),
        "progress": uploads.upload_progress(upload),
        "counts": reads.dataset_counts(upload.dataset),
        "min_pictures": MIN_PICTURES,
    }
    return render(request, "uploads/page.html", context)


@require_POST
def receive(request: SignedIn, key: UUID) -> HttpResponse:
    """One file as the raw body. The body is read in pieces by the service, never whole."""
    try:
        upload = find(request.user, Upload, key)
        taken = uploads.receive_file(
            request.user,
            upload,
            client_key=request.headers.get("X-Client-Key", ""),
            name=unquote(request.headers.get("X-File-Name", "")),
            stream=request,  # type: ignore[arg-type]  # an HttpRequest reads like a file
            size=int(request.headers.get("Content-Length") or 0),
        )
    except UserError as error:
        request.META["HTTP_ACCEPT"] = "application/json"
        return refusal(request, error)
    return JsonResponse(uploads.receipt_payload(taken))


@require_GET
def receipts(request: SignedIn, key: UUID) -> HttpResponse:
    """Receipts after a key, oldest first, with how far the upload is."""
    upload = find(request.user, Upload, key)
    after = request.GET.get("after", "")
    found = UploadReceipt.objects.filter(upload=upload).order_by("id")
    if after:
        found = found.filter(id__gt=_key(after))
    page = list(found[:RECEIPTS_PER_PAGE])
    body: dict[str, Any] = {
        "receipts": [uploads.receipt_payload(receipt) for receipt in page],
        "after": str(page[-1].pk) if page else after,
        "more": len(page) == RECEIPTS_PER_PAGE,
        "progress": uploads.upload_progress(upload),
        "error": upload.error,
        "archives": _archives(upload),
    }
    return JsonResponse(body)


def _archives(upload: Upload) -> list[dict[str, Any]]:
    return [
        {
            "client_key": archive.client_key,
            "file_name": archive.file_name,
            "done": archive.members_done,
            "total": archive.members_total,
            "unpacked": archive.unpacked_at is not None,
        }
        for archive in UploadArchive.objects.filter(upload=upload).exclude(
            client_key__in=upload.receipts.values("client_key")  # refused as a whole
        )
    ]


def _key(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise Http404("no such place in the list") from error


@require_POST
@explains
def close(request: SignedIn, key: UUID) -> HttpResponse:
    """Nothing more is coming."""
    upload = uploads.close_upload(request.user, find(request.user, Upload, key))
    return JsonResponse(uploads.upload_progress(upload))


@require_POST
@explains
def resume(request: SignedIn, key: UUID) -> HttpResponse:
    """Unpack the rest after a failure."""
    upload = uploads.resume_upload(request.user, find(request.user, Upload, key))
    return redirect("upload", upload.pk)


@require_POST
@explains
def cancel(request: SignedIn, key: UUID) -> HttpResponse:
    upload = uploads.cancel_upload(request.user, find(request.user, Upload, key))
    return redirect("upload", upload.pk)
