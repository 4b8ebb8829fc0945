"""The bench's figures, side files and comparisons against hand-computed ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ml.bench import compare, figures, report
from ml.bench.compare import paired_bootstrap, paired_differences, recall_at_tnr60, summaries
from ml.bench.dataset import BenchError, comparison_size, read_mask, read_set, read_sets
from ml.bench.rows import SCORING, Key, Row, Table, up_to_date
from ml.bench.run import training_seconds

ROOT = Path(__file__).parents[3]


def picture(path: Path, size: tuple[int, int] = (20, 16), colour: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, colour).save(path)
    return path


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    root = tmp_path / "board"
    picture(root / "train/good/0.png")
    for name in ("good/1.png", "good/0.png", "open/0.png", "short/0.png", "short/7.jpg"):
        picture(root / "test" / name)
    picture(root / "ground_truth/open/0_mask.png")
    picture(root / "ground_truth/short/0.png")
    return root


def test_a_layout_is_read_with_masks_named_either_way(layout: Path) -> None:
    data = read_set(layout)
    assert data.name == "board"
    assert [p.name for p in data.test] == [
        "good/0.png", "good/1.png", "open/0.png", "short/0.png", "short/7.jpg",
    ]  # fmt: skip
    assert data.defects.tolist() == [False, False, True, True, True]
    masks = [p.mask.relative_to(layout).as_posix() if p.mask else None for p in data.test]
    assert masks == [None, None, "ground_truth/open/0_mask.png", "ground_truth/short/0.png", None]


@pytest.mark.parametrize("missing", ["train/good", "test/good", "test/open test/short"])
def test_a_layout_that_lacks_something_is_refused_by_name(layout: Path, missing: str) -> None:
    for name in missing.split():
        for path in (layout / name).iterdir():
            path.unlink()
    with pytest.raises(BenchError, match=missing.split()[0].split("/")[0]):
        read_set(layout)


def test_two_sets_of_one_name_are_refused(layout: Path) -> None:
    with pytest.raises(BenchError, match="board"):
        read_sets([layout, layout])


def test_masks_of_any_kind_mark_what_is_not_black(tmp_path: Path) -> None:
    marked = np.zeros((40, 60), np.uint8)
    marked[10:20, 30:50] = 1  # some sets write 1 for white
    Image.fromarray(marked).save(tmp_path / "l.png")
    Image.fromarray(marked > 0).save(tmp_path / "1.png")
    rgba = np.dstack([marked * 255, marked, marked, np.full_like(marked, 255)])
    Image.fromarray(rgba).save(tmp_path / "rgba.png")
    for name in ("l.png", "1.png", "rgba.png"):
        assert np.array_equal(read_mask(tmp_path / name, (60, 40)), marked > 0)


def test_a_large_mask_is_compared_smaller_and_keeps_its_share(tmp_path: Path) -> None:
    assert comparison_size(1024, 768) == (512, 384)
    assert comparison_size(256, 200) == (256, 200)
    marked = np.zeros((768, 1024), np.uint8)
    marked[100:300, 200:600] = 255
    Image.fromarray(marked).save(tmp_path / "m.png")
    small = read_mask(tmp_path / "m.png", (512, 384))
    assert small.mean() == pytest.approx((marked > 0).mean(), rel=0.02)
    marked[:] = 0
    marked[7, 9] = 255  # thinner than a pixel of the comparison, but there
    Image.fromarray(marked).save(tmp_path / "m.png")
    assert read_mask(tmp_path / "m.png", (256, 192)).sum() == 1


def test_the_figures_of_a_row_are_those_computed_by_hand() -> None:
    # ten normals 1..10, of which six pass at the sixth score; defects above it are found
    scores = np.array([*range(1, 11), 6.0, 6.5, 12.0, 3.0, 30.0])
    kinds = ["good"] * 10 + ["cut", "cut", "cut", "stain", "stain"]
    found = figures.image_figures(scores, kinds, np.arange(1.0, 41.0) / 2)
    assert (found["tn"], found["n_normals"], found["tnr"]) == (6, 10, 0.6)
    assert (found["tp"], found["n_defects"], found["recall_at_tnr60"]) == (3, 5, 0.6)
    # wins over ten normals: 6.0: 5.5, 6.5: 6, 12: 10, 3: 2.5, 30: 10
    assert found["auc"] == pytest.approx(34 / 50)
    assert found["auc_by_kind"] == {
        "cut": pytest.approx(21.5 / 30, abs=1e-6),
        "stain": pytest.approx(12.5 / 20),
    }
    # 40 calibration scores 0.5..20, α = 0.05: j = ⌊0.05·41⌋ = 2, the second largest is 19.5
    assert found["alpha"] == 0.05
    assert (found["recall_calibrated"], found["tnr_calibrated"]) == (0.2, 1.0)
    assert found["recall_calibrated_by_kind"] == {"cut": 0.0, "stain": 0.5}
    low, high = found["auc_interval"]
    assert 0 <= low < found["auc"] < high <= 1


def test_few_calibration_normals_promise_only_what_they_can() -> None:
    assert figures.calibrated_alpha(9) == pytest.approx(0.1)
    assert figures.calibrated_alpha(19) == figures.calibrated_alpha(400) == 0.05


def test_pixel_figures_leave_out_defects_without_masks() -> None:
    mask = np.zeros((8, 8), bool)
    mask[2:4, 2:6] = True
    none = np.zeros((8, 8), bool)
    perfect = mask.astype(np.float32)
    blank = np.zeros((8, 8), np.float32)
    wrong = 9 * np.ones((8, 8), np.float32)
    found = figures.map_figures([perfect, blank, wrong], [mask, none, None])
    assert found == {"pixel_auroc": 1.0, "aupro": pytest.approx(1.0)}
    assert figures.map_figures([blank, wrong], [none, None]) == {"pixel_auroc": None, "aupro": None}


def test_a_coarse_map_is_brought_to_the_masks_size() -> None:
    coarse = np.array([[0, 0], [0, 1]], np.float32)
    mask = np.zeros((40, 40), bool)
    mask[30:, 30:] = True
    assert figures.resized(coarse, mask.shape).shape == (40, 40)
    assert figures.map_figures([coarse], [mask])["pixel_auroc"] == 1.0


def key(method: str = "paper", seed: int = 1, **changes: Any) -> Key:
    same: dict[str, Any] = {"preset": "tiny", "budget_minutes": None, "steps": 9, "weights": False}
    return Key("board", method, seed, **{**same, **changes})


def row_of(one: Key, **more: Any) -> Row:
    return {
        "dataset": one.dataset, "method": one.method, "seed": one.seed, "preset": one.preset,
        "budget_minutes": one.budget_minutes, "steps_asked": one.steps, "weights": one.weights,
        "scores_file": f"{one.stem}.csv", "scoring": SCORING, **more,
    }  # fmt: skip


def test_a_row_is_known_by_everything_that_makes_it(tmp_path: Path) -> None:
    table = Table(tmp_path / "t.json")
    assert table.rows() == []
    table.append(row_of(key()))
    table.append(row_of(key(seed=2)))
    assert table.find(key()) is not None
    assert len(json.loads((tmp_path / "t.json").read_text())["rows"]) == 2
    others: list[dict[str, Any]] = [
        {"method": "csa"}, {"seed": 3}, {"preset": "compact"}, {"steps": 10},
        {"steps": None, "budget_minutes": 9.0}, {"weights": True},
    ]  # fmt: skip
    for other in others:
        assert table.find(key(**other)) is None


def test_a_row_of_an_older_scoring_is_measured_again_and_replaced(tmp_path: Path) -> None:
    table = Table(tmp_path / "t.json")
    old = row_of(key(), auc=0.5)
    del old["scoring"]  # from before there was a mark
    table.append(old)
    table.append(row_of(key(seed=2), auc=0.6))
    assert table.find(key()) is None
    assert table.stem_for(key()) == "board-paper-1"  # its side file is replaced too
    table.append(row_of(key(), auc=0.7))
    assert sorted((r["seed"], r["auc"]) for r in table.rows()) == [(1, 0.7), (2, 0.6)]


def test_a_row_of_other_pictures_is_another_row(tmp_path: Path) -> None:
    table = Table(tmp_path / "t.json")
    first, other = key(content="1" * 16), key(content="2" * 16)
    table.append(row_of(first, content=first.content, auc=0.5, scoring=1))
    table.append(row_of(other, content=other.content, auc=0.6))
    assert table.find(first) is None
    assert table.find(other) is not None
    assert len(table.rows()) == 2, "an older row of other pictures is not replaced"
    table.append(row_of(first, content=first.content, auc=0.7))
    assert [r["auc"] for r in table.rows()] == [0.6, 0.7]
    assert table.stem_for(first) == "board-paper-1-tiny-9steps-standin", "the other row's is kept"
    known = row_of(key(seed=2))  # from before this was noted
    table.append(known)
    assert table.find(key(seed=2, content="3" * 16)) == known


def test_the_committed_rows_are_found_again_unless_of_an_older_scoring() -> None:
    table = Table(ROOT / "benchmarks/results/table.json")
    rows = table.rows()
    assert rows
    for row in rows:
        one = Key(
            row["dataset"], row["method"], row["seed"], row["preset"], row["budget_minutes"],
            row["steps_asked"], row["weights"], row.get("content", "0" * 16),
        )  # fmt: skip
        assert table.find(one) == (row if up_to_date(row) else None)


def test_sets_of_one_name_are_told_apart_by_their_pictures(tmp_path: Path) -> None:
    for lot, colour in (("a", 1), ("b", 1), ("c", 200)):
        for name in ("train/good/0.png", "test/good/1.png", "test/cut/2.png"):
            picture(tmp_path / lot / "board" / name, colour=colour)
    a, b, _ = (read_set(tmp_path / lot / "board") for lot in "abc")
    assert a.content == b.content
    assert len(a.content) == 16
    picture(tmp_path / "b/board/test/cut/2.png", size=(200, 160))
    assert read_set(tmp_path / "b/board").content != a.content
    picture(tmp_path / "a/board/train/good/3.png")
    assert read_set(tmp_path / "a/board").content != a.content


def test_rows_keep_what_else_the_file_holds(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text('{"name": "table", "rows": []}')
    Table(path).append(row_of(key()))
    assert json.loads(path.read_text())["name"] == "table"


def test_the_first_runs_plan_holds_for_the_other_seeds(tmp_path: Path) -> None:
    table = Table(tmp_path / "table.json")
    assert table.plan_for("board-fused") == {}
    table.keep_plan("board-fused", {"pretrain": 30, "inpaint": 200})
    table.append(row_of(key()))
    table.keep_plan("board-fused", {"pretrain": 31, "inpaint": 150})
    table.keep_plan("board-csa", {"inpaint": 90})
    assert table.plan_for("board-fused") == {"pretrain": 30, "inpaint": 200}
    assert table.plan_for("board-csa") == {"inpaint": 90}
    assert len(table.rows()) == 1


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    for text in ("{", "[]", '{"rows": 3}'):
        path.write_text(text)
        with pytest.raises(BenchError, match=r"t\.json"):
            Table(path).rows()


def test_side_files_keep_every_digit_and_disarm_names(tmp_path: Path) -> None:
    table = Table(tmp_path / "t.json")
    lines = [
        {"picture": "open/=1+1.png", "kind": "open", "defect": 1, "score": 1 / 3, "eq7": -0.1},
        {"picture": "=1+1.png", "kind": "good", "defect": 0, "score": -1e-17, "eq7": 2.0},
    ]
    name = table.write_scores(table.stem_for(key()), lines)
    text = (table.folder / name).read_text()
    assert "\n'=1+1.png," in text
    assert ",-0.1\n" in text.replace("\r", "")  # a number stays a number
    row = row_of(key(), scores_file=name)
    found = table.scores(row)
    assert found.names == ["'=1+1.png", "open/=1+1.png"]
    assert found.scores.tolist() == [-1e-17, 1 / 3]
    assert found.defects.tolist() == [False, True]


def test_another_settings_side_file_is_not_overwritten(tmp_path: Path) -> None:
    table = Table(tmp_path / "t.json")
    table.append(row_of(key()))
    assert table.stem_for(key()) == "board-paper-1"
    assert table.stem_for(key(seed=2)) == "board-paper-2"
    assert table.stem_for(key(steps=30)) == "board-paper-1-tiny-30steps-standin"
    assert table.stem_for(key(steps=None, budget_minutes=15.0)) != "board-paper-1"


def plain_bootstrap(
    a: list[list[float]], b: list[list[float]], labels: list[int], draws: int, seed: int
) -> tuple[float, float, float]:
    """The definition, pair by pair; only the drawing of pictures is shared."""

    def auc(scores: list[float], index: list[int]) -> float:
        wins = [
            (scores[d] > scores[n]) + 0.5 * (scores[d] == scores[n])
            for d in index if labels[d] for n in index if not labels[n]
        ]  # fmt: skip
        return sum(wins) / len(wins)

    def difference(index: list[int]) -> float:
        return sum(auc(x, index) - auc(y, index) for x, y in zip(a, b, strict=True)) / len(a)

    rng = np.random.default_rng(seed)
    defects = [i for i, label in enumerate(labels) if label]
    normals = [i for i, label in enumerate(labels) if not label]
    drawn = sorted(
        difference([int(i) for group in (defects, normals) for i in rng.choice(group, len(group))])
        for _ in range(draws)
    )
    ends = [0.025 * (draws - 1), 0.975 * (draws - 1)]
    low, high = (
        drawn[int(e)] + (e - int(e)) * (drawn[min(int(e) + 1, draws - 1)] - drawn[int(e)])
        for e in ends
    )
    return difference(list(range(len(labels)))), low, high


def test_the_paired_bootstrap_is_that_of_the_definition() -> None:
    rng = np.random.default_rng(5)
    labels = [0] * 7 + [1] * 5
    a, b = (rng.integers(0, 9, (2, 12)) + 3.0 * np.array(labels) for _ in range(2))
    found = paired_bootstrap(a, b, np.array(labels) == 1, draws=60, seed=4)
    expected = plain_bootstrap(a.tolist(), b.tolist(), labels, 60, 4)
    assert (found.mean, found.low, found.high) == pytest.approx(expected)
    assert found.low < found.mean < found.high


def test_what_two_methods_share_cancels() -> None:
    rng = np.random.default_rng(1)
    labels = np.arange(60) < 25
    hard = rng.normal(0, 1, 60) + labels
    same = paired_bootstrap(hard[None], 3 * hard[None] + 1, labels, draws=50)
    assert (same.mean, same.low, same.high) == (0, 0, 0)
    better = paired_bootstrap((hard + labels)[None], hard[None], labels, recall_at_tnr60, draws=200)
    assert better.mean > 0
    with pytest.raises(ValueError, match="pair up"):
        paired_bootstrap(hard[None], hard, labels)


def test_the_table_has_mean_and_deviation_over_seeds(tmp_path: Path) -> None:
    rows = [
        row_of(key(seed=s), recall_at_tnr60=r, tnr=0.6, auc=a, recall_calibrated=0.5, aupro=None,
               pixel_auroc=0.9, train_seconds=60.0 * s, images_per_second=3.0, parameters=1234567)
        for s, r, a in ((1, 0.8, 0.81), (2, 0.9, 0.87), (3, 0.7, 0.84))
    ]  # fmt: skip
    rows.append({**rows[0], "budget_minutes": 10.0, "steps_asked": None})
    one, other = summaries(rows)
    assert one["auc"]["mean"] == pytest.approx(0.84)
    assert one["auc"]["deviation"] == pytest.approx(0.03)
    assert one["seeds"] == [1, 2, 3]
    assert one["aupro"] == {"mean": None, "deviation": None}
    assert other["auc"] == {"mean": 0.81, "deviation": None}
    lines = report.table([one, other]).splitlines()
    assert "0.800 ± 0.100" in lines[1]
    assert "0.840 ± 0.030" in lines[1]
    assert "1,234,567" in lines[1]
    assert "–" in lines[1].split()
    assert "10 min" in lines[2]
    assert "9 steps" in lines[1]
    assert report.setting({**one, "backbone": "squeezenet1_1"}) == "tiny, 9 steps, squeezenet1_1"
    assert report.setting({**one, "backbone": "ssl_encoder"}).endswith("ssl_encoder (stand-in)")


def test_pairs_are_compared_where_both_were_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "DRAWS", 100)
    table = Table(tmp_path / "t.json")
    rng = np.random.default_rng(0)
    rows = []
    for method, gap in (("memory", 1.0), ("fused", 4.0), ("csa", 1.0)):
        for seed in (1, 2) if method != "memory" else (2,):
            lines = [
                {"picture": f"{i:02d}", "kind": "x", "defect": int(i > 11),
                 "score": float(rng.normal() + gap * (i > 11))}
                for i in range(24)
            ]  # fmt: skip
            one = key(method, seed)
            rows.append(row_of(one, scores_file=table.write_scores(one.stem, lines)))
    (found,) = paired_differences(table, rows)
    assert found["pair"] == "fused − memory"
    assert found["seeds"] == [2]
    assert found["auc"]["low"] <= found["auc"]["mean"] <= found["auc"]["high"]
    assert found["auc"]["mean"] > 0
    text = report.pairs([found])
    assert "fused − memory" in text
    assert "[" in text


def test_a_pair_that_was_scored_on_other_pictures_is_told_and_left_out(tmp_path: Path) -> None:
    table = Table(tmp_path / "t.json")
    rows = []
    for method, pictures in (("memory", "ab"), ("fused", "abc"), ("paper", "abc")):
        lines = [
            {"picture": name, "kind": "x", "defect": int(name == "a"), "score": 1.0}
            for name in pictures
        ]
        rows.append(row_of(key(method), scores_file=table.write_scores(method, lines)))
    told: list[str] = []
    found = paired_differences(table, rows, told.append)
    assert [one["pair"] for one in found] == ["fused − paper"]
    assert len(told) == 1
    assert "fused and memory of board were scored on other pictures" in told[0]
    # noted as other pictures they are not even compared
    rows[0]["content"], rows[1]["content"] = "1", "2"
    told.clear()
    paired_differences(table, rows, told.append)
    assert not told
    rows[1]["content"] = "1"
    assert len({one["dataset"] for one in paired_differences(table, rows)}) == 1


def test_training_seconds_are_those_of_the_stages_a_method_needs() -> None:
    seconds = {"load": 1, "pretrain": 10, "vet": 5, "inpaint": 100, "memory": 7, "calibrate": 20}
    state = {"seconds": {**seconds, "evaluate": 9}}
    assert training_seconds("fused", state) == 138
    assert training_seconds("paper", state) == 131
    assert training_seconds("paper-nossl", state) == 121
    assert training_seconds("memory", state) == 28
    assert training_seconds("memory", state, stand_in=True) == 38
    assert training_seconds("csa", state, stand_in=True) == 131
    assert training_seconds("fused", state, stand_in=True) == 138


def test_a_paper_row_of_a_fused_run_is_not_held_against_its_ablation(tmp_path: Path) -> None:
    table = Table(tmp_path / "t.json")
    rows = []
    for method, trained in (("paper", "fused"), ("paper-nossl", "paper-nossl")):
        lines = [
            {"picture": name, "kind": "x", "defect": int(name == "a"), "score": 1.0}
            for name in "abc"
        ]
        file = table.write_scores(method, lines)
        rows.append(row_of(key(method), scores_file=file, trained_as=trained))
    told: list[str] = []
    assert paired_differences(table, rows, told.append) == []
    assert "trained as fused" in told[0]
    rows[0]["trained_as"] = "paper"
    assert len(paired_differences(table, rows)) == 1
