"""A bench from pictures to table: rows, skipping, failing, going on after a kill."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ml.__main__ import main
from ml.bench import measure, run
from ml.bench.dataset import read_set
from ml.bench.rows import SCORING, locked
from ml.bench.run import run_of
from ml.bench.training import TrainingFailed
from ml.data.assemblies import generate
from ml.data.pictures import open_picture
from ml.scoring import Scorer

# Trainings in processes of their own, on cores that others may use too.
pytestmark = pytest.mark.timeout(600)

Capture = pytest.CaptureFixture[str]
ROOT = Path(__file__).parents[3]
KEYS = {
    "dataset", "method", "seed", "recall_at_tnr60", "tnr", "auc", "recall_calibrated",
    "pixel_auroc", "aupro", "train_seconds", "images_per_second", "parameters", "n_normals",
    "n_defects", "tp", "tn", "steps", "budget_minutes", "preset", "backbone", "auc_by_kind",
    "recall_calibrated_by_kind", "tnr_calibrated", "auc_interval",
}  # fmt: skip


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """62 normals to learn from; 8 normals and 8 kinds of defect to test with."""
    return generate(
        tmp_path_factory.mktemp("sets") / "demo", train=62, good=8, per_kind=1, size=128
    )


def options(data: Path, table: Path, methods: str, *, steps: int = 4) -> list[str]:
    return ["bench", "--data", str(data), "--methods", methods, "--preset", "tiny", "--steps",
            str(steps), "--json", str(table), "--threads", "1", "--device", "cpu",
            "--weights", "none"]  # fmt: skip


def told(capsys: Capture) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def rows_of(table: Path) -> dict[str, dict[str, Any]]:
    return {row["method"]: row for row in json.loads(table.read_text())["rows"]}


@pytest.fixture(scope="module")
def table(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table of two methods, measured once."""
    folder = tmp_path_factory.mktemp("bench")
    path = folder / "table.json"
    assert main(options(demo, path, "paper,memory")) == 0
    return path


def test_a_finished_row_says_everything(table: Path) -> None:
    rows = rows_of(table)
    assert set(rows) == {"paper", "memory"}
    for row in rows.values():
        assert set(row) >= KEYS
        assert (row["dataset"], row["seed"], row["preset"]) == ("demo", 1, "tiny")
        assert (row["n_normals"], row["n_defects"], row["n_calibration"]) == (8, 8, 20)
        assert row["budget_minutes"] is None
        assert row["steps"] == 4
        assert 0 < row["pixel_auroc"] <= 1
        assert 0 <= row["aupro"] <= 1
        assert row["train_seconds"] > 0
        assert row["images_per_second"] > 0
    assert rows["paper"]["parameters"] > 100_000
    assert rows["memory"]["parameters"] == 0
    assert rows["paper"]["eq7"]["auc"] == rows["paper"]["auc"]
    assert set(rows["paper"]["chosen"]) >= {"auc", "recall_calibrated", "pixel_auroc", "aupro"}


def test_the_figures_are_those_of_the_pictures_scores(table: Path) -> None:
    for row in rows_of(table).values():
        with (table.parent / "table.json.scores" / row["scores_file"]).open(newline="") as handle:
            lines = list(csv.DictReader(handle))
        normals = sorted(float(line["score"]) for line in lines if line["defect"] == "0")
        defects = [float(line["score"]) for line in lines if line["defect"] == "1"]
        line = normals[4]  # ⌈0.60 · 8⌉ = 5, the fifth smallest
        assert row["tn"] == sum(s <= line for s in normals)
        assert row["tp"] == sum(s > line for s in defects)
        assert row["recall_at_tnr60"] == row["tp"] / 8
        wins = [(d > n) + 0.5 * (d == n) for d in defects for n in normals]
        assert row["auc"] == pytest.approx(sum(wins) / 64, abs=1e-6)
        own = {"paper": "eq7", "memory": "memory"}[row["method"]]
        assert all(line["score"] == line[own] for line in lines)


def test_methods_of_one_model_come_from_one_training(table: Path) -> None:
    runs = [p.name for p in (table.parent / "table.json.work").iterdir() if p.is_dir()]
    content = rows_of(table)["paper"]["content"]
    assert len(content) == 16
    assert runs == [f"demo-fused-1-tiny-4steps-standin-{content}-v{SCORING}"]


