"""The scorer: the same figures every time, trusted files only, maps that fit the picture."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import part
from PIL import Image

from ml.__main__ import main
from ml.data.model_view import model_view
from ml.scoring import ModelError, Scorer, render_heatmap
from ml.scoring.regions import find_regions


@pytest.fixture(scope="module")
def scorer(trained: Path) -> Scorer:
    return Scorer.load(trained / "model", device="cpu")


def test_scores_do_not_depend_on_the_batch(scorer: Scorer) -> None:
    pictures = [part(100), part(101, defect=True), part(102)]
    together = scorer.score(pictures)
    alone = [scorer.score([p])[0] for p in pictures[::-1]][::-1]
    for a, b in zip(together, alone, strict=True):
        assert (a.score, a.paper_score, a.p_value) == (b.score, b.paper_score, b.p_value)
        assert np.array_equal(a.map, b.map)
        assert np.array_equal(a.restored, b.restored)


def test_a_loaded_again_model_gives_equal_bits(scorer: Scorer, trained: Path) -> None:
    again = Scorer.load(trained / "model", device="cpu")
    assert again.score([part(7)])[0].score == scorer.score([part(7)])[0].score


def test_results_have_the_pictures_aspect_and_one_unit(scorer: Scorer) -> None:
    scored = scorer.score([part(3, defect=True, size=(96, 72))])[0]
    assert scored.map.shape == (48, 64)
    assert scored.map.dtype == np.float32
    assert scored.view.shape == scored.restored.shape == (48, 64, 3)
    assert scored.view.dtype == scored.restored.dtype == np.uint8
    # The score is of the common pose; brought back to the picture's the map is a little softer.
    assert scored.map.min() <= scored.score <= 1.1 * scored.map.max()
    assert 0 < scored.p_value <= 1


def test_a_clear_defect_is_found_where_it_is(scorer: Scorer) -> None:
    normals = [s.score for s in scorer.score([part(200 + i) for i in range(6)])]
    bad = scorer.score([part(300, defect=True)])[0]
    assert bad.score > max(normals)
    assert bad.p_value == pytest.approx(1 / 41)
    y, x = np.unravel_index(bad.map.argmax(), bad.map.shape)
    assert 36 / 96 < x / bad.map.shape[1] < 62 / 96
    assert 16 / 72 < y / bad.map.shape[0] < 42 / 72
    assert bad.regions
    region = bad.regions[0]
    assert region.x <= 49 / 96 <= region.x + region.width
    assert region.peak == pytest.approx(bad.map.max())
    assert region.p_value == pytest.approx(1 / 41)
    assert len(region.polygon) >= 3


def test_regions_of_an_older_model_have_no_p_value(scorer: Scorer) -> None:
    calibration = {k: v for k, v in scorer.manifest["calibration"].items() if k != "peaks"}
    manifest = {**scorer.manifest, "calibration": calibration}
    old = Scorer(manifest, scorer.engine, scorer.decision, scorer.aligner)
    region = old.score_one(part(300, defect=True)).regions[0]
    assert region.p_value is None
    assert region.polygon


def test_calibration_peaks_are_those_of_the_shown_maps(scorer: Scorer, trained: Path) -> None:
    state = json.loads((trained / "state.json").read_text())
    assert len(scorer.manifest["calibration"]["peaks"]) == 40
    for id_ in state["calibration"][:5]:
        peak = scorer.score_one(part(int(id_.removeprefix("part-")))).map.max()
        assert min(abs(peak - k) for k in scorer.manifest["calibration"]["peaks"]) < 1e-4


def test_a_picture_is_scored_in_one_square_by_the_engine_and_the_decision(scorer: Scorer) -> None:
    """The plain way of a small picture, step by step: nothing is added to it, bit by bit."""
    picture = part(17, defect=True)
    seen = model_view(picture, scorer.size, scorer.aligner)
    assert scorer.engine.memory
    large = seen.at(picture, scorer.engine.memory.view.size).float() / 255
    evidence = scorer.engine.evidence(seen.pixels.float() / 255, large)
    decided = scorer.decision.decide(evidence, seen.box)
    scored = scorer.score_one(picture)
    assert (scored.score, scored.scores) == (decided.score, decided.scores)
    assert scored.paper_score == evidence.eq7
    assert np.array_equal(scored.map, seen.box.crop(seen.back(decided.map)).numpy())


def test_calibration_scores_are_reproduced(scorer: Scorer, trained: Path) -> None:
    state = json.loads((trained / "state.json").read_text())
    known = scorer.manifest["calibration"]["scores"]
    for id_ in state["calibration"][:5]:
        score = scorer.score([part(int(id_.removeprefix("part-")))])[0].score
        assert min(abs(score - k) for k in known) < 1e-4


@pytest.mark.parametrize("name", ["inpainting", "encoder", "normalisation"])
def test_a_tampered_file_is_refused(name: str, trained: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(trained / "model", model)
    path = model / f"{name}.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match=name):
        Scorer.load(model)
    path.unlink()
    with pytest.raises(ModelError, match=name):
        Scorer.load(model)


def test_missing_weights_are_named(trained: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(trained / "model", model)
    manifest = json.loads((model / "manifest.json").read_text())
    manifest["scoring_backbone"] = {"name": "squeezenet1_1", "stand_in": False, "sha256": "x"}
    (model / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match="squeezenet1_1_imagenet"):
        Scorer.load(model, weights_dir=tmp_path)


def test_no_manifest_is_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="manifest"):
        Scorer.load(tmp_path)


def test_heatmap_is_transparent_below_low_and_saturates_at_high() -> None:
    heat = np.array([[0.0, 1.0, 1.5, 3.0, 99.0]], np.float32)
    pixels = np.asarray(render_heatmap(heat, 1.0, 3.0))
    assert pixels.shape == (1, 5, 4)
    assert pixels[0, :2, 3].tolist() == [0, 0]
    assert pixels[0, 2:, 3].tolist() == [255, 255, 255]
    assert (pixels[0, 3] == pixels[0, 4]).all()
    assert pixels[0, 2, :3].sum() < pixels[0, 3, :3].sum()


def test_regions_are_separate_sorted_and_in_fractions() -> None:
    heat = np.zeros((50, 100), np.float32)
    heat[5:10, 20:40] = 3
    heat[30:32, 60:70] = 5
    heat[49, 99] = 9  # one pixel of 5,000 is dropped as noise only under 0.02 %
    first, second, third = find_regions(heat, 1.0)
    assert (first.peak, second.peak, third.peak) == (9, 5, 3)
    assert (third.x, third.y, third.width, third.height) == (0.2, 0.1, 0.2, 0.1)
    assert third.area == pytest.approx(0.02)
    assert find_regions(heat, 10.0) == []


def test_score_command_writes_csv_and_heatmaps(trained: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "sub").mkdir(parents=True)
    part(1).save(data / "a.png")
    part(2, defect=True).save(data / "sub/b.png")
    (data / "c.png").write_bytes(b"no picture")
    out = tmp_path / "scored"
    assert main(["score", str(trained / "model"), str(data), "--out", str(out)]) == 0
    with (out / "scores.csv").open() as handle:
        rows = {r["picture"]: r for r in csv.DictReader(handle)}
    assert set(rows) == {"a.png", "c.png", "sub/b.png"}
    assert float(rows["sub/b.png"]["score"]) > float(rows["a.png"]["score"])
    assert rows["c.png"]["error"]
    assert Image.open(out / "heatmaps/sub/b.png").size == (64, 48)


def test_info_prints_the_manifest(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(trained / "model")]) == 0
    assert json.loads(capsys.readouterr().out)["preset"] == "tiny"


def test_an_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dance"]) == 2
    assert "train" in capsys.readouterr().out


def test_scale_begins_where_normals_end(scorer: Scorer) -> None:
    scale = scorer.manifest["scale"]
    assert 0 < scale["low"] < scale["high"]
    peaks = [s.map.max() for s in scorer.score([part(400 + i) for i in range(8)])]
    assert np.median(peaks) < scale["low"]


def test_what_is_done_in_between_changes_no_bit(scorer: Scorer) -> None:
    pictures = [part(100), part(101, defect=True)]
    alone = scorer.score(pictures)
    calls, other = 0, [part(102)]

    def between() -> None:
        nonlocal calls
        calls += 1
        if calls % 20 == 1:  # with the very networks that are at work
            scorer.score(other)

    interrupted = scorer.score(pictures, between)
    for a, b in zip(alone, interrupted, strict=True):
        assert a.scores == b.scores
        assert a.p_value == b.p_value
        assert a.regions == b.regions
        assert np.array_equal(a.map, b.map)
        assert np.array_equal(a.restored, b.restored)
    assert calls > 40, "many times a picture"
    before = calls
    scorer.score(other)
    assert calls == before, "no picture after these is interrupted"
