"""Users and what they may do, for administrators."""

from typing import Any, ClassVar

from django.db import transaction
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from inspection import policies
from inspection.models import Membership, Role, User
from inspection.services import users

from .base import Nouns
from .fields import Strict
from .me import RoleOut
from .narrow import OfProduct, of_product, product_named
from .schema import IF_MATCH


class UserOut(serializers.ModelSerializer[User]):
    """Never a password, nor the hash of one."""

    name = serializers.CharField(source="get_full_name")
    enabled = serializers.BooleanField(source="is_active")
    everything = serializers.BooleanField(
        source="is_superuser", help_text="administrator by the server's own commands"
    )
    must_change_password = serializers.BooleanField(help_text="theirs is a one-time password still")
    roles = serializers.SerializerMethodField()

    class Meta:
        model = User
        fields = (
            "id",
            "date_joined",
            "username",
            "name",
            "badge",
            "language",
            "enabled",
            "everything",
            "must_change_password",
            "last_login",
            "roles",
        )

    @extend_schema_field(RoleOut(many=True))
    def get_roles(self, user: User) -> list[dict[str, Any]]:
        held = [(one.product.code if one.product else None, one.role) for one in _roles(user)]
        return [{"product": product, "role": role} for product, role in held]


class UserIn(Strict):
    username = serializers.CharField(max_length=150)
    name = serializers.CharField(required=False, max_length=200, help_text="in full")
    role = serializers.ChoiceField(Role.values, required=False, help_text="without one: none yet")
    product = serializers.CharField(
        required=False, max_length=60, help_text="that the role is for; without it: all products"
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "product" in attrs and "role" not in attrs:
            raise serializers.ValidationError({"role": ["Say which role for the product."]})
        return attrs


class UserQuery(Strict):
    username = serializers.CharField(required=False, max_length=150)
    enabled = serializers.BooleanField(required=False, allow_null=True, default=None)


class Users(Nouns[User]):
    """Who may sign in. Administrators of everything only."""

    noun = "users"
    model = User
    serializer_class = UserOut
    queries: ClassVar = {"list": UserQuery}

    def get_queryset(self) -> Any:
        rows = users.readable(self.user)
        if name := self.query.get("username"):
            rows = rows.filter(username__iexact=name)
        on = self.query.get("enabled")
        rows = rows if on is None else rows.filter(is_active=on)
        return rows.prefetch_related("memberships__product")

    @extend_schema(request=UserIn, responses={201: UserOut})
    def create(self, request: Request) -> Response:
        """A new user. The one-time password is random and told nobody here: an administrator
        shows one in Settings, Users (“New one-time password”) to hand it over."""
        asked = self.asked(UserIn)
        if said := asked.pop("product", None):
            asked["product"] = product_named(self.user, said)
        asked["full_name"] = asked.pop("name", "")
        made = users.create_user(self.user, **asked)[0]
        return self.tell(made, status.HTTP_201_CREATED)

    @extend_schema(request=None, responses=UserOut)
    @action(detail=True, methods=["post"])
    def disable(self, request: Request, pk: Any = None) -> Response:
        """Nobody signs in as them any more, who is signed in is out at once, and their keys open
        nothing. The last administrator stays."""
        users.disable_user(self.user, self.get_object())
        return self.tell(self.get_object())

    @extend_schema(request=None, responses=UserOut)
    @action(detail=True, methods=["post"])
    def enable(self, request: Request, pk: Any = None) -> Response:
        """Let them sign in again, with the password that they had."""
        users.enable_user(self.user, self.get_object())
        return self.tell(self.get_object())


class MembershipOut(serializers.ModelSerializer[Membership]):
    username = serializers.CharField(source="user.username")
    name = serializers.CharField(source="user.get_full_name")
    product = serializers.CharField(
        source="product.code", default=None, allow_null=True, help_text="null: all products"
    )
    role = serializers.ChoiceField(Role.values)

    class Meta:
        model = Membership
        fields = ("id", "created_at", "user", "username", "name", "product", "role")


class MembershipIn(Strict):
    username = serializers.CharField(max_length=150)
    product = serializers.CharField(
        required=False, max_length=60, help_text="part number, or its id; without it: all products"
    )
    role = serializers.ChoiceField(Role.values)


class MembershipChange(Strict):
    role = serializers.ChoiceField(Role.values)


class MembershipQuery(OfProduct):
    username = serializers.CharField(required=False, max_length=150)


class Memberships(Nouns[Membership]):
    """Who has which role, for one product or for all. Administrators of everything see and change
    everything; those of a product its people, and they see who has a role for all."""

    noun = "users"
    model = Membership
    serializer_class = MembershipOut
    queries: ClassVar = {"list": MembershipQuery}

    def get_queryset(self) -> Any:
        rows = users.readable_memberships(self.user)
        if name := self.query.get("username"):
            rows = rows.filter(user__username__iexact=name)
        return of_product(rows, self.user, self.query, "product")

    @extend_schema(
        request=MembershipIn,
        responses={
            201: MembershipOut,
            200: OpenApiResponse(MembershipOut, "They had another role there, or this one"),
        },
    )
    def create(self, request: Request) -> Response:
        """Give somebody a role; they have one for each product, and one for all, at most."""
        asked = self.asked(MembershipIn)
        said = asked.get("product")
        product = product_named(self.user, said) if said else None
        policies.check(self.user, policies.ADMINISTER, product)  # before names are told apart
        who = users.named(asked["username"])
        with transaction.atomic():
            users.hold(who)
            there = who.memberships.filter(product=product).exists()
            users.set_role(self.user, who, asked["role"], product)
            made = who.memberships.select_related("user", "product").get(product=product)
        return self.tell(made, status.HTTP_200_OK if there else status.HTTP_201_CREATED)

    @extend_schema(request=MembershipChange, parameters=[IF_MATCH])
    def partial_update(self, request: Request, pk: Any = None) -> Response:
        """Another role. The last administrator stays one."""
        held = self._set(self.asked(MembershipChange)["role"])
        # Not by `get_object`: who has just given up a role of their own may not read it any more.
        rows = Membership.objects.select_related("user", "product")
        return self.tell(rows.get(pk=held.pk))

    @extend_schema(responses={204: None}, parameters=[IF_MATCH])
    def destroy(self, request: Request, pk: Any = None) -> Response:
        """Take the role away. Whoever has none sees nothing."""
        self._set(None)
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _set(self, role: str | None) -> Membership:
        found = self.get_object()
        with transaction.atomic():
            users.hold(found.user)
            held: Membership = self.get_object()
            self.check_match(held)
            users.set_role(self.user, held.user, role, held.product)
        return held


def _roles(user: User) -> list[Membership]:
    """In an order of their own, so that the ETag stays the same."""
    return sorted(user.memberships.all(), key=lambda one: one.product.code if one.product else "")
