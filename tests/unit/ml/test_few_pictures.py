"""Sets as small as they are: learnt from, calibrated by what they promise, never by themselves."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ml.data.letterbox import Letterbox
from ml.data.synthetic import KINDS
from ml.scoring import Scorer
from ml.scoring.choose import damage
from ml.scoring.evidence import Engine
from ml.scoring.normalise import Statistics
from ml.train import splits
from ml.train.job import Refused
from tests.unit.ml.conftest import run_job, write_job

Capture = pytest.CaptureFixture[str]
Parts = list[dict[str, str]]


@pytest.mark.parametrize(("usable", "calibration"), [(5, 1), (12, 4), (59, 19), (60, 20), (99, 33)])
def test_a_third_of_few_pictures_calibrates(usable: int, calibration: int) -> None:
    ids = [str(n) for n in range(usable)]
    split = splits.draw(ids, 1, few=True)
    assert (len(split.calibration), len(split.train)) == (calibration, usable - calibration)
    assert not split.held_out
    assert sorted([*split.train, *split.calibration]) == sorted(ids)
    if usable < 60:
        with pytest.raises(Refused, match=f"{60 - usable} more"):
            splits.draw(ids, 1)
    else:
        assert len(splits.draw(ids, 1).calibration) == 40, "what a plant is promised"


def test_no_picture_more_makes_the_training_set_much_smaller() -> None:
    learned = [
        len(splits.draw([str(n) for n in range(u)], 1, few=True).train) for u in range(5, 300)
    ]
    assert all(b >= a - 12 for a, b in itertools.pairwise(learned)), "12 are held out from 100 on"


def test_four_are_too_few_for_anything() -> None:
    with pytest.raises(Refused, match="add 1 more"):
        splits.draw(["1", "2", "3", "4"], 1, few=True)


def test_enough_pictures_are_split_as_ever() -> None:
    ids = [str(n) for n in range(120)]
    assert splits.draw(ids, 1, few=True) == splits.draw(ids, 1)


@pytest.mark.parametrize("method", ["fused", "paper"])
def test_five_pictures_make_a_model(
    tmp_path: Path, parts: Parts, capsys: Capture, method: str
) -> None:
    job = write_job(tmp_path, parts[:5], few=True, method=method)
    status, events = run_job(job, capsys)
    assert status == 0
    warned = [e["message"] for e in events if e["event"] == "log" and e["level"] == "warning"]
    assert any("There are 5 usable pictures" in sentence for sentence in warned)
    scorer = Scorer.load(tmp_path / "out" / "model", device="cpu")
    assert scorer.manifest["calibration"]["alpha_min"] == 0.5
    found = scorer.score_one(Image.open(parts[6]["path"]))
    assert np.isfinite(found.score)
    assert np.isfinite(found.map).all()


def test_a_remembered_picture_is_no_witness_of_its_own(
    tmp_path: Path, parts: Parts, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where none is held out the statistics are made of pictures that the memory holds."""
    left_out: list[int | None] = []
    look = Engine.evidence

    def spy(self: Engine, image: Any, large: Any = None, leave_out: int | None = None) -> Any:
        left_out.append(leave_out)
        return look(self, image, large, leave_out)

    monkeypatch.setattr(Engine, "evidence", spy)
    job = write_job(tmp_path, parts[:12], few=True, steps=4)
    assert run_job(job, capsys)[0] == 0
    looked = left_out[2:]  # the first two are timed before there is a memory
    assert looked[:8] == list(range(8))
    assert looked[8 : 8 + 45] == [n % 8 for n in range(45)], "nor what is made from it"
    assert set(looked[8 + 45 :]) == {None}, "calibration pictures are not remembered"


def test_as_many_views_are_tried_as_the_plan_says(
    tmp_path: Path, parts: Parts, capsys: Capture
) -> None:
    """So that a second seed chooses among what the first, which was timed, could choose among."""
    plan = {"pretrain": 4, "inpaint": 4, "views": 2}
    job = write_job(tmp_path, parts[:12], few=True, steps=None, plan=plan)
    assert run_job(job, capsys)[0] == 0
    note = json.loads((tmp_path / "out" / "memory.json").read_text())
    assert len(note["candidates"]) == 2
    assert json.loads((tmp_path / "out" / "state.json").read_text())["planned"] == plan


@pytest.mark.parametrize(("width", "height"), [(230, 630), (1000, 500), (500, 60), (400, 400)])
def test_synthetic_defects_lie_on_the_part_and_not_beside_it(width: int, height: int) -> None:
    size = 128
    box = Letterbox.of(width, height, size)
    noise = torch.rand(3, size, size, generator=torch.Generator().manual_seed(1))
    images = [noise] * 45
    for (changed, kind), _ in zip(damage(images, 1, [box] * 45), images, strict=True):
        assert kind in KINDS
        different = (changed - noise).abs().amax(0) > 0.005
        assert int(different.sum()) >= 6, kind
        inside = box.crop(different)
        assert int(inside.sum()) == int(different.sum()), "something beside the part changed"
    assert torch.equal(images[0], noise)


def test_few_pictures_of_which_some_are_left_out_are_drawn_anew_where_too_few_learn() -> None:
    split = splits.draw([str(n) for n in range(6)], 1, few=True)
    assert len(split.train) == 4
    assert splits.without(split, {split.train[0]}, few=True) is None
    split = splits.draw([str(n) for n in range(15)], 1, few=True)
    kept = splits.without(split, set(split.train[:2]), few=True)
    assert kept is not None
    assert len(kept.train) == len(split.train) - 2


def test_remembered_normals_that_choose_are_counted_once(
    tmp_path: Path, parts: Parts, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[int] = []
    of = Statistics.of

    def spy(maps: list[torch.Tensor]) -> Statistics:
        counted.append(len(maps))
        return of(maps)

    monkeypatch.setattr(Statistics, "of", spy)
    job = write_job(tmp_path, parts[:12], few=True, steps=4, method="memory")
    assert run_job(job, capsys)[0] == 0
    assert counted[-1] == 8, "eight learnt, four calibrate"
