"""Notifications: what the bell in the frame of the pages tells one."""

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from inspection.models import Notification
from inspection.services import notifications

from .base import Nouns
from .fields import Strict

MOST_AT_ONCE = 500


class NotificationOut(serializers.ModelSerializer[Notification]):
    class Meta:
        model = Notification
        fields = ("id", "created_at", "kind", "title", "text", "url", "read_at")


class NotificationQuery(Strict):
    unread = serializers.BooleanField(required=False, allow_null=True, default=None)


class ReadIn(Strict):
    ids = serializers.ListField(
        child=serializers.UUIDField(),
        required=False,
        max_length=MOST_AT_ONCE,
        help_text="of one's own; without it, all",
    )


class ReadOut(serializers.Serializer[Any]):
    marked = serializers.IntegerField(help_text="how many were unread until now")


class Notifications(Nouns[Notification]):
    """What the owner of the key should know of, in their language. Nobody reads another's."""

    noun = "notifications"
    model = Notification
    serializer_class = NotificationOut
    queries: ClassVar = {"list": NotificationQuery}

    def get_queryset(self) -> Any:
        rows = notifications.notifications_of(self.user)
        unread = self.query.get("unread")
        return rows if unread is None else rows.filter(read_at__isnull=unread)

    @extend_schema(request=ReadIn, responses=ReadOut)
    @action(detail=False, methods=["post"])
    def read(self, request: Request) -> Response:
        """Mark some, or all, as read. What is another's, or gone, is passed over."""
        marked = notifications.mark_read(self.user, self.asked(ReadIn).get("ids"))
        return Response({"marked": marked})
