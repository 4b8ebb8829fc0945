"""How much of a GPU the training of preset `paper` uses.

Images a second of the inpainting step (forward, losses, backward, optimiser; batches drawn as in
a run) and its share of the device's bf16 peak: operations counted by torch's flop counter, peak
measured by a large matrix product in the same run. Without a GPU it says so and measures nothing.

    python benchmarks/gpu_training.py [--steps 40] [--eager]
"""

from __future__ import annotations

import argparse
import json
import sys
import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from ml.data.dataset import PictureSet
from ml.features import EncoderFeatures
from ml.inpainting.trainer import InpaintTrainer
from ml.presets import PRESETS
from ml.unet import Encoder

MUST = 0.15  # of the peak; the attention's sequential part and small deep maps cost the rest
WARM_UP, SIDE, PRODUCTS = 5, 8192, 20


def main() -> int:
    """Print the figures and, as the last line, the JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--eager", action="store_true", help="do not compile")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("no GPU here: nothing was measured")
        return report(None)
    device = torch.device("cuda")
    trainer = make_trainer(device)
    note = None if arguments.eager else trainer.compile()
    print(note or ("uncompiled" if arguments.eager else "compiled"), flush=True)
    seconds = step_seconds(trainer, arguments.steps)
    # Counted on an uncompiled twin: a compiled graph's kernels are not all seen.
    flops = step_flops(make_trainer(device))
    peak = measured_peak(device)
    share = flops / seconds / peak
    print(
        f"{torch.cuda.get_device_name()}: {trainer.pictures_per_step / seconds:.1f} images/s, "
        f"{flops / 1e12:.2f} TFLOP a step, {flops / seconds / 1e12:.1f} of "
        f"{peak / 1e12:.0f} TFLOP/s"
    )
    return report(share)


def report(share: float | None) -> int:
    """The last line; without a figure the benchmark neither passes nor fails."""
    result = {
        "name": "GPU training, preset paper",
        "figure": None if share is None else round(share, 4),
        "unit": "no GPU here" if share is None else "share of the measured bf16 peak",
        "limit": 1.0,
        "ratio": None if share is None else round(share, 4),
        "must": MUST,
        "ok": share is None or share >= MUST,
    }
    print(json.dumps(result))
    return 0 if result["ok"] else 1


def make_trainer(device: torch.device) -> InpaintTrainer:
    """Preset `paper` on random pictures: their content costs no operation more or less."""
    preset, count = PRESETS["paper"], 64
    size = preset.image_size
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=generator)
    pictures = PictureSet([str(i) for i in range(count)], pixels, [(size, size)] * count)
    encoder = Encoder(preset.levels, preset.width, preset.max_width, size).to(device)
    features = EncoderFeatures(encoder)
    return InpaintTrainer(pictures, preset, 1, device, encoder, features, features)


def step_seconds(trainer: InpaintTrainer, steps: int) -> float:
    """Mean seconds of a step after the first few."""
    for step in range(WARM_UP):
        trainer.train_step(step, WARM_UP + steps)
    torch.cuda.synchronize()
    started = time.monotonic()
    for step in range(WARM_UP, WARM_UP + steps):
        trainer.train_step(step, WARM_UP + steps)
    torch.cuda.synchronize()
    return (time.monotonic() - started) / steps


def step_flops(trainer: InpaintTrainer) -> int:
    """Operations of one step: convolutions and products, forward and backward."""
    counter = FlopCounterMode(display=False)
    with counter:
        trainer.train_step(0, 1)
    return int(counter.get_total_flops())


def measured_peak(device: torch.device) -> float:
    """bf16 operations a second of a large matrix product."""
    a, b = (torch.randn(SIDE, SIDE, device=device, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        a @ b
    torch.cuda.synchronize()
    started = time.monotonic()
    for _ in range(PRODUCTS):
        a @ b
    torch.cuda.synchronize()
    return 2 * SIDE**3 * PRODUCTS / (time.monotonic() - started)


if __name__ == "__main__":
    sys.exit(main())
