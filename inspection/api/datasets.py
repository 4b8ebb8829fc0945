"""Datasets: what a viewpoint learns from, what is left out of it, and its frozen lists."""

from typing import Any, ClassVar

from django.db.models import Count, Q
from django.http import Http404
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from inspection.models import Dataset, DatasetImage, DatasetSnapshot
from inspection.services import dataset_pictures, datasets, golden, pictures

from .base import Nouns
from .fields import Strict
from .narrow import OfViewpoint, of_viewpoint

IMAGES = "images/<uuid:image>"


class DatasetOut(serializers.ModelSerializer[Dataset]):
    product = serializers.CharField(source="viewpoint.product.code", help_text="part number")
    pictures = serializers.IntegerField(help_text="all of them")
    usable = serializers.IntegerField(help_text="of good parts, not left out")

    class Meta:
        model = Dataset
        fields = (
            "id",
            "created_at",
            "name",
            "purpose",
            "viewpoint",
            "product",
            "pictures",
            "usable",
        )


class DatasetQuery(OfViewpoint):
    purpose = serializers.ChoiceField(Dataset.Purpose.values, required=False)


class DatasetImageOut(serializers.ModelSerializer[DatasetImage]):
    sha256 = serializers.CharField(source="image.sha256")

    class Meta:
        model = DatasetImage
        fields = (
            "image",
            "created_at",
            "file_name",
            "sha256",
            "label",
            "lot_code",
            "must_catch",
            "must_pass",
            "excluded_at",
            "excluded_reason",
        )


class LearnedImageOut(DatasetImageOut):
    """With the inspection that it was taken over from."""

    class Meta(DatasetImageOut.Meta):
        fields = (*DatasetImageOut.Meta.fields, "origin")  # type: ignore[assignment]


class DatasetImageQuery(Strict):
    excluded = serializers.BooleanField(required=False, allow_null=True, default=None)
    label = serializers.CharField(required=False, max_length=60)  # type: ignore[assignment]


class DatasetImageIn(Strict):
    image = serializers.UUIDField(help_text="of a picture that you sent or may see")
    file_name = serializers.CharField(required=False, max_length=255)
    label = serializers.CharField(  # type: ignore[assignment]
        required=False, max_length=60, help_text="good, or the kind of defect"
    )
    lot = serializers.CharField(required=False, max_length=80)


class ReasonIn(Strict):
    reason = serializers.CharField(max_length=300, help_text="stays on record")


class DescribeIn(Strict):
    label = serializers.CharField(max_length=60, help_text="good, or the kind of defect")  # type: ignore[assignment]
    must = serializers.BooleanField(help_text="every model must pass or catch it")


class SnapshotOut(serializers.ModelSerializer[DatasetSnapshot]):
    pictures = serializers.IntegerField()
    left_out = serializers.IntegerField()

    class Meta:
        model = DatasetSnapshot
        fields = ("id", "created_at", "number", "pictures", "left_out", "digest", "frozen_at")


