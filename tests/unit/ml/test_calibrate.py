"""Which normals the calibration stage looks at, and for what."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from ml.methods import METHODS
from ml.train.calibrate import (
    RESTORED_NORMALS,
    SYNTHETIC,
    picture_count,
    reference_ids,
    restored_ids,
)


def context(train: int, held_out: int, method: str = "fused") -> Any:
    state = SimpleNamespace(
        train=[f"train-{i}" for i in range(train)],
        held_out=[f"held-{i}" for i in range(held_out)],
        calibration=[f"cal-{i}" for i in range(43)],
    )
    return SimpleNamespace(state=state, method=METHODS[method])


@pytest.mark.parametrize("train", [1, 30, RESTORED_NORMALS, RESTORED_NORMALS + 1, 144, 5_000])
def test_training_normals_serve_the_statistics_evenly_and_not_too_many(train: int) -> None:
    found = restored_ids(context(train, 26))
    assert min(train, RESTORED_NORMALS // 2) <= len(found) <= RESTORED_NORMALS
    places = [int(id_.removeprefix("train-")) for id_ in found]  # none held out, none calibrated
    steps = {after - before for before, after in pairwise(places)}
    assert len(steps) <= 1
    assert max(places) + max(steps, default=1) >= train  # to the last of them


def test_where_training_normals_must_choose_they_are_not_looked_at_twice() -> None:
    here = context(100, 0)
    found = restored_ids(here)
    assert found
    assert not set(found) & set(reference_ids(here))
    assert len(set(found)) == len(found)


def test_a_memory_alone_restores_nothing() -> None:
    here = context(144, 26, "memory")
    assert restored_ids(here) == []
    assert picture_count(here) == 26 + SYNTHETIC + 43


def test_the_time_plan_knows_of_them() -> None:
    here = context(144, 26)
    assert picture_count(here) == 26 + SYNTHETIC + 43 + len(restored_ids(here))
