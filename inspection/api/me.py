"""Who asks, and where everything is."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from inspection import policies
from inspection.models import SCOPES, ApiKey, Membership, Role

from .base import Base

LINKS = {"type": "object", "additionalProperties": {"type": "string", "format": "uri"}}


class RoleOut(serializers.Serializer[Any]):
    product = serializers.CharField(allow_null=True, help_text="part number; null: all products")
    role = serializers.ChoiceField(Role.values)


class KeyOut(serializers.Serializer[Any]):
    name = serializers.CharField()
    prefix = serializers.CharField()
    expires_at = serializers.DateTimeField(allow_null=True)


class MeOut(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    username = serializers.CharField()
    name = serializers.CharField()
    roles = RoleOut(many=True)
    scopes = serializers.ListField(child=serializers.CharField())
    key = KeyOut(allow_null=True, help_text="null: a browser's session")


class Me(Base):
    """Who a key belongs to, and what it may do."""

    tag = "me"

    @extend_schema(responses=MeOut)
    def get(self, request: Request) -> Response:
        """Who I am: roles by product, and the scopes of this key."""
        user, key = self.user, request.auth if isinstance(request.auth, ApiKey) else None
        return Response(
            {
                "id": user.pk,
                "username": user.get_username(),
                "name": user.get_full_name(),
                "roles": self._roles(),
                "scopes": sorted(key.scopes if key else SCOPES),
                "key": KeyOut(key).data if key else None,
            }
        )

    def _roles(self) -> list[dict[str, Any]]:
        if self.user.is_superuser:
            return [{"product": None, "role": policies.ADMINISTER}]
        mine = Membership.objects.filter(user=self.user).select_related("product")
        return [
            {"product": one.product.code if one.product else None, "role": one.role}
            for one in mine.order_by("product__code")
        ]


# What has an address and no list of rows.
ALONE = ("uploads", "me", "kpis", "agreement", "jobs", "inspections.csv", "openapi.json")


class Index(Base):
    """Links to every noun."""

    tag = "me"

    @extend_schema(responses={200: LINKS})
    def get(self, request: Request) -> Response:
        """Where everything is."""
        from .urls import LISTS

        here = request.build_absolute_uri("/api/v1/")
        return Response({name: f"{here}{name}" for name in (*LISTS, *ALONE)})
