"""What a picture of 8,000 × 8,000 pixels costs: memory, and seconds until its first map.

A model of method `fused`, preset `compact`, is trained on large pictures (few steps: neither time
nor memory of scoring depends on how much was learnt) and opened from its folder. Then a picture
with a defect of 0.1 % of its area is opened from its file (colour, 16-bit grey, with
transparency) and scored, each kind in a process of its own, on one thread, that has scored a
picture of 256 pixels before. Ratio = limit ÷ figure, the smaller of memory and time; the map's
maximum must lie in the defect.

    python benchmarks/large_picture.py [--weights DIR] [--model DIR]
"""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ml.checkpoints import write_json
from ml.data.pictures import open_picture
from ml.scoring import Scorer

ROOT = Path(__file__).resolve().parents[1]
SIDE, SMALL = 8000, 256
MOST_BYTES, MOST_SECONDS = 1.5 * 2**30, 60.0
KINDS = {"colour": ".jpg", "16-bit grey": ".png", "transparent": ".png"}
NORMALS, LONG, SHORT, STEPS = 60, 1100, 140, 30  # long enough for tiles, and quickly learnt
CELL = 125  # pixels of a picture of 8,000: what it shows at the coarsest


def scene(width: int, height: int, scale: float, seed: int) -> Image.Image:
    """Smooth colours, as an 8,000 px picture shows them at `scale`, and noise where it is small."""
    rng = np.random.default_rng(seed)
    cells = [max(2, round(edge / (CELL * scale))) for edge in (height, width)]
    coarse = Image.fromarray(rng.integers(40, 215, (*cells, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def draw(kind: str, side: int, path: Path) -> None:
    """A picture with one defect of 0.1 % of its area, a third from its left and upper border:
    stripes, which show in grey too."""
    picture = scene(side, side, side / SIDE, 1)
    edge, wide = round(0.001**0.5 * side), max(1, side // 200)
    for place in range(0, edge, wide):
        tone = 255 if place // wide % 2 else 0
        left = side // 3 + place
        right = min(left + wide, side // 3 + edge)
        picture.paste((tone, tone, tone), (left, side // 3, right, side // 3 + edge))
    if kind == "16-bit grey":
        grey = np.asarray(picture.convert("L"), np.uint16)
        Image.fromarray(grey * 257).save(path, compress_level=1)
    elif kind == "transparent":
        picture.putalpha(200)
        picture.save(path, compress_level=1)
    else:
        picture.save(path, quality=90)


def train(folder: Path, weights: Path | None) -> Path:
    """A model folder, from pictures that are looked at through tiles."""
    images = []
    for number in range(NORMALS):
        path = folder / f"{number:03d}.png"
        scene(LONG, SHORT, LONG / SIDE, 100 + number).save(path)
        images.append({"id": path.stem, "path": str(path)})
    job = {
        "out": str(folder / "run"), "images": images, "method": "fused", "preset": "compact",
        "seed": 1, "budget_minutes": 10, "steps": STEPS, "device": "cpu", "threads": 1,
        "weights_dir": str(weights.resolve()) if weights else None, "min_free_gb": 0.1,
    }  # fmt: skip
    write_json(folder / "job.json", job)
    command = [sys.executable, "-m", "ml", "train", "--job", str(folder / "job.json"), "--json"]
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    return folder / "run" / "model"


def peak() -> int:
    """The most bytes that this process has held.

    Not `ru_maxrss`, which a process takes over from the one that started it.
    """
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def child(model: Path, weights: Path | None, small: Path, large: Path) -> dict[str, Any]:
    """Score the small picture, then the large one."""
    # Threads that wait for each other on cores that others use too are slower than one alone.
    torch.set_num_threads(1)
    ours = Scorer.load(model, weights_dir=weights, device="cpu")
    ours.score_one(open_picture(small))
    before, first = peak(), []
    started, worked = time.perf_counter(), time.process_time()

    def seen(_: Tensor) -> None:
        first.extend((time.perf_counter() - started, time.process_time() - worked))

    found = ours.score_one(open_picture(large), seen)
    y, x = np.unravel_index(found.map.argmax(), found.map.shape)
    spot = [float(x) / found.map.shape[1] - 1 / 3, float(y) / found.map.shape[0] - 1 / 3]
    return {
        "bytes": peak() - before,
        "first": first[0],
        "worked": first[1],
        "whole": time.perf_counter() - started,
        "found": all(-0.005 < away < 0.001**0.5 + 0.005 for away in spot),
        "regions": len(found.regions),
        "tiles": ours.manifest["tiles"],
        "view": (ours.manifest["memory"] or {}).get("view"),
    }


def measured(kind: str, model: Path, weights: Path | None, folder: Path) -> dict[str, Any]:
    """The child's figures for one kind of picture."""
    paths = [folder / f"{side}{KINDS[kind]}" for side in (SMALL, SIDE)]
    for side, path in zip((SMALL, SIDE), paths, strict=True):
        draw(kind, side, path)
    command = [sys.executable, __file__, "--model", str(model), "--child", *map(str, paths)]
    command += ["--weights", str(weights)] if weights else []
    found: dict[str, Any] = json.loads(
        subprocess.run(command, check=True, capture_output=True).stdout
    )
    print(
        f"{kind}: {found['bytes'] / 2**20:.0f} MiB more, first map after {found['first']:.1f} s "
        f"({found['worked']:.1f} s of processor time), whole after {found['whole']:.1f} s, the "
        f"map's maximum {'in' if found['found'] else 'NOT in'} the defect, seen at "
        f"{found['tiles']['edge']} px, memory at {found['view']}",
        flush=True,
    )
    return found


def summary(found: list[dict[str, Any]], weights: Path | None) -> dict[str, Any]:
    """The JSON object."""
    most, slowest = max(f["bytes"] for f in found), max(f["first"] for f in found)
    by_memory = MOST_BYTES / most < MOST_SECONDS / slowest
    ratio = min(MOST_BYTES / most, MOST_SECONDS / slowest)
    each = "; ".join(
        f"{kind} {f['bytes'] / 2**20:.0f} MiB, first map {f['first']:.1f} s "
        f"({f['worked']:.1f} s of processor time), whole {f['whole']:.1f} s"
        for kind, f in zip(KINDS, found, strict=True)
    )
    how = (
        f"a trained model (fused, compact, {NORMALS} normals of {LONG} × {SHORT} px, {STEPS} "
        f"steps, {'SqueezeNet' if weights else 'no ImageNet'} weights), one thread, "
        f"{datetime.date.today()}: {each}; the defect of 0.1 % is the map's maximum in "
        f"{sum(f['found'] for f in found)} of {len(found)}"
    )
    return {
        "name": "8,000² picture",
        "figure": round(most / 2**20, 1) if by_memory else round(slowest, 2),
        "unit": "MiB more than for 256²" if by_memory else "s to the first map",
        "limit": MOST_BYTES / 2**20 if by_memory else MOST_SECONDS,
        "ratio": round(ratio, 3),
        "must": 1.0,
        "ok": ratio >= 1 and all(f["found"] for f in found),
        "measured": how,
    }


def main() -> int:
    """Print the figures and, as the last line, the JSON object."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--weights", type=Path, help="folder with SqueezeNet's weights")
    p.add_argument("--model", type=Path, help="a trained model folder instead of an own one")
    p.add_argument("--child", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = p.parse_args()
    if options.child:
        print(json.dumps(child(options.model, options.weights, *options.child)))
        return 0
    with tempfile.TemporaryDirectory() as kept:
        model = options.model or train(Path(kept), options.weights)
        found = []
        for kind in KINDS:
            with tempfile.TemporaryDirectory() as folder:
                found.append(measured(kind, model, options.weights, Path(folder)))
    result = summary(found, options.weights)
    print(json.dumps(result, ensure_ascii=False))
    return 0 if result["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
