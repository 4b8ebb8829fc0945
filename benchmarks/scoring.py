"""What share of the scorer's time goes into the networks that it cannot do without.

The limit is one picture's bare forward passes in the same shapes: the mask sweep through the
restorer as one batch, the backbone on picture and restorations, the memory's backbone and its one
matrix product. The scorer adds all else: letterbox, stitching, maps, norms, smoothing, the
decision, regions. Preset `compact` with random weights and a full memory, one thread, both
timed in turn. Ratio = limit ÷ our time.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ml.features import EncoderFeatures
from ml.inpainting.model import InpaintingModel
from ml.masks import sweep
from ml.memory.memory import KEEP, Memory
from ml.memory.view import MemoryView, joined, layer_maps, views
from ml.memory_bank import MemoryBank
from ml.presets import PRESETS
from ml.scoring.decision import Decision, Fusion, Part
from ml.scoring.evidence import Engine
from ml.scoring.normalise import Norm
from ml.scoring.scorer import Scorer
from ml.scoring.setting import default_setting

REPEATS, MUST = 15, 0.85
SIDE = 256  # pixels of the picture


def scorer() -> Scorer:
    """A model of method `fused` that has learnt nothing."""
    torch.manual_seed(1)
    preset = PRESETS["compact"]
    size = preset.image_size
    model = InpaintingModel(preset).eval().requires_grad_(False)
    model = model.to(memory_format=torch.channels_last)
    features = EncoderFeatures(model.rough.encoder)
    view = views(stand_in=True, image_size=size)[0]
    masks = sweep(size, preset.cells, preset.subsets, 1)
    engine = Engine(model, features, masks, _memory(view, model))
    parts = {
        name: Part(default_setting(levels), _norm(count, levels, size), 1.0)
        for name, count, levels in (("inpainting", len(preset.cells), 4), ("memory", 1, 1))
    }
    manifest = {
        "image_size": size,
        "scale": {"low": 5.0, "high": 9.0},
        "calibration": {"scores": np.linspace(1, 5, 60).tolist()},
    }
    decision = Decision("fused", parts, Fusion(0.7, "top0.2%"))
    return Scorer(manifest, engine, decision, aligner=None)


def _memory(view: MemoryView, model: InpaintingModel) -> Memory:
    extractor = view.extractor(None, model.rough.encoder)
    scales = torch.ones(len(view.layers))
    layers = layer_maps(extractor, view, torch.rand(1, 3, view.size, view.size))
    width = joined(layers, scales, view).shape[-1]
    bank = MemoryBank(torch.rand(KEEP, width), torch.zeros(KEEP, dtype=torch.long))
    return Memory(view, extractor, scales, bank)


def _norm(count: int, levels: int, size: int) -> Norm:
    shape = (count, levels, size, size)
    return Norm(torch.zeros(shape), torch.ones(shape))


@torch.inference_mode()
def forward_passes(engine: Engine, memory: Memory, image: Tensor) -> None:
    """What no scorer with these networks can leave out, on one picture (3, S, S)."""
    if engine.model is None:
        raise ValueError("this benchmark restores")
    masks = engine.masks.flatten(0, 1)
    repeated = image.expand(len(masks), -1, -1, -1)
    refined = engine.model(repeated.contiguous(memory_format=torch.channels_last), masks).refined
    engine.extractor(refined[: len(engine.masks)])
    engine.extractor(image.unsqueeze(0))
    memory.extractor(image.unsqueeze(0))
    patches = memory.bank.patches
    (patches[: memory.view.grid**2] @ patches.T).max(1)


def seconds(work: Callable[[], object]) -> float:
    """Of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> int:
    """Print the medians and, as the last line, the JSON object."""
    torch.set_num_threads(1)
    ours = scorer()
    memory = ours.engine.memory
    if memory is None:
        raise ValueError("this benchmark remembers")
    noise = np.random.default_rng(1).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
    picture, image = Image.fromarray(noise), torch.rand(3, ours.size, ours.size)
    bare, whole = [], []
    for _ in range(REPEATS + 1):
        bare.append(seconds(lambda: forward_passes(ours.engine, memory, image)))
        whole.append(seconds(lambda: ours.score_one(picture)))
    # The first pair warms up.
    ratio = statistics.median(b / w for b, w in zip(bare[1:], whole[1:], strict=True))
    figure, limit = statistics.median(whole[1:]), statistics.median(bare[1:])
    print(f"{1000 * figure:.0f} ms a picture, forward passes alone {1000 * limit:.0f} ms")
    result = {
        "name": "scoring",
        "figure": round(1 / figure, 3),
        "unit": "pictures/s",
        "limit": round(1 / limit, 3),
        "ratio": round(ratio, 3),
        "must": MUST,
        "ok": ratio >= MUST,
    }
    print(json.dumps(result))
    return 0 if result["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
