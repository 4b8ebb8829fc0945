"""`python -m ml export`: a model folder as ONNX, refused unless it scores like the original."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from ml.commands import weights
from ml.commands.folders import pictures_under, refused_under
from ml.export.gate import ExportRefused, check, sidecar_of, write
from ml.scoring.model_folder import ModelError
from ml.scoring.scorer import Scorer

MISSING = (
    "{name} is not installed; export needs the extra `export`: pip install 'kintsugi[export]'.\n"
)


def parser() -> argparse.ArgumentParser:
    """Model, where to write, and the pictures that decide."""
    p = argparse.ArgumentParser(prog="python -m ml export", description=__doc__)
    p.add_argument("model", type=Path, help="model folder")
    p.add_argument("--out", type=Path, required=True, help="ONNX file to write")
    p.add_argument("--golden", type=Path, required=True, help="folder of pictures to compare on")
    weights.add_option(p)
    p.add_argument("--check", action="store_true", help="check a file written before, write none")
    return p


def main(argv: Sequence[str]) -> int:
    """Export and compare; status 2 with a sentence, and no file, where that fails."""
    arguments = parser().parse_args(argv)
    try:
        folder = weights.chosen(arguments.weights)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    try:
        scorer = Scorer.load(arguments.model, weights_dir=folder, device="cpu")
        found = _export(scorer, arguments)
    except ModuleNotFoundError as error:
        sys.stderr.write(MISSING.format(name=error.name))
        return 2
    except (ModelError, ExportRefused, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(found + "\n")
    return 0


def _export(scorer: Scorer, arguments: argparse.Namespace) -> str:
    out: Path = arguments.out
    golden = pictures_under(arguments.golden)
    if not golden:
        more = refused_under(arguments.golden) or ""
        raise ExportRefused(
            f"There is no picture in {arguments.golden} to check with. {more}".strip()
        )
    if arguments.check:
        return _summary(scorer, arguments.model, out, golden)
    try:
        try:
            write(scorer, arguments.model, out)
        except torch.onnx.errors.OnnxExporterError as error:
            raise ExportRefused(f"This model cannot be written as ONNX: {error}") from error
        return _summary(scorer, arguments.model, out, golden)
    except BaseException:
        out.unlink(missing_ok=True)
        sidecar_of(out).unlink(missing_ok=True)
        raise


def _summary(scorer: Scorer, model: Path, out: Path, golden: list[Path]) -> str:
    found = check(scorer, model, out, golden)
    worst = max(one.apart for one in found)
    return f"{out}: {len(found)} pictures score the same, at most {worst:.1e} apart."
