"""Waiting for a verdict: woken by the push, by the row where Redis is away, and never for ever."""

import asyncio
import time
from contextlib import suppress
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.utils import timezone

from inspection.live import topics, waiting
from inspection.live.waiting import verdict_within
from inspection.models import Inspection, Verdict
from inspection.services.verdicts import tell
from tests.factories.inspection import InspectionFactory
from tests.factories.membership import MembershipFactory
from tests.factories.user import UserFactory
from tests.processes import EmbeddedRedis

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def part() -> Inspection:
    return InspectionFactory(waiting=True)


def judge(part: Inspection) -> None:
    now = timezone.now()
    Inspection.objects.filter(pk=part.pk).update(
        verdict=Verdict.ERROR, disposition="needs_review", completed_at=now
    )
    connection.close()  # this thread's own


async def after(seconds: float, call: Any, *args: Any) -> None:
    await asyncio.sleep(seconds)
    await sync_to_async(call)(*args)


async def again_and_again(call: Any, *args: Any) -> None:
    while True:
        await after(0.5, call, *args)


async def test_the_push_wakes_who_waits(part: Inspection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_with_verdict", lambda keys: [])  # the push alone
    monkeypatch.setattr(waiting, "LAYER_TIMEOUT_S", 20.0)
    telling = asyncio.create_task(again_and_again(tell, part.pk))  # who listens late hears it too
    began = time.monotonic()
    assert await verdict_within(part.pk, 30)
    assert time.monotonic() - began < 20
    telling.cancel()
    with suppress(asyncio.CancelledError):
        await telling


async def test_the_row_is_asked_where_redis_is_away(
    part: Inspection, redis_server: EmbeddedRedis | None
) -> None:
    if redis_server is None:
        pytest.skip("the Redis of TEST_REDIS_URL is not ours to stop")
    redis_server.stop()
    try:
        began = time.monotonic()
        found, _ = await asyncio.gather(verdict_within(part.pk, 30), after(0.5, judge, part))
        assert found
        assert time.monotonic() - began < 20
    finally:
        redis_server.start()


async def test_a_wait_ends_and_leaves_nothing_behind(part: Inspection) -> None:
    began = time.monotonic()
    assert not await verdict_within(part.pk, 0.6)
    assert 0.6 <= time.monotonic() - began < waiting.LONGEST_S / 2
    assert not waiting._Asker.here()._waiting


async def test_many_who_wait_are_one_query_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [await sync_to_async(InspectionFactory)(waiting=True) for _ in range(30)]
    asked: list[int] = []
    real = waiting._with_verdict

    def counted(keys: Any) -> Any:
        asked.append(len(keys))
        return real(keys)

    monkeypatch.setattr(waiting, "_with_verdict", counted)
    found = await asyncio.gather(*(verdict_within(part.pk, 1.0) for part in parts))
    assert found == [False] * 30
    assert len(asked) <= 5
    assert asked[0] == 30, "whoever asks first asks for all"


def test_who_does_not_see_the_product_hears_nothing(part: Inspection) -> None:
    member, stranger = UserFactory(), UserFactory()
    MembershipFactory(user=member, product=part.viewpoint.product)
    assert topics.may_listen(member, f"inspection:{part.pk}")
    assert not topics.may_listen(stranger, f"inspection:{part.pk}")