class Datasets(Nouns[Dataset]):
    """A named, growing set of pictures of one viewpoint."""

    noun = "datasets"
    model = Dataset
    serializer_class = DatasetOut
    queries: ClassVar = {"list": DatasetQuery, "images": DatasetImageQuery}

    def get_queryset(self) -> Any:
        rows = of_viewpoint(super().get_queryset(), self.user, self.query, "viewpoint")
        if purpose := self.query.get("purpose"):
            rows = rows.filter(purpose=purpose)
        usable = Q(items__excluded_at=None, items__label="")
        return rows.annotate(pictures=Count("items"), usable=Count("items", filter=usable))

    @extend_schema(responses=DatasetImageOut(many=True), filters=True)
    @action(detail=True)
    def images(self, request: Request, pk: Any = None) -> Response:
        """What is in it, newest first."""
        rows = self.get_object().items.select_related("image")
        if self.query["excluded"] is not None:
            rows = rows.filter(excluded_at__isnull=not self.query["excluded"])
        if "label" in self.query:
            label = self.query["label"]
            rows = rows.filter(label="" if label.lower() == dataset_pictures.GOOD else label)
        return self.page_of(rows, DatasetImageOut)

    @extend_schema(request=DatasetImageIn, responses={200: DatasetImageOut, 201: DatasetImageOut})
    @images.mapping.post
    def add_image(self, request: Request, pk: Any = None) -> Response:
        """Put a picture into it that was sent before; 200 where it is in it already."""
        dataset, asked = self.get_object(), self.asked(DatasetImageIn)
        dataset_pictures.check_may_add(self.user, dataset)
        found = pictures.find(self.user, asked["image"])
        item, created = dataset_pictures.add_image(
            self.user,
            dataset,
            found,
            file_name=asked.get("file_name", ""),
            label=asked.get("label", ""),
            lot_code=asked.get("lot", ""),
        )
        code = status.HTTP_201_CREATED if created else status.HTTP_200_OK
        return Response(DatasetImageOut(item).data, status=code)

    @extend_schema(responses={204: None})
    @action(detail=True, methods=["delete"], url_path=IMAGES)
    def image(self, request: Request, pk: Any = None, image: Any = None) -> Response:
        """Take it out; old snapshots keep it."""
        item = self._item(image)
        datasets.remove_images(self.user, item.dataset, [item.image_id])
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=ReasonIn, responses=DatasetImageOut)
    @action(detail=True, methods=["post"], url_path=f"{IMAGES}/exclude")
    def exclude(self, request: Request, pk: Any = None, image: Any = None) -> Response:
        """Leave it out of every later run, and say why."""
        item, reason = self._item(image), self.asked(ReasonIn)["reason"]
        datasets.exclude_image(self.user, item, reason)
        return Response(DatasetImageOut(item).data)

    @extend_schema(request=None, responses=DatasetImageOut)
    @action(detail=True, methods=["post"], url_path=f"{IMAGES}/include")
    def include(self, request: Request, pk: Any = None, image: Any = None) -> Response:
        """Take it back in."""
        item = self._item(image)
        datasets.exclude_image(self.user, item, "")
        return Response(DatasetImageOut(item).data)

    @extend_schema(request=DescribeIn, responses=DatasetImageOut)
    @action(detail=True, methods=["post"], url_path=f"{IMAGES}/describe")
    def describe(self, request: Request, pk: Any = None, image: Any = None) -> Response:
        """Of the golden set: say what a part is, and whether every model must judge it right."""
        item, asked = self._item(image), self.asked(DescribeIn)
        if item.dataset.purpose != Dataset.Purpose.GOLDEN:
            raise Http404("not in a golden set")
        golden.describe(self.user, item.dataset, [item.pk], **asked)
        return Response(DatasetImageOut(self._item(image)).data)

    def _item(self, image: Any) -> DatasetImage:
        dataset = self.get_object()
        items = dataset.items.select_related("image")
        item: DatasetImage = get_object_or_404(items, image=image)
        item.dataset = dataset
        return item

    @extend_schema(responses=SnapshotOut(many=True), filters=True)
    @action(detail=True)
    def snapshots(self, request: Request, pk: Any = None) -> Response:
        """The frozen lists that runs learned from, newest first."""
        return self.page_of(_counted(self.get_object()), SnapshotOut)

    @extend_schema(request=None, responses={201: SnapshotOut})
    @snapshots.mapping.post
    def take_snapshot(self, request: Request, pk: Any = None) -> Response:
        """Write down what is in it now. Starting a run does so by itself."""
        dataset = self.get_object()
        made = datasets.take_snapshot(self.user, dataset)
        told = SnapshotOut(_counted(dataset).get(pk=made.pk)).data
        return Response(told, status=status.HTTP_201_CREATED)


def _counted(dataset: Dataset) -> Any:
    left_out = Q(items__decision="excluded")
    return dataset.snapshots.annotate(
        pictures=Count("items"), left_out=Count("items", filter=left_out)
    )
