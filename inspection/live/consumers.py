"""`/ws/live/`: one socket per page. It says "look"; what is true stands in the rows."""

import json
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer

from . import topics
from .push import group_name, user_topic

LOCKED = "locked"  # of a session: inspection.web.station
MAX_TOPICS = 20
MAX_MESSAGE = 4096
SIGN_IN, TOO_MUCH, COME_BACK = 4401, 4400, 4409  # why the server hung up


class LiveConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # channels is untyped
    """Takes `{"subscribe": [topic, …]}`, answers `{"subscribed": […], "refused": […]}`."""

    async def connect(self) -> None:
        self.subscribed: set[str] = set()
        self.sees_all = False
        self.known_jobs: dict[str, bool] = {}
        self.own_group = ""
        self.user = self.scope.get("user")
        await self.accept()
        if self.user is None or not self.user.is_authenticated or await self._locked():
            await self.close(SIGN_IN)
            return
        self.own_group = group_name(user_topic(self.user.pk))
        await self.channel_layer.group_add(self.own_group, self.channel_name)
        self.sees_all = await database_sync_to_async(topics.sees_everything)(self.user)

    @database_sync_to_async  # type: ignore[untyped-decorator]
    def _locked(self) -> bool:
        """A shared station at which nobody is shows nothing of what goes on either."""
        session = self.scope.get("session")
        return bool(session and session.get(LOCKED))

    async def disconnect(self, code: int) -> None:
        for topic in self.subscribed:
            await self.channel_layer.group_discard(group_name(topic), self.channel_name)
        if self.own_group:
            await self.channel_layer.group_discard(self.own_group, self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        wanted = _wanted(text_data)
        if wanted is None or self.user is None or not self.user.is_authenticated:
            await self.close(TOO_MUCH)
            return
        answer: dict[str, list[str]] = {"subscribed": [], "refused": []}
        for topic in wanted:
            taken = await self._subscribe(topic)
            answer["subscribed" if taken else "refused"].append(topic)
        await self.send(json.dumps(answer))

    async def _subscribe(self, topic: str) -> bool:
        if len(self.subscribed) >= MAX_TOPICS and topic not in self.subscribed:
            return False
        if not await database_sync_to_async(topics.may_listen)(self.user, topic):
            return False
        if topic not in self.subscribed:
            await self.channel_layer.group_add(group_name(topic), self.channel_name)
            self.subscribed.add(topic)
        return True

    async def live_push(self, message: dict[str, Any]) -> None:
        """Called by the channel layer for every push to a group of ours."""
        if self.sees_all or await self._may_hear(message["text"]):
            await self.send(message["text"])

    async def live_leave(self, message: dict[str, Any]) -> None:
        """This user's rights changed: what was allowed a minute ago may not be now."""
        await self.close(COME_BACK)

    async def _may_hear(self, text: str) -> bool:
        push = json.loads(text)
        if push.get("topic") != topics.JOBS:
            return True  # authorised when it was subscribed to
        key = str(push.get("id", ""))
        if key not in self.known_jobs:
            ask = database_sync_to_async(topics.may_see_job)
            self.known_jobs[key] = await ask(self.user, str(push.get("kind", "")), key)
        return self.known_jobs[key]


def _wanted(text: str | None) -> list[str] | None:
    """The topics asked for; None for anything that our own pages never send."""
    if text is None or len(text) > MAX_MESSAGE:
        return None
    try:
        message = json.loads(text)
    except ValueError:
        return None
    wanted = message.get("subscribe") if isinstance(message, dict) else None
    if not isinstance(wanted, list) or not all(isinstance(topic, str) for topic in wanted):
        return None
    return wanted[:MAX_TOPICS]
