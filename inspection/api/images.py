"""Pictures: sent by multipart, told by their facts, given back encoded anew."""

from typing import Any, ClassVar

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from inspection import picture_answers
from inspection.models import Dataset, Image
from inspection.picture_answers import picture
from inspection.services import dataset_pictures, pictures, tiles

from .base import Nouns
from .fields import Strict
from .files import IMAGE, TILE, AnyAccept
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


class Level(serializers.Serializer[Any]):
    """Each level is half as wide and high as the one before; 0 is the picture's own size."""

    level = serializers.IntegerField()
    width = serializers.IntegerField(help_text="pixels")
    height = serializers.IntegerField(help_text="pixels")
    columns = serializers.IntegerField(help_text="tiles side by side: `x` is below it")
    rows = serializers.IntegerField(help_text="tiles one below the other: `y` is below it")


class TilesOut(serializers.Serializer[Any]):
    size = serializers.IntegerField(help_text="pixels of a tile without what it shares")
    overlap = serializers.IntegerField(help_text="pixels shared with each neighbour")
    address = serializers.CharField(help_text="of a tile, with gaps {level}, {x} and {y}")
    levels = Level(
        many=True, help_text="none where `content` shows every pixel, at most 2048 wide and high"
    )


TILES = {
    "size": tiles.SIDE,
    "overlap": tiles.OVERLAP,
    "address": "https://aoi.plant.example/api/v1/images/0199f0a2-7c1e-7b60-9d0a-3f6a1c2b4d5e"
    "/tiles/{level}/{x}/{y}",
    "levels": [
        {"level": 0, "width": 4100, "height": 1200, "columns": 9, "rows": 3},
        {"level": 1, "width": 2050, "height": 600, "columns": 5, "rows": 2},
    ],
}


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

    @extend_schema(
        responses=TilesOut, examples=[OpenApiExample("A picture of 4100 × 1200 pixels", TILES)]
    )
    @action(detail=True, pagination_class=None)
    def tiles(self, request: Request, pk: Any = None) -> Response:
        """How a picture that is larger than its `content` is cut, down to its own pixels."""
        found = self.get_object()
        told = {
            "size": tiles.SIDE,
            "overlap": tiles.OVERLAP,
            "address": request.build_absolute_uri(request.path) + "/{level}/{x}/{y}",
            "levels": tiles.layout(found),
        }
        return Response(told)

    @extend_schema(responses=TILE)
    @action(
        detail=True,
        url_path="tiles/<int:level>/<int:x>/<int:y>",
        content_negotiation_class=AnyAccept,
        pagination_class=None,
    )
    def tile(
        self, request: Request, pk: Any = None, level: int = 0, x: int = 0, y: int = 0
    ) -> HttpResponse:
        """A tile as JPEG, encoded anew. The first one of a picture takes seconds, since all are
        cut then; an address never changes its picture."""
        return picture_answers.tile(request._request, self.get_object(), level, x, y)
