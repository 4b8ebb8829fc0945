"""Large files of the drop zone, in pieces: tus 1.0 for whoever is signed in (inspection/tus.py)."""

from uuid import UUID

from django.http import HttpResponse
from django.urls import reverse

from inspection import tus
from inspection.models import PartialFile, Upload
from inspection.web.access import SignedIn, find


def files(request: SignedIn, key: UUID) -> HttpResponse:
    """Announce a file of this upload."""
    upload = find(request.user, Upload, key)

    def place(partial: PartialFile) -> str:
        return reverse("upload_piece", args=[key, partial.pk])

    return tus.collection(request, request.user, upload, place)


def one(request: SignedIn, key: UUID, partial: UUID) -> HttpResponse:
    """One of them: how much is here, the next piece, what became of it."""
    return tus.one(request, request.user, find(request.user, Upload, key), partial)
