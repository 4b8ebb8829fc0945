"""Does the vetting find bad pictures among the good ones?

Defective transistors are mixed into the good training pictures (5 %), and the run's own vetting
ranks them all. The figure is the share of the defects that stands in the flagged 10 %, by the
memory on SqueezeNet's features; beside it the same with the self-supervised stand-in, as a plant
without these weights has it. Without the weights' file the stand-in's is the only figure.

    KINTSUGI_SHARED=../shared python benchmarks/vetting.py
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from pathlib import Path

import torch

from ml.barlow_twins.trainer import PretrainTrainer, load_encoder
from ml.data.alignment import FIT_ON, fit
from ml.data.dataset import PictureSet, Source, load_pictures
from ml.features import SQUEEZENET_FILE, EncoderFeatures, FeatureExtractor, SqueezeNetFeatures
from ml.presets import PRESETS
from ml.vetting import describe, unlikeness, vet

MUST = 0.60
SHARE = 0.05
DRAWS = 10
PRETRAIN_STEPS = 40  # what a run of five minutes on two cores gives pre-training, about


def main() -> int:
    """Print the table and, as the last line, the JSON object."""
    shared = Path(os.environ.get("KINTSUGI_SHARED", "../shared"))
    root = shared / "data/mvtec/transistor"
    if not root.is_dir():
        print(f"{root} is missing: set KINTSUGI_SHARED")
        return 2
    torch.manual_seed(0)
    good = sorted((root / "train/good").iterdir())
    bad = sorted(p for p in (root / "test").glob("*/*") if p.parent.name != "good")
    pictures = _pictures([*good, *bad])
    names = {str(p) for p in bad}
    figures = {}
    weights = shared / "weights" / SQUEEZENET_FILE
    if weights.is_file():
        figures["squeezenet1_1"] = _measure(pictures, names, SqueezeNetFeatures(weights))
    stand_in = _stand_in(pictures, names)
    figures["ssl_encoder"] = _measure(pictures, names, stand_in)
    figure = next(iter(figures.values()))
    print(
        json.dumps(
            {
                "name": "vetting",
                "figure": round(figure, 4),
                "unit": "share of 5 % mixed-in defects in the flagged 10 %",
                "limit": 1.0,
                "ratio": round(figure, 4),
                "must": MUST,
                "ok": figure >= MUST,
                "by_backbone": {name: round(value, 4) for name, value in figures.items()},
            }
        )
    )
    return 0 if figure >= MUST else 1


def _pictures(paths: list[Path]) -> PictureSet:
    """Loaded as a run loads them: aligned where that is worth it."""
    size = PRESETS["compact"].image_size
    sources = [Source(str(p), p) for p in paths]
    pictures = load_pictures(sources, size)
    aligner, ratio = fit(pictures.floats(slice(0, FIT_ON)))
    print(f"alignment: normals differ {ratio:.2f} times as much after it")
    return load_pictures(sources, size, aligner=aligner) if aligner else pictures


def _draw(pictures: PictureSet, bad: set[str], seed: int) -> list[int]:
    """Rows of all good pictures and of a random few defects, 5 % of the whole."""
    good_rows = [i for i, id_ in enumerate(pictures.ids) if id_ not in bad]
    bad_rows = [i for i, id_ in enumerate(pictures.ids) if id_ in bad]
    count = round(SHARE / (1 - SHARE) * len(good_rows))
    return good_rows + random.Random(seed).sample(bad_rows, count)  # noqa: S311


def _stand_in(pictures: PictureSet, bad: set[str]) -> FeatureExtractor:
    """An encoder pre-trained briefly on one contaminated set, as a run without weights has it."""
    preset = PRESETS["compact"]
    mixed = pictures.subset([pictures.ids[i] for i in _draw(pictures, bad, 0)])
    trainer = PretrainTrainer(mixed, preset, 1, torch.device("cpu"))
    for step in range(PRETRAIN_STEPS):
        trainer.train_step(step, PRETRAIN_STEPS)
    return EncoderFeatures(load_encoder(preset, trainer.result(), torch.device("cpu")))


def _measure(pictures: PictureSet, bad: set[str], extractor: FeatureExtractor) -> float:
    """Mean over draws of the share of defects in the flagged tenth."""
    with torch.inference_mode():
        features = describe(pictures, extractor)
        found = []
        for draw in range(DRAWS):
            rows = _draw(pictures, bad, draw)
            scores = unlikeness(features[rows], seed=draw).scores
            top = scores.argsort(descending=True)[: max(1, round(0.1 * len(rows)))].tolist()
            defects = [i for i, row in enumerate(rows) if pictures.ids[row] in bad]
            found.append(len(set(top) & set(defects)) / len(defects))
    share = sum(found) / len(found)
    started = time.monotonic()
    one = pictures.subset([pictures.ids[i] for i in _draw(pictures, bad, 0)])
    items = vet(one, extractor, seed=0)
    seconds = time.monotonic() - started
    wrong = sum(i.suggest_exclude and i.image not in bad for i in items)
    right = sum(i.suggest_exclude and i.image in bad for i in items)
    print(
        f"{extractor.name}: {share:.3f} over {DRAWS} draws (worst {min(found):.3f}); first draw: "
        f"suggested to exclude {right} defects and {wrong} good pictures; {seconds:.1f} s"
    )
    return share


if __name__ == "__main__":
    sys.exit(main())
