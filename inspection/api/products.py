"""Products and their viewpoints."""

from typing import Any, ClassVar

from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from inspection.models import Product, Viewpoint
from inspection.services import products
from inspection.services.locking import lock_row

from .base import Nouns
from .fields import Strict
from .schema import IF_MATCH

BOARD = {"code": "BOARD-A", "name": "Main board A", "ipc_class": 2, "opportunities_per_unit": 312}


class ViewpointOut(serializers.ModelSerializer[Viewpoint]):
    recipe_name = serializers.CharField(help_text="`recipe.name` of a submission")

    class Meta:
        model = Viewpoint
        fields = ("id", "code", "name", "side", "recipe_name", "symmetries", "repair_zones")


class ViewpointIn(Strict):
    code = serializers.CharField(max_length=40, help_text="short and unique in the product: top")
    name = serializers.CharField(max_length=80)
    side = serializers.CharField(max_length=20, required=False, allow_blank=True)


class ProductOut(serializers.ModelSerializer[Product]):
    viewpoints = ViewpointOut(many=True)

    class Meta:
        model = Product
        fields = ("id", "created_at", "archived_at", *products.FIELDS, "viewpoints")


class ProductIn(Strict):
    code = serializers.CharField(max_length=60, help_text="the part number that the MES uses")
    name = serializers.CharField(max_length=120)
    description = serializers.CharField(required=False, allow_blank=True)
    ipc_class = serializers.IntegerField(required=False, min_value=1, max_value=3)
    opportunities_per_unit = serializers.IntegerField(
        required=False, min_value=1, max_value=2**31 - 1
    )
    cost_escape = serializers.DecimalField(12, 2, required=False, allow_null=True, min_value=0)
    cost_overkill = serializers.DecimalField(12, 2, required=False, allow_null=True, min_value=0)
    currency = serializers.CharField(required=False, min_length=3, max_length=3)
    audit_rate = serializers.FloatField(required=False, min_value=0, max_value=1)
    second_look_rate = serializers.FloatField(required=False, min_value=0, max_value=1)


class ProductQuery(Strict):
    code = serializers.CharField(required=False, max_length=60, help_text="the part number")
    archived = serializers.BooleanField(
        required=False, default=False, help_text="those that are archived instead of those in use"
    )


class Products(Nouns[Product]):
    """A part type. Its code is what an MES calls it; recipes are named after it."""

    noun = "products"
    model = Product
    serializer_class = ProductOut
    queries: ClassVar = {"list": ProductQuery}

    def get_queryset(self) -> Any:
        found = super().get_queryset().prefetch_related("viewpoints__product")
        if self.action == "list":  # by its address each is found, whether it is in use or not
            found = found.filter(archived_at__isnull=not self.query["archived"])
        code = self.query.get("code")
        return found.filter(code__iexact=code) if code else found

    @extend_schema(request=ProductIn, responses={201: ProductOut})
    def create(self, request: Request) -> Response:
        """A new product, with the viewpoint `main` and an empty dataset “Good parts”."""
        made = products.create_product(self.user, **self.asked(ProductIn))
        return self.tell(made, status.HTTP_201_CREATED)

    @extend_schema(request=ProductIn, parameters=[IF_MATCH])
    def partial_update(self, request: Request, pk: Any = None) -> Response:
        """Change some fields. With `If-Match` only what was read is changed."""
        product = self.get_object()
        wanted = self.asked(ProductIn, partial=True)
        with transaction.atomic():
            lock_row(product)
            product = self.get_object()
            self.check_match(product)
            products.edit_product(self.user, product, **wanted)
        return self.tell(self.get_object())

    @extend_schema(responses={204: None}, parameters=[IF_MATCH])
    def destroy(self, request: Request, pk: Any = None) -> Response:
        """Archive it: it leaves the lists; pictures, models and verdicts stay to be read, and
        nothing new is learned or judged for it."""
        product = self.get_object()
        with transaction.atomic():
            lock_row(product)
            self.check_match(self.get_object())
            products.archive_product(self.user, product, "through the API")
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=None, responses={200: ProductOut}, parameters=[IF_MATCH])
    @action(detail=True, methods=["post"])
    def restore(self, request: Request, pk: Any = None) -> Response:
        """Bring an archived product back to the lists, as it was."""
        product = self.get_object()
        with transaction.atomic():
            lock_row(product)
            self.check_match(self.get_object())
            products.restore_product(self.user, product)
        return self.tell(self.get_object())

    @extend_schema(request=ViewpointIn, responses={201: ViewpointOut})
    @action(detail=True, methods=["post"])
    def viewpoints(self, request: Request, pk: Any = None) -> Response:
        """Another side or camera of the product."""
        asked = self.asked(ViewpointIn)
        made = products.create_viewpoint(self.user, self.get_object(), **asked)
        return Response(ViewpointOut(made).data, status=status.HTTP_201_CREATED)
