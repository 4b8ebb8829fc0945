"""What a picture of 8,000 × 8,000 pixels costs: memory, and seconds until its first map.

A model of method `fused`, preset `compact`, is trained on large pictures and opened from its
folder. It takes few steps, few calibration pictures and few tiles to choose by: neither time nor
memory of scoring depends on these, and its memory of normal patches is full. Then a picture with
a defect of 0.1 % of its area is opened from its file (colour, 16-bit grey, with transparency) and
scored, each kind in a process of its own, on one thread, that has scored a picture of 256 pixels
before. Ratio = limit ÷ figure, the smaller of memory and time; the map's maximum must lie in the
defect.

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

from ml.data.dataset import Source
from ml.data.pictures import open_picture
from ml.events import Emitter
from ml.scoring import Scorer
from ml.train import calibrate_tiles, evaluate_tiles, memory, run, splits
from ml.train.job import Job

SIDE, SMALL = 8000, 256
MOST_BYTES, MOST_SECONDS = 1.5 * 2**30, 60.0
KINDS = {"colour": ".jpg", "16-bit grey": ".png", "transparent": ".png"}
LONG, SHORT, STEPS = 2100, 140, 10  # long enough for tiles, and quickly learnt
LEARNT, CALIBRATED = 20, 8
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
    splits.MIN_CALIBRATION, splits.MIN_USABLE = CALIBRATED, LEARNT + CALIBRATED
    calibrate_tiles.NORMAL_TILES, calibrate_tiles.SYNTHETIC = 20, 15
    memory.REMEMBERED_TILES, memory.TRIAL_NORMALS, memory.TRIAL_DEFECTS = 220, 8, 10
    evaluate_tiles.PICTURES, evaluate_tiles.WHOLE = 4, 1
    images = []
    for number in range(LEARNT + CALIBRATED):
        path = folder / f"{number:03d}.png"
        scene(LONG, SHORT, LONG / SIDE, 100 + number).save(path)
        images.append(Source(path.stem, path))
    job = Job(
        folder / "run", images, preset="compact", steps=STEPS, device="cpu", threads=1,
        weights_dir=weights, min_free_gb=0.1,
    )  # fmt: skip
    return run.train(job, Emitter(as_json=True, stream=sys.stderr))


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
        "model": {name: ours.manifest[name] for name in ("tiles", "steps", "images")},
        "view": ours.manifest["memory"]["view"],
        "patches": ours.manifest["memory"]["patches"],
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
        f"{found['model']['tiles']['edge']} px, memory at {found['view']}",
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
    model = found[0]["model"]
    how = (
        f"a trained model (fused, compact, {model['images']['train']} normals, "
        f"{model['steps']['inpaint']} steps, {'SqueezeNet' if weights else 'no ImageNet'} weights, "
        f"memory of {found[0]['patches']} patches looking at {found[0]['view']['size']} px), seen "
        f"at {model['tiles']['edge']} px, one thread, {datetime.date.today()}: {each}; the defect "
        f"of 0.1 % is the map's maximum in {sum(f['found'] for f in found)} of {len(found)}"
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
    p.add_argument("--train", type=Path, help="train in this folder, and no more")
    p.add_argument("--child", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = p.parse_args()
    if options.train:
        options.train.mkdir(parents=True, exist_ok=True)
        print(train(options.train, options.weights))
        return 0
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
