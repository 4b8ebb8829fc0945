"""ONNX export: the same scores as the trained model, or no file."""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import part
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.__main__ import main
from ml.export.gate import SIDECAR
from ml.export.graph import masked_aggregate
from ml.features import file_sha256
from ml.scoring.setting import AGGREGATIONS, aggregate


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good and bad parts, of two shapes: the content's box is an input, not a constant."""
    folder = tmp_path_factory.mktemp("golden")
    for index, size in enumerate(((96, 72), (70, 96), (96, 72))):
        part(500 + index, defect=index == 2, size=size).save(folder / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, trained: Path, golden: Path) -> Path:
    """The tiny model as ONNX."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    path = tmp_path_factory.mktemp("export") / "model.onnx"
    assert export(trained, path, golden) == 0
    return path


def export(trained: Path, out: Path, golden: Path, *more: str) -> int:
    return main(
        ["export", str(trained / "model"), "--out", str(out), "--golden", str(golden), *more]
    )


def copied(exported: Path, folder: Path) -> Path:
    """A copy that a test may spoil."""
    for path in (exported, exported.with_name(exported.name + SIDECAR)):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder / exported.name


def edited(path: Path, **changes: Any) -> None:
    sidecar = path.with_name(path.name + SIDECAR)
    sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | changes))


def test_export_says_what_it_holds(exported: Path, trained: Path) -> None:
    sidecar = json.loads(exported.with_name(exported.name + SIDECAR).read_text())
    manifest = json.loads((trained / "model/manifest.json").read_text())
    assert sidecar["manifest_sha256"] == file_sha256(trained / "model/manifest.json")
    assert sidecar["scale"] == manifest["scale"]
    assert sidecar["inputs"]["image"] == [3, 64, 64]
    assert sidecar["calibration_scores"] == manifest["calibration"]["scores"]


def test_a_checked_file_passes_again(
    exported: Path, trained: Path, golden: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(trained, exported, golden, "--check") == 0
    assert "3 pictures score the same" in capsys.readouterr().out


def test_a_changed_weight_is_noticed_by_its_scores(
    exported: Path, trained: Path, golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import onnx
    from onnx import numpy_helper

    path = copied(exported, tmp_path)
    model = onnx.load(path)
    kernels = [t for t in model.graph.initializer if list(t.dims)[2:] == [4, 4]]
    assert kernels
    for tensor in kernels:
        values = numpy_helper.to_array(tensor) * np.float32(1.2)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, path)
    assert export(trained, path, golden, "--check") == 2
    assert "file_sha256" in capsys.readouterr().err
    edited(path, file_sha256=file_sha256(path))
    assert export(trained, path, golden, "--check") == 2
    assert ".png scores" in capsys.readouterr().err


def test_a_changed_threshold_is_refused(
    exported: Path, trained: Path, golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copied(exported, tmp_path)
    edited(path, scale={"low": 0.0, "high": 1.0})
    assert export(trained, path, golden, "--check") == 2
    assert "scale" in capsys.readouterr().err


def test_a_refused_export_leaves_no_file(
    trained: Path,
    golden: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr("ml.export.gate.TOLERANCE", -1.0)  # what no model reaches
    assert export(trained, tmp_path / "model.onnx", golden) == 2
    assert list(tmp_path.iterdir()) == []
    assert ".png scores" in capsys.readouterr().err


def test_without_golden_pictures_nothing_is_written(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "golden"
    empty.mkdir()
    assert export(trained, tmp_path / "model.onnx", empty) == 2
    assert not (tmp_path / "model.onnx").exists()
    assert "no picture" in capsys.readouterr().err


def test_a_missing_extra_is_named(
    trained: Path,
    golden: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    real = builtins.__import__

    def without_onnx(name: str, *rest: Any, **more: Any) -> Any:
        if name == "onnx":
            raise ModuleNotFoundError("No module named 'onnx'", name="onnx")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without_onnx)
    assert export(trained, tmp_path / "model.onnx", golden) == 2
    assert "kintsugi[export]" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 20), st.integers(1, 20), st.sampled_from(AGGREGATIONS), st.integers(0, 99))
def test_the_graphs_aggregation_equals_the_scorers(
    height: int, width: int, how: str, seed: int
) -> None:
    found = torch.randn(24, 24, generator=torch.Generator().manual_seed(seed))
    content = torch.zeros(24, 24)
    content[2 : 2 + height, 3 : 3 + width] = 1
    expected = aggregate(found[2 : 2 + height, 3 : 3 + width], how)
    assert float(masked_aggregate(found, content, how)) == pytest.approx(expected, abs=1e-5)
