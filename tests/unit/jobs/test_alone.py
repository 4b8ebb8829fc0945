"""A second look into watched folders does not take the reaper's place."""

import pytest

from inspection import tasks
from inspection.jobs.alone import alone
from inspection.services import intake_looks


def test_one_at_a_time() -> None:
    with alone("a") as first, alone("a") as second, alone("b") as other:
        assert (first, second, other) == (True, False, True)
    with alone("a") as again:
        assert again


def test_a_look_that_finds_another_at_it_leaves_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []

    def look() -> None:
        looks.append(1)
        tasks.look_into_folders()

    monkeypatch.setattr(intake_looks, "look_into_all", look)
    tasks.look_into_folders()
    assert looks == [1]
    tasks.look_into_folders()
    assert looks == [1, 1]
