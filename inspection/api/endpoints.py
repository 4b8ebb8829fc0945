"""Endpoints: where events go, and what became of each."""

from typing import Any, ClassVar

from django.db import transaction
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from inspection.models import Delivery, DeliveryAttempt, Endpoint, EventType
from inspection.services import delivery_log, endpoints
from inspection.services.locking import lock_row

from .base import Nouns
from .fields import Moment, Options, Strict, Table, Whole
from .narrow import OfProduct, of_product, product_named
from .schema import IF_MATCH

WEBHOOK = {
    "kind": "webhook",
    "name": "MES line 3",
    "address": "https://mes.plant.example/kintsugi",
    "event_types": ["inspection.completed", "review.recorded"],
    "product": "BOARD-A",
}

NIGHT = {
    "state": "given_up",
    "since": "2026-11-23T18:00:00Z",
    "until": "2026-11-24T06:00:00Z",
}

STANDING = {
    "word": "trouble",
    "waiting": 12,
    "given_up": 3,
    "oldest": "2026-11-23T18:04:11.512000Z",
}


class EndpointOut(serializers.ModelSerializer[Endpoint]):
    product = serializers.CharField(source="product.code", default=None, allow_null=True)
    event_types = serializers.ListField(child=serializers.CharField(), help_text="empty: all")
    options = Table()
    enabled = serializers.BooleanField()

    class Meta:
        model = Endpoint
        fields = (
            "id",
            "created_at",
            "kind",
            "name",
            "address",
            "product",
            "event_types",
            "options",
            "enabled",
            "disabled_at",
            "disabled_because",
            "connected_at",
            "last_error",
            "last_error_at",
        )


class EndpointMade(EndpointOut):
    """With the secret that the receiver verifies by: it is told only now."""

    secret = serializers.CharField(help_text="whsec_…; empty for brokers")

    class Meta(EndpointOut.Meta):
        fields = (*EndpointOut.Meta.fields, "secret")  # type: ignore[assignment]


class Changeable(Strict):
    name = serializers.CharField(max_length=80)
    address = serializers.CharField(max_length=500, help_text="https://…, amqps://…, mqtts://…")
    event_types = serializers.ListField(
        child=serializers.ChoiceField(EventType.values), required=False, help_text="empty: all"
    )
    options = Options(required=False, help_text="what the kind needs")
    secret = serializers.CharField(
        required=False, max_length=300, write_only=True, help_text="the password of a broker"
    )


class EndpointIn(Changeable):
    kind = serializers.ChoiceField(Endpoint.Kind.values)
    product = serializers.CharField(
        required=False, max_length=60, help_text="only what concerns it; else all: administrators"
    )


class EndpointQuery(OfProduct):
    kind = serializers.ChoiceField(Endpoint.Kind.values, required=False)


class RotateIn(Strict):
    overlap_hours = Whole(required=False, max_value=720, help_text="the old one signs so long")


class SecretOut(serializers.Serializer[Any]):
    secret = serializers.CharField(help_text="told only now")


class DisableIn(Strict):
    reason = serializers.CharField(required=False, max_length=300)


class AttemptOut(serializers.ModelSerializer[DeliveryAttempt]):
    class Meta:
        model = DeliveryAttempt
        fields = ("number", "created_at", "status_code", "duration_ms", "error", "answer")


class DeliveryOut(serializers.ModelSerializer[Delivery]):
    event_type = serializers.CharField(source="event.type")
    attempts = AttemptOut(many=True)

    class Meta:
        model = Delivery
        fields = (
            "id",
            "created_at",
            "event",
            "event_type",
            "sequence_key",
            "address",
            "state",
            "attempt",
            "next_attempt_at",
            "delivered_at",
            "attempts",
        )


class DeliveryWhole(DeliveryOut):
    payload = Table(source="event.payload", help_text="what is sent as `data`")

    class Meta(DeliveryOut.Meta):
        fields = (*DeliveryOut.Meta.fields, "payload")  # type: ignore[assignment]