def test_nothing_is_vetted_and_calibration_normals_are_not_scored_again(
    demo: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder,) = (p for p in (table.parent / "table.json.work").iterdir() if p.is_dir())
    state = json.loads((folder / "state.json").read_text())
    assert state["finished"] == ["pretrain", "inpaint", "memory", "calibrate", "evaluate"]
    assert state["seconds"]["load"] > 0
    assert (len(state["train"]) + len(state["calibration"]), state["excluded"]) == (62, {})
    opened: list[Path] = []

    def opening(path: Path, most: int) -> Image.Image:
        opened.append(path)
        return open_picture(path, most)

    monkeypatch.setattr(measure, "open_picture", opening)
    data = read_set(demo)
    found = measure.measure(
        folder / "model", data, weights=None, device="cpu", tick=lambda done, total: None,
        show=lambda shown: None,
    )  # fmt: skip
    assert set(opened) == {one.path for one in data.test}
    assert {len(scores) for scores in found.calibration.values()} == {20}
    assert found.calibration.keys() == found.scores.keys()
    # they are what scoring them again gives
    scorer = Scorer.load(folder / "model", device="cpu")
    pictures = [open_picture(data.root / id_) for id_ in state["calibration"]]
    again = [scorer.score_one(one).scores for one in pictures]
    for name, kept in found.calibration.items():
        assert sorted(one[name] for one in again) == pytest.approx(kept.tolist(), rel=1e-4)


def test_the_figure_has_a_line_for_every_kind(table: Path) -> None:
    picture = np.asarray(Image.open(table.with_suffix(".png")).convert("RGB"))
    from ml.bench.figure import GAP, HEAD, SIDE, TILE

    # original, paper restored and map, memory map; good and eight kinds of defect
    assert picture.shape == (HEAD + 9 * (TILE + GAP) + GAP, SIDE + 4 * (TILE + GAP), 3)
    for column in range(4):
        left = SIDE + column * (TILE + GAP)
        assert picture[HEAD : HEAD + TILE, left : left + TILE].std() > 5


def test_rows_that_are_there_are_not_measured_again(
    demo: Path, table: Path, capsys: Capture
) -> None:
    before = table.read_bytes()
    capsys.readouterr()
    assert main(options(demo, table, "memory,paper")) == 0
    said = capsys.readouterr()
    events = [json.loads(line) for line in said.out.splitlines()]
    assert [e["event"] for e in events] == ["log", "bench", "summary", "figure"]
    assert (events[1]["there"], events[1]["runs"]) == (2, 0)
    assert (events[0]["level"], "stands in" in events[0]["message"]) == ("warning", True)
    assert "ssl_encoder (stand-in)" in said.err
    assert table.read_bytes() == before
    for title in ("Recall", "TNR", "AUC", "Recall cal.", "Pixel AUROC", "AUPRO", "Train s"):
        assert title in said.err


def test_the_picture_can_be_named_or_left_out(demo: Path, table: Path, tmp_path: Path) -> None:
    drawn = table.with_suffix(".png")
    drawn.unlink()
    assert main([*options(demo, table, "paper"), "--no-figure"]) == 0
    assert not drawn.exists()
    assert main([*options(demo, table, "paper"), "--figure", str(tmp_path / "a.png")]) == 0
    assert (tmp_path / "a.png").exists()
    assert not drawn.exists()
    assert main(options(demo, table, "memory,paper")) == 0
    assert drawn.exists()


