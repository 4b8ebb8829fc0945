"""On a CUDA device: bf16 training, compiling, data-parallel over NCCL, scores as on the CPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ml.barlow_twins.trainer import PretrainTrainer, load_encoder
from ml.data.dataset import PictureSet
from ml.device import compiling_pays
from ml.features import scoring_features
from ml.inpainting.trainer import InpaintTrainer, load_model
from ml.masks import partition
from ml.presets import PRESETS
from ml.scoring.maps import differences

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
ROOT = Path(__file__).parents[2]
TINY, COMPACT = PRESETS["tiny"], PRESETS["compact"]
CUDA, CPU = torch.device("cuda"), torch.device("cpu")


def pictures(size: int, count: int = 32) -> PictureSet:
    """Smooth random pictures: nothing is learnt from noise."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 8, 8, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic")
    pixels = (smooth.clamp(0, 1) * 255).to(torch.uint8)
    return PictureSet([str(i) for i in range(count)], pixels, [(size, size)] * count)


def trainer(device: torch.device) -> InpaintTrainer:
    """Preset compact from a fresh encoder."""
    some = pictures(COMPACT.image_size)
    encoder = load_encoder(COMPACT, PretrainTrainer(some, COMPACT, 1, CPU).result(), device)
    features = scoring_features(None, encoder).to(device)
    return InpaintTrainer(some, COMPACT, 1, device, encoder, features, features)


def test_training_in_bf16_learns_and_keeps_weights_in_float32() -> None:
    one = trainer(CUDA)
    dtypes: set[torch.dtype] = set()
    one.model.rough.encoder.stages[1][0].register_forward_hook(
        lambda _m, _i, output: dtypes.add(output.dtype)
    )
    losses = [one.train_step(step, 120)["loss"] for step in range(120)]
    assert dtypes == {torch.bfloat16}
    assert {p.dtype for p in one.model.parameters()} == {torch.float32}
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


def test_compiled_training_follows_the_uncompiled() -> None:
    if not compiling_pays(CUDA):
        pytest.skip("no compiler for CUDA (triton)")
    plain, compiled = trainer(CUDA), trainer(CUDA)
    assert compiled.compile() is None
    for step in range(5):
        expected = plain.train_step(step, 5)["loss"]
        assert compiled.train_step(step, 5)["loss"] == pytest.approx(expected, rel=0.03)


def test_a_resumed_stage_goes_on_with_the_same_weights() -> None:
    one, other = trainer(CUDA), trainer(CUDA)
    for step in range(3):
        one.train_step(step, 5)
    other.optimised.restore({k: v.cpu() for k, v in one.optimised.tensors().items()})
    for step in range(3, 5):
        expected = one.train_step(step, 5)["loss"]
        assert other.train_step(step, 5)["loss"] == pytest.approx(expected, rel=1e-3)


def test_scores_agree_with_the_cpus_to_a_thousandth() -> None:
    one = trainer(CUDA)
    for step in range(30):
        one.train_step(step, 30)
    masks = partition(COMPACT.image_size, 16, COMPACT.subsets, 1)
    image = pictures(COMPACT.image_size).floats(slice(0, 1))
    found = []
    for device in (CPU, CUDA):
        model = load_model(COMPACT, one.result(), device)
        with torch.inference_mode():
            hidden = masks.to(device)
            passes = model(image.to(device).expand(len(masks), -1, -1, -1), hidden).refined
            restored = (passes * hidden).sum(0, keepdim=True)
            levels = differences(one.scoring.to(device), image[0].to(device), restored)
        found.append((levels.paper_score, levels.levels.cpu()))
    (cpu_score, cpu_levels), (cuda_score, cuda_levels) = found
    assert cuda_score == pytest.approx(cpu_score, rel=1e-3)
    torch.testing.assert_close(cuda_levels, cpu_levels, rtol=1e-3, atol=1e-3)


def test_nccl_with_one_process_per_device_ends_in_the_same_weights() -> None:
    """One device makes one process: the group, its messages and the synchronised layers run."""
    script = (
        "import os, json, torch\n"
        "os.environ['WORLD_SIZE'] = '1'\n"
        "from ml import distributed\n"
        "distributed.wanted = lambda: True\n"
        "import sys; sys.path.insert(0, 'tests/gpu')\n"
        "from test_gpu_training import trainer\n"
        "with distributed.joined(torch.device('cuda')):\n"
        "    one = trainer(torch.device('cuda'))\n"
        "    kinds = {type(m).__name__ for m in one.model.modules()}\n"
        "    losses = [distributed.mean_values(one.train_step(s, 5))['loss'] for s in range(5)]\n"
        "    print(json.dumps([torch.distributed.get_backend(), sorted(kinds), losses]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1",
         "--no-python", sys.executable, "-c", script],
        capture_output=True, text=True, cwd=ROOT, timeout=280, check=True,
    )  # fmt: skip
    backend, kinds, losses = json.loads(done.stdout.splitlines()[-1])
    assert backend == "nccl"
    assert "SyncBatchNorm" in kinds
    alone = trainer(CUDA)
    expected = [alone.train_step(step, 5)["loss"] for step in range(5)]
    assert losses == pytest.approx(expected, rel=0.03)
