"""The commands without the app: what they write, refuse and say."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from conftest import part, write_parts
from safetensors.torch import load_file

from ml.__main__ import main
from ml.commands.cells import harmless

Capture = pytest.CaptureFixture[str]
TINY = ["--preset", "tiny", "--steps", "4", "--threads", "1", "--device", "cpu",
        "--weights", "none"]  # fmt: skip


def events(capsys: Capture) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_cell_is_never_a_formula(start: str) -> None:
    assert harmless(f"{start}1+1.png") == f"'{start}1+1.png"
    assert harmless(f"a{start}b.png") == f"a{start}b.png"


@pytest.fixture(scope="module")
def scored(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """The lines of scores.csv for good, bad, broken and oddly named pictures."""
    folder = tmp_path_factory.mktemp("scored")
    data, out = folder / "data", folder / "out"
    data.mkdir()
    part(500).save(data / "=good.png")
    part(501, defect=True).save(data / "bad.png")
    part(502).convert("RGB").save(data / "bad.jpg")
    (data / "broken.png").write_bytes(b"nothing")
    (data / "ground_truth").mkdir()
    part(503).save(data / "ground_truth" / "bad_mask.png")
    arguments = ["score", str(trained / "model"), str(data), "--out", str(out), "--device", "cpu"]
    assert main(arguments) == 0
    names = {p.name for p in (out / "heatmaps").iterdir()}
    assert names == {"=good.png", "bad.png", "bad.jpg.png"}
    with (out / "scores.csv").open(newline="") as handle:
        return {line["picture"]: line for line in csv.DictReader(handle)}


def test_every_picture_has_a_verdict(scored: dict[str, dict[str, str]]) -> None:
    assert set(scored) == {"'=good.png", "bad.png", "bad.jpg", "broken.png"}
    assert scored["bad.png"]["verdict"] == "Failed"
    assert float(scored["bad.png"]["p_value"]) <= 0.05
    assert scored["'=good.png"]["verdict"] == "Passed"
    assert float(scored["'=good.png"]["p_value"]) > 0.05
    assert float(scored["bad.png"]["score"]) > float(scored["'=good.png"]["score"])
    assert float(scored["bad.png"]["paper_score"]) > 0


def test_a_picture_that_cannot_be_read_says_why(scored: dict[str, dict[str, str]]) -> None:
    line = scored["broken.png"]
    assert line["verdict"] == "Error"
    assert "PNG" in line["error"]
    assert line["score"] == line["p_value"] == ""


def test_regions_are_given_as_boxes(scored: dict[str, dict[str, str]]) -> None:
    line = scored["bad.png"]
    boxes = [[float(v) for v in box.split()] for box in line["boxes"].split("; ")]
    assert len(boxes) == int(line["regions"]) >= 1
    x, y, width, height, _ = boxes[0]
    assert x < 49 / 96 < x + width
    assert y < 29 / 72 < y + height


def test_an_alpha_beyond_the_calibration_is_refused(
    trained: Path, tmp_path: Path, capsys: Capture
) -> None:
    part(1).save(tmp_path / "a.png")
    arguments = ["score", str(trained / "model"), str(tmp_path), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--alpha", "0.001"]) == 2
    assert "999" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_progress_comes_as_json_lines_where_there_is_no_terminal(
    trained: Path, tmp_path: Path, capsys: Capture
) -> None:
    part(1).save(tmp_path / "a.png")
    capsys.readouterr()
    out = str(tmp_path / "out")
    assert main(["score", str(trained / "model"), str(tmp_path / "a.png"), "--out", out]) == 0
    told = events(capsys)
    (progress,) = [e for e in told if e["event"] == "progress"]
    assert (progress["step"], progress["steps"], progress["fraction"]) == (1, 1, 1.0)
    assert "1 Passed" in str(told[-1]["message"]) or "1 Failed" in str(told[-1]["message"])


def test_info_tells_people_the_gist(trained: Path, capsys: Capture) -> None:
    assert main(["info", str(trained / "model"), "--text"]) == 0
    told = capsys.readouterr().out
    for fact in ("tiny, 64 px", "ssl_encoder", "40 normals", "0.0244", "inpaint 40"):
        assert fact in told
    assert main(["info", str(trained / "model"), "--json"]) == 0
    assert "scores" not in json.loads(capsys.readouterr().out)["calibration"]


def test_pretraining_alone_gives_an_encoder_that_training_starts_from(
    tmp_path: Path, capsys: Capture
) -> None:
    write_parts(tmp_path / "parts", 60)
    data = ["--data", str(tmp_path / "parts")]
    assert main(["pretrain", *data, "--out", str(tmp_path / "pre"), *TINY]) == 0
    told = events(capsys)
    assert told[0]["stages"] == ["pretrain"]
    finished = [e["stage"] for e in told if e["event"] == "stage" and e["state"] == "finished"]
    assert finished == ["pretrain"]
    steps = [e["step"] for e in told if e["event"] == "progress" and e["stage"] == "pretrain"]
    assert steps[-1] == 4
    encoder = tmp_path / "pre/pretrain.safetensors"
    assert encoder.is_file()
    assert not (tmp_path / "pre/model").exists()

    out = tmp_path / "out"
    arguments = ["train", *data, "--out", str(out), *TINY, "--encoder", str(encoder)]
    assert main([*arguments, "--method", "paper"]) == 0
    taken, kept = load_file(encoder), load_file(out / "pretrain.safetensors")
    assert all(tensor.equal(kept[name]) for name, tensor in taken.items())
    manifest = json.loads((out / "model/manifest.json").read_text())
    assert manifest["method"] == "paper"
    assert "pretrain" not in manifest["steps"]


@pytest.mark.parametrize("command", ["train", "pretrain"])
def test_a_small_set_is_told_how_it_can_be_used_all_the_same(
    command: str, tmp_path: Path, capsys: Capture
) -> None:
    write_parts(tmp_path / "data", 12)
    arguments = [command, "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out"), *TINY]
    assert main([*arguments, "--json"]) == 2
    refused = events(capsys)[-1]
    assert refused["code"] == "too_few_images"
    assert "add 48 more" in str(refused["message"])
    assert "--few" in str(refused["message"])


@pytest.mark.parametrize("command", ["train", "pretrain"])
def test_resume_refuses_a_folder_without_a_run(
    command: str, tmp_path: Path, capsys: Capture
) -> None:
    write_parts(tmp_path / "parts", 2)
    arguments = [command, "--data", str(tmp_path / "parts"), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--resume"]) == 2
    (told,) = events(capsys)
    assert "no run to resume" in str(told["message"])
    assert not (tmp_path / "out").exists()


def test_an_encoder_of_another_preset_is_refused(tmp_path: Path, capsys: Capture) -> None:
    write_parts(tmp_path / "parts", 60)
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"nothing")
    arguments = ["train", "--data", str(tmp_path / "parts"), "--out", str(tmp_path / "out")]
    assert main([*arguments, *TINY, "--encoder", str(other)]) == 2
    assert "other.safetensors" in str(events(capsys)[-1]["message"])


@pytest.mark.parametrize("command", ["pretrain", "train", "score", "bench", "info"])
def test_every_command_explains_itself(command: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"python -m ml {command}" in capsys.readouterr().out