def test_another_set_of_the_same_name_is_another_row(
    demo: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    other = tmp_path / "demo"
    shutil.copytree(demo, other)
    next((other / "train/good").iterdir()).unlink()
    trained: list[Path] = []

    def no_training(folder: Path, *rest: object) -> Path:
        trained.append(folder)
        raise TrainingFailed("not now")

    monkeypatch.setattr(run, "train_row", no_training)
    capsys.readouterr()
    assert main(options(other, table, "memory")) == 1
    assert [e["there"] for e in told(capsys) if e["event"] == "bench"] == [0]
    assert trained[0].name.endswith(f"-{read_set(other).content}-v{SCORING}")
    old = table.parent / "old.json"  # as tables were before
    rows = json.loads(table.read_text())["rows"]
    for row in rows:
        del row["content"]
    old.write_text(json.dumps({"rows": rows}))
    (table.parent / "table.json.scores").rename(table.parent / "old.json.scores")
    try:
        assert main([*options(other, old, "memory"), "--no-figure"]) == 0
    finally:
        (table.parent / "old.json.scores").rename(table.parent / "table.json.scores")


def test_a_run_that_fails_is_reported_and_the_table_goes_on(
    demo: Path, table: Path, tmp_path: Path, capsys: Capture
) -> None:
    few = generate(tmp_path / "few", train=3, good=2, per_kind=1, size=128)
    before = table.read_bytes()
    capsys.readouterr()
    arguments = options(few, table, "paper")
    arguments.insert(3, str(demo))
    assert main([*arguments, "--work", str(tmp_path / "work")]) == 1
    events = told(capsys)
    (failed,) = [e for e in events if e["event"] == "failed"]
    assert failed["dataset"] == "few"
    assert "add 2 more" in failed["message"]
    (summary,) = [e for e in events if e["event"] == "summary"]
    assert [one["dataset"] for one in summary["table"]] == ["demo"]
    assert table.read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "reason"),
    [(["--steps", "0"], "--steps"), (["--seeds", "0"], "--seeds"), (["--data", "/none"], "train")],
)
def test_what_cannot_be_run_is_refused_before_training(
    changes: list[str], reason: str, demo: Path, tmp_path: Path, capsys: Capture
) -> None:
    capsys.readouterr()
    assert main([*options(demo, tmp_path / "t.json", "paper"), *changes]) == 2
    assert reason in told(capsys)[-1]["message"]
    assert not list(tmp_path.iterdir())


def test_an_unknown_method_is_refused_with_those_there_are(demo: Path, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        main(options(demo, Path("t.json"), "paper,magic"))
    assert ended.value.code == 2
    assert "skip-ganomaly" in capsys.readouterr().err


@pytest.mark.long
def test_after_a_kill_the_bench_goes_on_from_the_trainers_checkpoint(
    demo: Path, tmp_path: Path, capsys: Capture
) -> None:
    arguments = options(demo, tmp_path / "t.json", "paper-nossl", steps=40)
    bench = subprocess.Popen(
        [sys.executable, "-m", "ml", *arguments], cwd=ROOT, stdout=subprocess.DEVNULL
    )
    content = read_set(demo).content
    name = f"demo-paper-nossl-1-tiny-40steps-standin-{content}-v{SCORING}"
    folder = tmp_path / "t.json.work" / name
    wait_for(lambda: progress(folder / "events.jsonl") >= 3)
    os.kill(bench.pid, signal.SIGKILL)
    bench.wait()
    assert not (tmp_path / "t.json").exists()
    with locked(folder):  # the trainer lets go of it when its checkpoint is written
        assert list((folder / "checkpoints").glob("inpaint-*/state.safetensors"))
    capsys.readouterr()
    assert main(arguments) == 0
    events = told(capsys)
    messages = [e["message"] for e in events if e["event"] == "log"]
    assert any(message.startswith("Continuing inpaint at step") for message in messages)
    assert rows_of(tmp_path / "t.json")["paper-nossl"]["steps"] == 40


def progress(said: Path) -> int:
    """The last step of the restoration's training."""
    lines = said.read_text().splitlines() if said.exists() else []
    steps = [
        json.loads(line)["step"]
        for line in lines
        if '"progress"' in line and '"inpaint"' in line and line.endswith("}")
    ]
    return max(steps, default=0)


def wait_for(condition: Any, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("asked", "trained"),
    [
        ("paper,memory,fused", {"paper": "fused", "memory": "fused", "fused": "fused"}),
        ("paper,paper-nossl", {"paper": "paper", "paper-nossl": "paper-nossl"}),
        (
            "paper,paper-nossl,memory,fused",
            {"paper": "paper", "paper-nossl": "paper-nossl", "memory": "fused", "fused": "fused"},
        ),
        ("paper", {"paper": "paper"}),
        ("memory", {"memory": "memory"}),
        ("fused,csa", {"fused": "fused", "csa": "csa"}),
    ],
)
def test_a_row_is_trained_as_itself_unless_one_run_serves_several(
    asked: str, trained: dict[str, str]
) -> None:
    methods = asked.split(",")
    assert {one: run_of(one, methods) for one in methods} == trained
