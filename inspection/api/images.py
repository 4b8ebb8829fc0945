"""Pictures: sent by multipart, told by their facts, given back encoded anew."""

from typing import Any, ClassVar

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from inspection.models import Dataset, Image
from inspection.picture_answers import picture
from inspection.services import dataset_pictures, pictures

from .base import Nouns
from .fields import Strict
from .files import IMAGE, AnyAccept
from .parsers import Form
from .permissions import require_scope


class ImageOut(serializers.ModelSerializer[Image]):
    file_name = serializers.CharField(source="original_name")
    notes = serializers.ListField(child=serializers.CharField(), help_text="what was done to it")

    class Meta:
        model = Image
        fields = (
            "id",
            "created_at",
            "sha256",
            "file_name",
            "format",
            "size_bytes",
            "width",
            "height",
            "mode",
            "notes",
        )


class ImageIn(Strict):
    file = serializers.FileField(
        allow_empty_file=True, max_length=255, help_text="PNG, JPEG, TIFF or BMP"
    )
    dataset = serializers.UUIDField(
        required=False, help_text="into which it goes; without one it stands alone for a submission"
    )
    label = serializers.CharField(  # type: ignore[assignment]
        required=False, max_length=60, help_text="in a dataset: good, or the kind of defect"
    )
    lot = serializers.CharField(required=False, max_length=80)


class ImageQuery(Strict):
    sha256 = serializers.RegexField("^[0-9a-f]{64}$", required=False, help_text="of its bytes")


class Images(Nouns[Image]):
    """A picture, known by the SHA-256 of its bytes. It is seen by who sent it, and by who sees a
    dataset or an inspection that it is in."""

    noun = "images"
    model = Image
    serializer_class = ImageOut
    queries: ClassVar = {"list": ImageQuery}
    parser_classes = (Form,)

    def get_queryset(self) -> Any:
        found = pictures.visible_images(self.user)
        return found.filter(**self.query) if "sha256" in self.query else found

    @extend_schema(request={"multipart/form-data": ImageIn}, responses={201: ImageOut})
    def create(self, request: Request) -> Response:
        """Send a picture, for a later submission or into a dataset, for which a key needs the
        scope `datasets:write` too. The same bytes are the same picture, however often they are
        sent."""
        asked = self.asked(ImageIn)
        file, dataset = asked["file"], None
        if "dataset" in asked:
            require_scope(request, "datasets:write")
            dataset = self.find(Dataset, asked["dataset"], "dataset")
            dataset_pictures.check_may_add(self.user, dataset)
        image = dataset_pictures.receive_image(self.user, file.name, file)
        if dataset:
            dataset_pictures.add_image(
                self.user,
                dataset,
                image,
                file_name=file.name,
                label=asked.get("label", ""),
                lot_code=asked.get("lot", ""),
            )
        return self.tell(image, status.HTTP_201_CREATED)

    @extend_schema(responses=IMAGE)
    @action(detail=True, content_negotiation_class=AnyAccept, pagination_class=None)
    def content(self, request: Request, pk: Any = None) -> HttpResponse:
        """The picture, at most 2048 pixels wide and high, as WebP; never the original's bytes."""
        found = self.get_object()
        return picture(lambda: pictures.preview(found))

    @extend_schema(responses=IMAGE)
    @action(detail=True, content_negotiation_class=AnyAccept, pagination_class=None)
    def thumbnail(self, request: Request, pk: Any = None) -> HttpResponse:
        """At most 256 pixels wide and high, as WebP."""
        found = self.get_object()
        return picture(lambda: pictures.thumbnail(found))
