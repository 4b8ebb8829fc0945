"""`python -m ml score`: a folder of pictures to a CSV file and heatmaps.

scores.csv has one line a picture: score and p-value, the verdict at --alpha (a part fails where
its p-value is not above it), Eq. 7 to the letter, the parts of the score where the model has
them, and the marked regions as `x y width height peak` in fractions of the picture, the worst
first. A picture that cannot be read gets the verdict Error and its reason.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from ml import device as devices
from ml.calibration import check_alpha, smallest_alpha
from ml.commands import weights
from ml.commands.cells import harmless
from ml.commands.folders import pictures_under, refused_under, without_masks
from ml.commands.progress import Counter
from ml.data.dataset import MAX_PIXELS
from ml.data.pictures import PictureError, open_picture
from ml.events import Emitter
from ml.scoring import ModelError, Region, ScoredPicture, Scorer, render_heatmap

PARTS = ("inpainting", "memory", "fused", "published")
FIELDS = ["picture", "score", "p_value", "verdict", "paper_score", *PARTS, "regions", "boxes",
          "error"]  # fmt: skip
ALPHA = 0.05
STAND_IN = (
    "This model was trained without ImageNet weights; its own encoder stands in for them, and "
    "scores are usually worse."
)
Line = dict[str, str | float | int | None]


def parser() -> argparse.ArgumentParser:
    """Model, pictures and where to write."""
    p = argparse.ArgumentParser(
        prog="python -m ml score",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("model", type=Path, help="model folder")
    p.add_argument("data", type=Path, help="folder of pictures, or one picture")
    p.add_argument("--out", type=Path, required=True, help="folder for scores.csv and heatmaps/")
    p.add_argument(
        "--alpha",
        type=float,
        help=f"share of good parts that may fail (default {ALPHA}, or the smallest "
        "that the model's calibration supports)",
    )
    weights.add_option(p)
    p.add_argument("--device", default="auto")
    p.add_argument("--threads", type=int, help="CPU threads (default: all)")
    p.add_argument("--no-heatmaps", action="store_true")
    p.add_argument("--json", action="store_true", help="JSON lines even on a terminal")
    return p  # fmt: skip


def main(argv: Sequence[str]) -> int:
    """Score every picture; 2 where the model, --alpha or the folder cannot be used."""
    arguments = parser().parse_args(argv)
    devices.limit(arguments.threads, 0)
    emitter = Emitter(as_json=arguments.json or not sys.stdout.isatty())
    try:
        folder = weights.chosen(arguments.weights)
        scorer = Scorer.load(arguments.model, weights_dir=folder, device=arguments.device)
        alpha = _alpha(arguments.alpha, scorer)
    except (ModelError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if scorer.manifest["scoring_backbone"]["stand_in"]:
        emitter.emit("log", level="warning", message=STAND_IN)
    pictures = pictures_under(arguments.data)
    paths = without_masks(arguments.data, pictures)
    refused = refused_under(arguments.data)
    if not paths:
        sys.stderr.write(f"There is no picture in {arguments.data}. {refused or ''}".strip() + "\n")
        return 2
    if refused:
        emitter.emit("log", level="warning", message=refused)
    if masks := len(pictures) - len(paths):
        told = f"{masks} pictures are masks by their names or folders and are not scored."
        emitter.emit("log", level="warning", message=told)
    arguments.out.mkdir(parents=True, exist_ok=True)
    root = arguments.data if arguments.data.is_dir() else arguments.data.parent
    heatmaps = None if arguments.no_heatmaps else arguments.out / "heatmaps"
    tick = Counter(emitter, "score")
    counts = {"Passed": 0, "Failed": 0, "Error": 0}
    with (arguments.out / "scores.csv").open("w", newline="") as handle:
        writer = csv.DictWriter(handle, FIELDS)
        writer.writeheader()
        for index, path in enumerate(paths, start=1):
            line = _line(scorer, path, path.relative_to(root).as_posix(), alpha, heatmaps)
            writer.writerow({k: _cell(v) for k, v in line.items()})
            handle.flush()
            counts[str(line["verdict"])] += 1
            tick(index, len(paths))
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    message = f"{told} at alpha {alpha:.3g}: {arguments.out / 'scores.csv'}"
    emitter.emit("log", level="info", message=message)
    return 0


def _alpha(asked: float | None, scorer: Scorer) -> float:
    """The error rate of the verdicts. Raises ValueError where the calibration is too small."""
    normals = scorer.calibration_scores.size
    if asked is None:
        return max(ALPHA, smallest_alpha(normals))
    check_alpha(asked, normals)
    return asked


def _line(scorer: Scorer, path: Path, name: str, alpha: float, heatmaps: Path | None) -> Line:
    try:
        picture = open_picture(path, MAX_PIXELS)
    except (PictureError, OSError) as error:
        return {"picture": name, "verdict": "Error", "error": str(error) or type(error).__name__}
    scored = scorer.score_one(picture)
    if heatmaps:
        # a.jpg and a.bmp may lie beside each other
        target = heatmaps / (name if path.suffix.lower() == ".png" else f"{name}.png")
        target.parent.mkdir(parents=True, exist_ok=True)
        overlay(scored, scorer).save(target)
    parts = getattr(scored, "scores", {})
    return {
        "picture": name,
        "score": scored.score,
        "p_value": scored.p_value,
        "verdict": "Failed" if scored.p_value <= alpha else "Passed",
        "paper_score": scored.paper_score,
        **{part: parts[part] for part in PARTS if part in parts},
        "regions": len(scored.regions),
        "boxes": "; ".join(_box(region) for region in scored.regions),
    }


def _box(region: Region) -> str:
    fractions = (region.x, region.y, region.width, region.height)
    return " ".join([*(f"{value:.4f}" for value in fractions), f"{region.peak:.4g}"])


def _cell(value: str | float | int | None) -> str | int:
    if value is None:
        return ""
    if isinstance(value, float):
        return repr(value)
    return harmless(value) if isinstance(value, str) else value


def overlay(scored: ScoredPicture, scorer: Scorer) -> Image.Image:
    """The picture with its heatmap on top."""
    scale = scorer.manifest["scale"]
    heat = render_heatmap(scored.map, scale["low"], scale["high"])
    return Image.alpha_composite(Image.fromarray(scored.view).convert("RGBA"), heat)
