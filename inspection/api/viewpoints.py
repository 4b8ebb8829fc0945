"""Viewpoints: where parts are restored and judged, and what a good part may do."""

from typing import Any, ClassVar

from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from inspection.models import Symmetry, Viewpoint
from inspection.services import viewpoints
from inspection.services.locking import lock_row

from .base import Nouns
from .fields import Number, Strict
from .narrow import OfProduct, of_product
from .products import ViewpointOut
from .schema import IF_MATCH


class Zone(Strict):
    """Fractions of the picture."""

    x = Number(min_value=0, max_value=1)
    y = Number(min_value=0, max_value=1)
    width = Number(min_value=0, max_value=1)
    height = Number(min_value=0, max_value=1)


class ViewpointChange(Strict):
    repair_zones = Zone(
        many=True, required=False, help_text="where parts are judged; none: everywhere"
    )
    symmetries = serializers.ListField(
        child=serializers.ChoiceField(Symmetry.values), required=False
    )


class Viewpoints(Nouns[Viewpoint]):
    """One side or camera of a product; what is learned and decided belongs to it."""

    noun = "products"
    model = Viewpoint
    serializer_class = ViewpointOut
    queries: ClassVar = {"list": OfProduct}

    def get_queryset(self) -> Any:
        return of_product(super().get_queryset(), self.user, self.query, "product")

    @extend_schema(request=ViewpointChange, parameters=[IF_MATCH])
    def partial_update(self, request: Request, pk: Any = None) -> Response:
        """Change zones and symmetries for later runs; models that are there stay as they are."""
        found, asked = self.get_object(), self.asked(ViewpointChange)
        with transaction.atomic():
            lock_row(found)
            viewpoint = self.get_object()
            self.check_match(viewpoint)
            if "repair_zones" in asked:
                viewpoints.set_repair_zones(self.user, viewpoint, asked["repair_zones"])
            if "symmetries" in asked:
                viewpoints.set_symmetries(self.user, viewpoint, asked["symmetries"])
        return self.tell(self.get_object())
