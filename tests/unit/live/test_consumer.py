"""The live channel: who may listen to what, and what they hear."""

import json
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.contrib.auth.models import AnonymousUser
from django.test import Client

from inspection.live.consumers import LiveConsumer
from inspection.live.push import push
from inspection.models import Role, User
from inspection.services import users
from inspection.web import station
from tests.factories.membership import MembershipFactory
from tests.factories.training_run import TrainingRunFactory
from tests.factories.user import UserFactory

pytestmark = pytest.mark.django_db(transaction=True)
make = sync_to_async


class Socket(ApplicationCommunicator):
    """The browser's end of the channel, without a browser."""

    def __init__(self, user: Any, session: dict[str, Any] | None = None) -> None:
        scope = {"type": "websocket", "path": "/ws/live/", "user": user, "headers": []}
        scope["session"] = session or {}
        super().__init__(LiveConsumer.as_asgi(), scope)

    async def say(self, text: str) -> None:
        await self.send_input({"type": "websocket.receive", "text": text})

    async def hear(self) -> dict[str, Any]:
        output = await self.receive_output(timeout=30)
        assert output["type"] == "websocket.send", output
        heard: dict[str, Any] = json.loads(output["text"])
        return heard

    async def hang_up(self) -> None:
        await self.send_input({"type": "websocket.disconnect", "code": 1000})
        await self.wait(timeout=30)


async def connect(user: Any, session: dict[str, Any] | None = None) -> Socket:
    socket = Socket(user, session)
    await socket.send_input({"type": "websocket.connect"})
    assert (await socket.receive_output(timeout=30))["type"] == "websocket.accept"
    return socket


async def ask(socket: Socket, *topics: str) -> dict[str, Any]:
    await socket.say(json.dumps({"subscribe": topics}))
    return await socket.hear()


async def test_who_is_not_signed_in_is_sent_away() -> None:
    socket = await connect(AnonymousUser())
    closed = await socket.receive_output(timeout=30)
    assert (closed["type"], closed["code"]) == ("websocket.close", 4401)


async def test_a_locked_station_hears_nothing() -> None:
    member = await make(MembershipFactory)()
    socket = await connect(member.user, {station.LOCKED: True})
    closed = await socket.receive_output(timeout=30)
    assert (closed["type"], closed["code"]) == ("websocket.close", 4401)


async def test_a_station_that_is_locked_hangs_up(client: Client) -> None:
    member = await make(MembershipFactory)(role="inspector")
    socket = await connect(member.user)
    assert (await ask(socket, "jobs"))["subscribed"] == ["jobs"]
    await make(client.force_login)(member.user)
    assert (await make(client.post)("/lock/")).status_code == 302
    closed = await socket.receive_output(timeout=30)
    assert (closed["type"], closed["code"]) == ("websocket.close", 4409)


async def test_a_member_hears_of_their_run_and_of_no_other() -> None:
    run = await make(TrainingRunFactory)()
    other = await make(TrainingRunFactory)()
    member = await make(MembershipFactory)(product=run.viewpoint.product)
    socket = await connect(member.user)
    wanted = [f"run:{run.pk}", f"run:{other.pk}", "run:nonsense", "users", "jobs"]
    answer = await ask(socket, *wanted)
    assert answer["subscribed"] == [f"run:{run.pk}", "jobs"]
    assert answer["refused"] == [f"run:{other.pk}", "run:nonsense", "users"]
    await make(push)(f"run:{other.pk}", "state", state="done")
    await make(push)(f"run:{run.pk}", "state", state="failed")
    heard = await socket.hear()
    assert heard == {"topic": f"run:{run.pk}", "type": "state", "state": "failed"}
    await socket.hang_up()


async def test_jobs_of_other_products_are_not_told() -> None:
    mine = await make(TrainingRunFactory)()
    other = await make(TrainingRunFactory)()
    member = await make(MembershipFactory)(product=mine.viewpoint.product)
    socket = await connect(member.user)
    await ask(socket, "jobs")
    for run in (other, mine):
        await make(push)("jobs", "jobs", id=str(run.pk), kind="training", state="running")
    heard = await socket.hear()
    assert heard["id"] == str(mine.pk)
    assert await socket.receive_nothing(timeout=0.3)
    await socket.hang_up()


async def test_who_sees_all_products_hears_of_all_jobs() -> None:
    run = await make(TrainingRunFactory)()
    user = await make(UserFactory)(role=Role.VIEWER)
    socket = await connect(user)
    await ask(socket, "jobs")
    await make(push)("jobs", "jobs", id=str(run.pk), kind="training", state="running")
    assert (await socket.hear())["id"] == str(run.pk)
    await socket.hang_up()


async def test_a_disabled_user_can_subscribe_to_nothing() -> None:
    user = await make(UserFactory)(role=Role.ADMINISTRATOR)
    socket = await connect(user)
    await User.objects.filter(pk=user.pk).aupdate(is_active=False)
    assert (await ask(socket, "jobs"))["refused"] == ["jobs"]
    await socket.hang_up()


async def test_who_is_disabled_hears_nothing_more() -> None:
    run = await make(TrainingRunFactory)()
    user = await make(UserFactory)(role=Role.VIEWER)
    socket = await connect(user)
    await ask(socket, f"run:{run.pk}")
    await make(users.disable_user)(None, user)
    closed = await socket.receive_output(timeout=30)
    assert closed["type"] == "websocket.close"


@pytest.mark.parametrize(
    "text", ["not json", "[]", '{"subscribe": "jobs"}', '{"a": 1}', "x" * 5000]
)
async def test_what_no_page_of_ours_sends_ends_the_talk(text: str) -> None:
    user = await make(UserFactory)(role=Role.VIEWER)
    socket = await connect(user)
    await socket.say(text)
    closed = await socket.receive_output(timeout=30)
    assert closed["type"] == "websocket.close"
