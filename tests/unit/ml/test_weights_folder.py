"""Where the commands find ImageNet weights, and what they say and refuse without any."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import part, write_parts

from ml.__main__ import main
from ml.commands import weights
from ml.features import SQUEEZENET_FILE

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the environment nor the folders around the tests hold any."""
    for name in ("KINTSUGI_WEIGHTS", "KINTSUGI_VAR", "KINTSUGI_SHARED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(weights, "ROOT", tmp_path / "product")


def put(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SQUEEZENET_FILE).write_bytes(b"x")
    return folder


def test_weights_are_found_where_they_usually_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert weights.chosen(None) is None
    shared = put(tmp_path / "shared/weights")
    assert weights.chosen(None) == shared
    own = put(tmp_path / "product/var/weights")
    assert weights.chosen(None) == own
    monkeypatch.setenv("KINTSUGI_VAR", str(tmp_path / "other"))
    assert weights.chosen(None) == shared
    theirs = put(tmp_path / "other/weights")
    assert weights.chosen(None) == theirs
    named = tmp_path / "named"
    monkeypatch.setenv("KINTSUGI_WEIGHTS", str(named))
    assert weights.chosen(None) == named, "what is named is believed, even where it is empty"
    assert weights.chosen(str(own)) == own
    monkeypatch.delenv("KINTSUGI_WEIGHTS")
    monkeypatch.delenv("KINTSUGI_VAR")
    own.rename(tmp_path / "gone")
    monkeypatch.setenv("KINTSUGI_SHARED", str(tmp_path / "elsewhere"))
    assert weights.chosen(None) is None
    assert weights.chosen(str(put(tmp_path / "elsewhere/weights"))) == weights.chosen(None)


def test_the_stand_in_can_be_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = put(tmp_path / "product/var/weights")
    assert weights.chosen("none") is None
    assert weights.warning(found) is None
    monkeypatch.setenv("KINTSUGI_WEIGHTS", "none")
    assert weights.chosen(None) is None
    for folder in (None, tmp_path):
        told = weights.warning(folder)
        assert told is not None
        assert "stands in" in told
        assert SQUEEZENET_FILE in told


@pytest.mark.parametrize("command", ["train", "pretrain", "bench", "score", "export"])
def test_a_folder_without_weights_is_refused_by_name(
    command: str, tmp_path: Path, capsys: Capture
) -> None:
    write_parts(tmp_path / "parts", 2)
    empty, parts, out = (str(tmp_path / name) for name in ("empty", "parts", "out"))
    given = {
        "score": ["model", parts, "--out", out],
        "export": ["model", "--out", out, "--golden", parts],
        "bench": ["--data", parts, "--json", out],
    }.get(command, ["--data", parts, "--out", out])
    assert main([command, *given, "--weights", empty]) == 2
    told = "".join(capsys.readouterr())
    assert f"--weights {empty} holds no {SQUEEZENET_FILE}" in told
    assert "--weights none" in told
    assert not (tmp_path / "out").exists()


def test_a_run_with_the_stand_in_says_so(tmp_path: Path, capsys: Capture) -> None:
    write_parts(tmp_path / "parts", 2)
    arguments = ["train", "--data", str(tmp_path / "parts"), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--preset", "tiny", "--device", "cpu"]) == 2  # too few pictures
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (warning,) = [e["message"] for e in told if e.get("level") == "warning"]
    assert "stands in" in warning


def test_scores_of_a_model_with_the_stand_in_are_told_and_need_no_weights(
    trained: Path, tmp_path: Path, capsys: Capture
) -> None:
    put(tmp_path / "shared/weights")  # installed after the training, and no weights at all
    part(1).save(tmp_path / "a.png")
    out = str(tmp_path / "out")
    capsys.readouterr()
    assert main(["score", str(trained / "model"), str(tmp_path / "a.png"), "--out", out]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert "stands in" in told[0]["message"]
