"""What a browser is told as it happens. The row is written first; a push only says "look".

A topic is `run:<id>`, `batch:<id>`, `upload:<id>`, `jobs`, or `me` (one user's own). A push that
fails is logged and forgotten: the page asks the row again when it reconnects.
"""

import asyncio
import logging
from functools import partial
from typing import Any
from uuid import UUID

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction

log = logging.getLogger(__name__)

MESSAGE_TYPE = "live.push"  # the consumer's handler is live_push(message)
LEAVE_TYPE = "live.leave"
OWN_TOPIC = "me"
SEND_TIMEOUT_S = 3.0
_encoder = DjangoJSONEncoder()


def group_name(topic: str) -> str:
    """The channel-layer group of a topic (group names may not hold a colon)."""
    return topic.replace(":", ".")


def push(topic: str, type: str, **payload: Any) -> None:
    """Tell who watches `topic`, once the running transaction is committed.

    The consumer gets `{"type": "live.push", "text": <JSON object with topic, type, payload>}`
    and sends `text` on as it is.
    """
    text = _encoder.encode({"topic": topic, "type": type, **payload})
    transaction.on_commit(partial(_send, topic, text), robust=True)


def push_to(user_id: UUID, type: str, **payload: Any) -> None:
    """Tell every open page of one user; it comes on the topic `me`, which needs no subscribing."""
    text = _encoder.encode({"topic": OWN_TOPIC, "type": type, **payload})
    transaction.on_commit(partial(_send, user_topic(user_id), text), robust=True)


def hang_up(user_id: UUID) -> None:
    """Close the sockets of a user whose rights changed; their pages connect, and ask, anew."""
    transaction.on_commit(partial(_send, user_topic(user_id), "", LEAVE_TYPE), robust=True)


def user_topic(user_id: UUID) -> str:
    """No page can subscribe to it: the consumer joins it by itself."""
    return f"user:{user_id}"


def _send(topic: str, text: str, type: str = MESSAGE_TYPE) -> None:
    try:
        async_to_sync(_group_send)(group_name(topic), {"type": type, "text": text})
    except Exception as error:  # a Redis that is down must not fail the work itself
        log.warning("could not push to %s: %s", topic, error)


async def _group_send(group: str, message: dict[str, Any]) -> None:
    layer = get_channel_layer()
    await asyncio.wait_for(layer.group_send(group, message), SEND_TIMEOUT_S)