class EndpointStanding(serializers.Serializer[Any]):
    word = serializers.ChoiceField(
        ["off", "trouble", "idle", "connected"], help_text="idle: no process delivers to it"
    )
    waiting = serializers.IntegerField(help_text="deliveries")
    given_up = serializers.IntegerField()
    oldest = serializers.DateTimeField(
        allow_null=True, help_text="since when the first of what waits does"
    )


class DeliveryQuery(Strict):
    state = serializers.ChoiceField(Delivery.State.values, required=False)
    type = serializers.ChoiceField(delivery_log.TYPES, required=False)
    about = serializers.CharField(
        required=False, max_length=120, help_text="the id of an event, or a serial number"
    )
    since = Moment(required=False, help_text="what happened from then on")
    until = Moment(required=False, help_text="what happened before then")


class ReplayIn(Strict):
    state = serializers.ChoiceField([state.value for state in endpoints.REPLAYED])
    since = Moment(help_text="what happened from then on")
    until = Moment(
        help_text="what happened before then, and was not sent once more since: not in the "
        "future. The same asked again sends nothing twice"
    )


class ReplayedOut(serializers.Serializer[Any]):
    replayed = serializers.IntegerField(
        help_text=f"how many are on their way again, at most {endpoints.MOST_REPLAYED} at once"
    )
    more = serializers.BooleanField(
        help_text="ask the same again to go on, once those have arrived: 409 until there is room"
    )


