"""What a picture of 8,000 × 8,000 pixels costs: memory, and seconds until its first map.

Opened from its file (colour, 16-bit grey, with transparency) and scored through tiles, each kind
in a process of its own, on one thread, that has scored one picture of 256 pixels before. Networks
of preset `compact` with random weights and a full memory stand in for a trained model: neither
time nor memory depends on what was learnt. Ratio = limit ÷ figure, the smaller of memory and time.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ml.data.pictures import open_picture
from ml.data.tiles import Tile, seen_edge
from ml.features import EncoderFeatures
from ml.inpainting.model import InpaintingModel
from ml.masks import sweep
from ml.memory.memory import KEEP, Memory
from ml.memory.view import joined, layer_maps, views
from ml.memory_bank import MemoryBank
from ml.presets import PRESETS
from ml.scoring.evidence import Engine
from ml.scoring.tiling import LargeScorer

SIDE, SMALL = 8000, 256
MOST_BYTES, MOST_SECONDS = 1.5 * 2**30, 60.0
KINDS = {"colour": ".jpg", "16-bit grey": ".png", "transparent": ".png"}


def draw(kind: str, side: int, path: Path) -> None:
    """A picture with structure at every scale, and one small defect."""
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
    picture.paste(
        (255, 0, 0), (side // 3, side // 4, side // 3 + side // 32, side // 4 + side // 32)
    )
    if kind == "16-bit grey":
        grey = np.asarray(picture.convert("L"), np.uint16)
        Image.fromarray(grey * 257).save(path, compress_level=1)
    elif kind == "transparent":
        picture.putalpha(200)
        picture.save(path, compress_level=1)
    else:
        picture.save(path, quality=90)


def scorer() -> LargeScorer:
    """A cheap look by the memory, a thorough one that adds the mask sweep."""
    torch.manual_seed(1)
    preset = PRESETS["compact"]
    size = preset.image_size
    model = InpaintingModel(preset).eval().requires_grad_(False)
    features = EncoderFeatures(model.rough.encoder)
    view = views(stand_in=True, image_size=size)[0]
    layers = view.extractor(None, model.rough.encoder)
    scales = torch.ones(len(view.layers))
    sample = joined(layer_maps(layers, view, torch.rand(1, 3, size, size)), scales, view)
    bank = MemoryBank(torch.rand(KEEP, sample.shape[-1]), torch.zeros(KEEP, dtype=torch.long))
    masks = sweep(size, preset.cells, preset.subsets, 1)
    engine = Engine(model, features, masks, Memory(view, layers, scales, bank))

    def cheap(pixels: Tensor, tile: Tile) -> Tensor:
        return engine.distances(pixels)[0, 0]

    def thorough(pixels: Tensor, tile: Tile) -> Tensor:
        evidence = engine.evidence(pixels)
        return evidence.maps["inpainting"].mean((0, 1)) + evidence.maps["memory"][0, 0]

    edge = seen_edge([(SIDE, SIDE)], size)
    return LargeScorer(edge, size, cheap, lambda content: float(content.max()), thorough)


def peak() -> int:
    """The most bytes that this process has held.

    Not `ru_maxrss`, which a process takes over from the one that started it.
    """
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def child(small: Path, large: Path) -> dict[str, float]:
    """Score the small picture, then the large one."""
    # Threads that wait for each other on cores that others use too are slower than one alone.
    torch.set_num_threads(1)
    ours = scorer()
    ours.score(open_picture(small))
    before, first = peak(), []
    started, worked = time.perf_counter(), time.process_time()

    def seen(_: Tensor) -> None:
        first.extend((time.perf_counter() - started, time.process_time() - worked))

    result = ours.score(open_picture(large), seen)
    return {
        "bytes": peak() - before,
        "first": first[0],
        "worked": first[1],
        "whole": time.perf_counter() - started,
        "tiles": len(result.tile_scores),
        "thorough": len(result.thorough),
    }


def measured(kind: str, folder: Path) -> dict[str, float]:
    """The child's figures for one kind of picture."""
    paths = [folder / f"{side}{KINDS[kind]}" for side in (SMALL, SIDE)]
    for side, path in zip((SMALL, SIDE), paths, strict=True):
        draw(kind, side, path)
    command = [sys.executable, __file__, "--child", *map(str, paths)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    print(
        f"{kind}: {found['bytes'] / 2**20:.0f} MiB more, first map after {found['first']:.1f} s "
        f"({found['worked']:.1f} s of processor time), "
        f"whole after {found['whole']:.1f} s ({found['tiles']:.0f} tiles, "
        f"{found['thorough']:.0f} thoroughly)",
        flush=True,
    )
    return found


def main() -> int:
    """Print the table and, as the last line, the JSON object."""
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(child(Path(sys.argv[2]), Path(sys.argv[3]))))
        return 0
    found = []
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            found.append(measured(kind, Path(folder)))
    most, slowest = max(f["bytes"] for f in found), max(f["first"] for f in found)
    by_memory = MOST_BYTES / most < MOST_SECONDS / slowest
    ratio = min(MOST_BYTES / most, MOST_SECONDS / slowest)
    result = {
        "name": "8,000² picture",
        "figure": round(most / 2**20, 1) if by_memory else round(slowest, 2),
        "unit": "MiB more than for 256²" if by_memory else "s to the first map",
        "limit": MOST_BYTES / 2**20 if by_memory else MOST_SECONDS,
        "ratio": round(ratio, 3),
        "must": 1.0,
        "ok": ratio >= 1,
    }
    print(json.dumps(result))
    return 0 if result["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
