"""Some training steps, as one process or as one of several that torchrun started.

    python -m torch.distributed.run --nproc-per-node 2 shared_steps.py STAGE STEPS

The lead prints the losses, one JSON list, and whether all processes hold the same weights.
"""

from __future__ import annotations

import json
import sys
from typing import Any
from unittest import mock

import torch
from conftest import part

from ml import distributed
from ml.barlow_twins.trainer import PretrainTrainer, load_encoder
from ml.data.dataset import PictureSet
from ml.data.model_view import model_view
from ml.features import scoring_features
from ml.inpainting.trainer import InpaintTrainer
from ml.presets import PRESETS

TINY, CPU, COUNT = PRESETS["tiny"], torch.device("cpu"), 32


def pictures() -> PictureSet:
    pixels = torch.stack([model_view(part(i), TINY.image_size, None).pixels for i in range(COUNT)])
    return PictureSet([str(i) for i in range(COUNT)], pixels, [(96, 72)] * COUNT)


def trainer(stage: str) -> Any:
    pretrain = PretrainTrainer(pictures(), TINY, 1, CPU)
    if stage == "pretrain":
        return pretrain
    torch.manual_seed(1)
    encoder = load_encoder(TINY, pretrain.result(), CPU)
    features = scoring_features(None, encoder)
    return InpaintTrainer(pictures(), TINY, 1, CPU, encoder, features, features)


def losses(stage: str, steps: int) -> tuple[list[float], list[float], dict[str, torch.Tensor]]:
    """The loss of each step over all processes, the length of each parameter's gradient in the
    first step, and the averaged weights.

    In float32 whatever the processor: bfloat16 rounds the parts of a batch more coarsely than
    what is to be compared.
    """
    one, found, lengths = trainer(stage), [], []
    with mock.patch("ml.device.cpu_has_bf16", return_value=False):
        for step in range(steps):
            found.append(distributed.mean_values(one.train_step(step, steps))["loss"])
            lengths = lengths or [float(p.grad.norm()) for p in one.optimised.parameters]
    return found, lengths, one.result()


def same_everywhere(tensors: dict[str, torch.Tensor]) -> bool:
    """Whether every process holds the same numbers, bit by bit."""
    floats = [t for t in tensors.values() if t.dtype.is_floating_point]
    return all(torch.equal(distributed.mean(t), t) for t in floats)


def main() -> None:
    with distributed.joined(CPU):
        found, lengths, weights = losses(sys.argv[1], int(sys.argv[2]))
        same = same_everywhere(weights)
        if distributed.leads():
            said = {"losses": found, "gradients": lengths, "same": same}
            print(json.dumps({**said, "processes": distributed.size()}))


if __name__ == "__main__":
    main()