class Endpoints(Nouns[Endpoint]):
    """Where events go: a webhook, an IPC-CFX broker, an MQTT broker. Seen by who may change it."""

    noun = "webhooks"
    model = Endpoint
    serializer_class = EndpointOut
    passing: ClassVar = ("connected_at", "last_error", "last_error_at", "secret")
    queries: ClassVar = {"list": EndpointQuery, "deliveries": DeliveryQuery}

    def get_queryset(self) -> Any:
        rows = of_product(endpoints.visible(self.user), self.user, self.query, "product")
        if kind := self.query.get("kind"):
            rows = rows.filter(kind=kind)
        return rows

    @extend_schema(
        request=EndpointIn,
        responses={201: EndpointMade},
        examples=[OpenApiExample("Verdicts of one product", WEBHOOK, request_only=True)],
    )
    def create(self, request: Request) -> Response:
        """A new endpoint, on at once. The secret of a webhook is told only in this answer."""
        asked = self.asked(EndpointIn)
        if said := asked.pop("product", None):
            asked["product"] = product_named(self.user, said)
        made, secret = endpoints.create(self.user, **asked)
        return self._secret(made, secret, status.HTTP_201_CREATED)

    def _secret(self, endpoint: Endpoint, secret: str, code: int) -> Response:
        answer = Response({**EndpointOut(endpoint).data, "secret": secret}, status=code)
        answer["Cache-Control"] = "no-store"
        return answer

    @extend_schema(request=Changeable, parameters=[IF_MATCH])
    def partial_update(self, request: Request, pk: Any = None) -> Response:
        """Change some fields. What waits goes to the new address."""
        asked = self.asked(Changeable, partial=True)
        found = self.get_object()
        with transaction.atomic():
            lock_row(found)
            endpoint = self.get_object()
            self.check_match(endpoint)
            kept = ("name", "address", "event_types", "options")
            now = {name: getattr(endpoint, name) for name in kept}
            endpoints.edit(self.user, endpoint, **{**now, **asked})
        return self.tell(self.get_object())

    @extend_schema(responses={204: None}, parameters=[IF_MATCH])
    def destroy(self, request: Request, pk: Any = None) -> Response:
        """Remove it with its log and with what waits for it; with `If-Match` only as it was
        read."""
        endpoint = self.get_object()
        with transaction.atomic():
            lock_row(endpoint)
            endpoint = self.get_object()
            self.check_match(endpoint)
            endpoints.disable(self.user, endpoint, endpoints.DELETED)
        # Not in that transaction: it must be off for all to see before its log goes.
        endpoints.delete(self.user, endpoint)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=None, responses=EndpointOut)
    @action(detail=True, methods=["post"])
    def enable(self, request: Request, pk: Any = None) -> Response:
        """Deliver again, beginning with what waits."""
        endpoints.enable(self.user, self.get_object())
        return self.tell(self.get_object())

    @extend_schema(request=DisableIn, responses=EndpointOut)
    @action(detail=True, methods=["post"])
    def disable(self, request: Request, pk: Any = None) -> Response:
        """Deliver nothing more; what waits is kept, what happens meanwhile is not written."""
        endpoint, reason = self.get_object(), self.asked(DisableIn).get("reason", "")
        endpoints.disable(self.user, endpoint, reason)
        return self.tell(self.get_object())

    @extend_schema(request=RotateIn, responses=SecretOut)
    @action(detail=True, methods=["post"])
    def rotate_secret(self, request: Request, pk: Any = None) -> Response:
        """A new secret, told only now; the old one signs beside it for some hours more."""
        endpoint, asked = self.get_object(), self.asked(RotateIn)
        secret = endpoints.rotate_secret(self.user, endpoint, **asked)
        answer = Response({"secret": secret})
        answer["Cache-Control"] = "no-store"
        return answer

    @extend_schema(request=None, responses={201: DeliveryOut})
    @action(detail=True, methods=["post"])
    def test(self, request: Request, pk: Any = None) -> Response:
        """Send a signed event of type `endpoint.test`."""
        delivery = endpoints.send_test(self.user, self.get_object())
        return Response(DeliveryOut(delivery).data, status=status.HTTP_201_CREATED)

    @extend_schema(responses=DeliveryOut(many=True), filters=True)
    @action(detail=True)
    def deliveries(self, request: Request, pk: Any = None) -> Response:
        """What was sent and what waits, with every try, newest first."""
        rows = Delivery.objects.filter(endpoint=self.get_object())
        rows = delivery_log.narrowed(rows, **self.query)
        return self.page_of(rows.select_related("event").prefetch_related("attempts"), DeliveryOut)

    @extend_schema(
        responses=EndpointStanding, examples=[OpenApiExample("Its receiver is away", STANDING)]
    )
    @action(detail=True, pagination_class=None)
    def standing(self, request: Request, pk: Any = None) -> Response:
        """How it does, and how much waits."""
        (found,) = delivery_log.standings([self.get_object()])
        return Response(EndpointStanding(found).data)

    @extend_schema(responses=DeliveryWhole)
    @action(detail=True, url_path="deliveries/<uuid:delivery>", pagination_class=None)
    def delivery(self, request: Request, pk: Any = None, delivery: Any = None) -> Response:
        """One of them, with every try and what is sent."""
        return Response(DeliveryWhole(self._delivery(delivery)).data)

    @extend_schema(request=None, responses=DeliveryOut)
    @action(detail=True, methods=["post"], url_path="deliveries/<uuid:delivery>/replay")
    def replay(self, request: Request, pk: Any = None, delivery: Any = None) -> Response:
        """Deliver once more; the receiver knows it by the same id."""
        found = self._delivery(delivery)
        endpoints.replay(self.user, found)
        return Response(DeliveryOut(found).data)

    @extend_schema(request=None, responses=DeliveryOut)
    @action(detail=True, methods=["post"], url_path="deliveries/<uuid:delivery>/now")
    def now(self, request: Request, pk: Any = None, delivery: Any = None) -> Response:
        """Try what waits now instead of at its next try."""
        found = self._delivery(delivery)
        endpoints.try_now(self.user, found)
        return Response(DeliveryOut(found).data)

    def _delivery(self, key: Any) -> Delivery:
        rows = Delivery.objects.filter(endpoint=self.get_object())
        return get_object_or_404(rows.select_related("endpoint__product", "event"), pk=key)

    @extend_schema(
        request=ReplayIn,
        responses=ReplayedOut,
        examples=[
            OpenApiExample("What was given up in a night", NIGHT, request_only=True),
            OpenApiExample("All of it", {"replayed": 312, "more": False}, response_only=True),
        ],
    )
    @action(detail=True, methods=["post"], url_path="deliveries/replay", pagination_class=None)
    def replay_many(self, request: Request, pk: Any = None) -> Response:
        """Deliver everything of a time once more, the oldest first, each under its id."""
        count, more = endpoints.replay_many(self.user, self.get_object(), **self.asked(ReplayIn))
        return Response({"replayed": count, "more": more})
