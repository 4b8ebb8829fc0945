"""/api/v1/uploads: a picture in pieces, by the tus protocol 1.0 (inspection/tus.py). The key of the
finished picture can be named in the `images` of a submission."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request

from inspection import tus
from inspection.models import PartialFile

from .base import Base
from .files import AnyAccept

VERSION = OpenApiParameter(
    "Tus-Resumable", str, "header", required=True, enum=[tus.VERSION], description="or a 412"
)
OFFSET = OpenApiParameter(
    "Upload-Offset",
    int,
    "header",
    required=True,
    description="How many bytes are there already (HEAD says it); another number is a 409",
)
LENGTH = OpenApiParameter(
    "Upload-Length", int, "header", required=True, description="Of the whole file, in bytes"
)
METADATA = OpenApiParameter(
    "Upload-Metadata", str, "header", description="`filename` and its value in Base64"
)
CHECKSUM = OpenApiParameter(
    "Upload-Checksum", str, "header", description="`sha256` and the piece's digest in Base64"
)
EXPIRED = OpenApiResponse(description="Not finished in time; begin again")
BUSY = OpenApiResponse(description="Another piece of this file is being written; ask again")
DAMAGED = OpenApiResponse(description="The piece does not hash to its checksum; send it again")
KEPT = OpenApiResponse(description="The bytes are kept; Upload-Offset says how many there are")
MADE = OpenApiResponse(description="Location is the address to send the bytes to")
DONE = OpenApiResponse(description="It is forgotten")


class UploadState(serializers.Serializer[Any]):
    """An upload as it is told."""

    id = serializers.UUIDField()
    state = serializers.ChoiceField(["receiving", "checking", "done", "expired"])
    length = serializers.IntegerField()
    offset = serializers.IntegerField()
    expires_at = serializers.DateTimeField(allow_null=True)
    client_key = serializers.CharField()
    file_name = serializers.CharField()
    outcome = serializers.ChoiceField(["", "accepted", "refused"], help_text="once `state` is done")
    code = serializers.CharField(allow_blank=True, help_text="why it was refused")
    message = serializers.CharField(allow_blank=True)
    image_id = serializers.UUIDField(allow_null=True, help_text="to name in `images[]`")


class Pieces(Base):
    """What both addresses share: pictures of one's own, whatever is accepted."""

    noun = "images"
    tag = "uploads"
    content_negotiation_class = AnyAccept

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        response["Tus-Resumable"] = tus.VERSION
        return response

    def _one(self, request: Request, key: UUID) -> HttpResponse:
        return tus.one(request._request, self.user, None, key)


class Uploads(Pieces):
    """Announcing a picture."""

    @extend_schema(
        parameters=[VERSION, LENGTH, METADATA], request=None, responses={201: MADE, 410: EXPIRED}
    )
    def post(self, request: Request) -> HttpResponse:
        """Announce a picture of that length; with the Content-Type of a piece, also send its
        first bytes."""

        def place(partial: PartialFile) -> str:
            return reverse("api-upload", args=[partial.pk])

        return tus.collection(request._request, self.user, None, place)

    def options(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        return tus.capabilities(None, tus.METHODS_OF_ALL)


class OneUpload(Pieces):
    """The pieces of one, and what became of it. HEAD says how many bytes are here."""

    @extend_schema(responses={200: UploadState})
    def get(self, request: Request, key: UUID) -> HttpResponse:
        """What became of it; `image_id` once it is whole and a picture."""
        return self._one(request, key)

    def head(self, request: Request, key: UUID) -> HttpResponse:
        return self._one(request, key)

    @extend_schema(
        parameters=[VERSION, OFFSET, CHECKSUM],
        request={tus.BYTES: OpenApiTypes.BINARY},
        responses={204: KEPT, 410: EXPIRED, 423: BUSY, 460: DAMAGED},
    )
    def patch(self, request: Request, key: UUID) -> HttpResponse:
        """The next bytes. What came of a piece whose connection breaks is kept."""
        return self._one(request, key)

    @extend_schema(parameters=[VERSION], responses={204: DONE, 410: EXPIRED, 423: BUSY})
    def delete(self, request: Request, key: UUID) -> HttpResponse:
        """Give an unfinished upload up, and its bytes."""
        return self._one(request, key)

    @extend_schema(exclude=True)
    def post(self, request: Request, key: UUID) -> HttpResponse:
        """X-HTTP-Method-Override, where a proxy lets no PATCH through."""
        return self._one(request, key)

    def options(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        return tus.capabilities(None, tus.METHODS_OF_ONE)
