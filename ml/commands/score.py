"""`python -m ml score`: a folder of pictures to a CSV file and heatmaps."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from ml.commands.folders import pictures_under
from ml.data.dataset import MAX_PIXELS
from ml.data.pictures import PictureError, open_picture
from ml.scoring import ModelError, ScoredPicture, Scorer, render_heatmap

FIELDS = ["picture", "score", "p_value", "paper_score", "regions", "error"]


def parser() -> argparse.ArgumentParser:
    """Model, pictures and where to write."""
    p = argparse.ArgumentParser(prog="python -m ml score", description=__doc__)
    p.add_argument("model", type=Path, help="model folder")
    p.add_argument("data", type=Path, help="folder of pictures, or one picture")
    p.add_argument("--out", type=Path, required=True, help="folder for scores.csv and heatmaps/")
    p.add_argument("--weights", type=Path, help="folder with installed weights files")
    p.add_argument("--device", default="auto")
    p.add_argument("--no-heatmaps", action="store_true")
    return p


def main(argv: Sequence[str]) -> int:
    """Score every picture; one that cannot be read gets its reason in the column `error`."""
    arguments = parser().parse_args(argv)
    try:
        scorer = Scorer.load(
            arguments.model, weights_dir=arguments.weights, device=arguments.device
        )
    except ModelError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    paths = pictures_under(arguments.data)
    if not paths:
        sys.stderr.write(f"There is no picture in {arguments.data}.\n")
        return 2
    arguments.out.mkdir(parents=True, exist_ok=True)
    root = arguments.data if arguments.data.is_dir() else arguments.data.parent
    with (arguments.out / "scores.csv").open("w", newline="") as handle:
        writer = csv.DictWriter(handle, FIELDS)
        writer.writeheader()
        for index, path in enumerate(paths):
            name = path.relative_to(root).as_posix()
            writer.writerow(_row(scorer, path, name, arguments))
            if sys.stderr.isatty():
                sys.stderr.write(f"\r{index + 1}/{len(paths)}")
    return 0


def _row(scorer: Scorer, path: Path, name: str, arguments: argparse.Namespace) -> dict[str, object]:
    try:
        picture = open_picture(path, MAX_PIXELS)
    except (PictureError, OSError) as error:
        return {"picture": name, "error": str(error)}
    scored = scorer.score_one(picture)
    if not arguments.no_heatmaps:
        target = (arguments.out / "heatmaps" / name).with_suffix(".png")
        target.parent.mkdir(parents=True, exist_ok=True)
        overlay(scored, scorer).save(target)
    return {
        "picture": name,
        "score": repr(scored.score),
        "p_value": repr(scored.p_value),
        "paper_score": repr(scored.paper_score),
        "regions": len(scored.regions),
    }


def overlay(scored: ScoredPicture, scorer: Scorer) -> Image.Image:
    """The picture with its heatmap on top."""
    scale = scorer.manifest["scale"]
    heat = render_heatmap(scored.map, scale["low"], scale["high"])
    return Image.alpha_composite(Image.fromarray(scored.view).convert("RGBA"), heat)
