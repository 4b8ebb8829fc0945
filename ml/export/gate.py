"""The gate: an exported file must give every golden picture the score of the trained model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ml.data.letterbox import PADDING
from ml.data.model_view import model_view
from ml.data.pictures import open_picture
from ml.export.graph import INPUTS, OUTPUTS, ScoringGraph
from ml.features import file_sha256
from ml.presets import PRESETS
from ml.scoring.model_folder import MANIFEST
from ml.scoring.scorer import Scorer

TOLERANCE = 1e-3  # relative difference of a score, see `Compared.apart`
OPSET = 18
SIDECAR = ".json"  # appended to the ONNX file's name


class ExportRefused(Exception):
    """The exported file must not be used; the message says why."""


@dataclass(frozen=True)
class Compared:
    """One golden picture: the trained model's score and the exported file's. usual: the median
    of what good parts score, absolute."""

    name: str
    trained: float
    exported: float
    usual: float

    @property
    def apart(self) -> float:
        """Difference relative to the score, or to a usual one where that is larger: a score is a
        number of deviations and may lie near 0, where rounding is large beside it and moves no
        verdict."""
        if not np.isfinite(self.exported):
            return float("inf")
        return abs(self.exported - self.trained) / max(abs(self.trained), self.usual, 1e-6)


def write(scorer: Scorer, model_dir: Path, path: Path) -> None:
    """Write the graph and, beside it, what a program needs to use it.

    Raises ExportRefused for a model that works by tiles, ImportError without the packages of the
    extra `export`.
    """
    if scorer.large:
        raise ExportRefused(
            "This model looks at large pictures through tiles; how many there are depends on the "
            "picture, so it cannot be one ONNX graph. Score with the model folder itself, or "
            "train with --tile never."
        )
    import onnx  # noqa: F401 torch names what is missing only deep inside
    import onnxscript  # noqa: F401

    graph = ScoringGraph(scorer.engine, scorer.decision, PRESETS[scorer.manifest["preset"]])
    graph.eval().requires_grad_(False)
    shapes = input_shapes(scorer, graph)
    with torch.no_grad():
        program = torch.onnx.export(
            graph,
            tuple(torch.rand(shape) for shape in shapes.values()),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(shapes),
            output_names=list(OUTPUTS),
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise ExportRefused("torch gave no ONNX program.")
    program.save(path)
    sidecar = describe(scorer, model_dir, shapes) | {"file_sha256": file_sha256(path)}
    sidecar_of(path).write_text(json.dumps(sidecar, indent=1) + "\n")


def input_shapes(scorer: Scorer, graph: ScoringGraph) -> dict[str, tuple[int, ...]]:
    """Inputs of the graph by name."""
    size = scorer.size
    shapes: dict[str, tuple[int, ...]] = {INPUTS[0]: (3, size, size), INPUTS[1]: (size, size)}
    if graph.looks_twice and scorer.engine.memory:
        view = scorer.engine.memory.view.size
        shapes[INPUTS[2]] = (3, view, view)
    return shapes


def sidecar_of(path: Path) -> Path:
    """The JSON file that belongs to an ONNX file."""
    return path.with_name(path.name + SIDECAR)


def describe(scorer: Scorer, model_dir: Path, shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    """What the graph was made from and how its inputs are made from a picture."""
    manifest = scorer.manifest
    return {
        "manifest_sha256": file_sha256(model_dir / MANIFEST),
        "method": manifest["method"],
        "preset": manifest["preset"],
        "opset": OPSET,
        "inputs": {name: list(shape) for name, shape in shapes.items()},
        "outputs": list(OUTPUTS),
        "picture": {
            "values": "RGB, 0 to 1",
            "fit": "letterbox, LANCZOS, centred",
            "padding": list(PADDING),
            "content": "1 where the picture lies in the square of the input `image`, else 0",
            "aligned": manifest["alignment"]["used"],
        },
        "scale": manifest["scale"],
        "calibration_scores": manifest["calibration"]["scores"],
        "tolerance": TOLERANCE,
    }


def check(scorer: Scorer, model_dir: Path, path: Path, golden: Sequence[Path]) -> list[Compared]:
    """Compare every golden picture; what was found.

    Raises ExportRefused, naming the worst picture, where a score differs by more than the
    tolerance, or where file and sidecar are not those of this model.
    """
    if not golden:
        raise ExportRefused("There is no golden picture to check the exported model with.")
    try:
        sidecar = json.loads(sidecar_of(path).read_text())
    except (OSError, ValueError) as error:
        raise ExportRefused(f"{sidecar_of(path).name} cannot be read: {error}") from error
    _check_sidecar(scorer, model_dir, path, sidecar)
    session = _session(path)
    found = [_compare(scorer, session, sidecar["inputs"], picture) for picture in golden]
    worst = max(found, key=lambda one: one.apart)
    if worst.apart > TOLERANCE:
        raise ExportRefused(
            f"{worst.name} scores {worst.exported:.6g} in the exported model and "
            f"{worst.trained:.6g} in the trained one, {worst.apart:.2g} apart (at most "
            f"{TOLERANCE:g} is allowed): the export is not the model."
        )
    return found


def _check_sidecar(scorer: Scorer, model_dir: Path, path: Path, sidecar: dict[str, Any]) -> None:
    shapes = {name: tuple(shape) for name, shape in sidecar.get("inputs", {}).items()}
    expected = describe(scorer, model_dir, shapes) | {"file_sha256": file_sha256(path)}
    for key, value in expected.items():
        if sidecar.get(key) != value:
            raise ExportRefused(
                f"{sidecar_of(path).name} says something else of {key} than the model and the "
                "file do: export again."
            )


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _compare(scorer: Scorer, session: Any, inputs: dict[str, Any], path: Path) -> Compared:
    picture = open_picture(path)
    arrays = prepare(scorer, picture)
    (score,) = session.run(["score"], {name: arrays[name] for name in inputs})
    usual = float(np.median(np.abs(scorer.calibration_scores)))
    return Compared(path.name, scorer.score_one(picture).score, float(score), usual)


def prepare(scorer: Scorer, picture: Image.Image) -> dict[str, NDArray[np.float32]]:
    """A picture (RGB) as the graph's inputs, by name."""
    seen = model_view(picture, scorer.size, scorer.aligner)
    content = np.zeros((scorer.size, scorer.size), np.float32)
    content[seen.box.rows, seen.box.columns] = 1
    arrays = {"image": _floats(seen.pixels), "content": content}
    if scorer.engine.memory:
        arrays["large"] = _floats(seen.at(picture, scorer.engine.memory.view.size))
    return arrays


def _floats(pixels: Tensor) -> NDArray[np.float32]:
    return np.asarray((pixels.float() / 255).numpy(), np.float32)
