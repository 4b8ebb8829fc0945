"""How close the coherent semantic attention comes to the bare work that no such layer can avoid.

Batch 8, 512 channels at 32×32, a quarter masked. The limit is normalise, one batched matrix
product, arg-max and gather; it lacks the blending with the predecessor, which goes position by
position. Limit, layer and the plain loop (one matrix–vector product per picture and masked
position) are timed in turn, on one thread so that other work on the machine disturbs all alike.
Ratio = limit ÷ our time, the smaller of forward and forward + backward.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ml.csa import coherent_attention

BATCH, SIDE, CHANNELS, SHARE = 8, 32, 512, 0.25
REPEATS, LOOP_REPEATS = 25, 5
MUST, FASTER_THAN_LOOP, EQUAL = 1 / 2.5, 5.0, 1e-5

Attention = Callable[[Tensor, Tensor], Tensor]


def inputs() -> tuple[Tensor, Tensor]:
    """Random features and masks with as many masked positions in each."""
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(BATCH, CHANNELS, SIDE, SIDE, generator=generator)
    masks = torch.zeros(BATCH, SIDE * SIDE, dtype=torch.bool)
    for mask in masks:
        mask[torch.randperm(SIDE * SIDE, generator=generator)[: int(SHARE * SIDE * SIDE)]] = True
    return features, masks.view(BATCH, 1, SIDE, SIDE)


def limit(features: Tensor, mask: Tensor) -> Tensor:
    """Every masked position takes its best match: normalise, product, arg-max, gather."""
    patches = features.flatten(2).transpose(1, 2)
    unit = F.normalize(patches, dim=2)
    hidden = mask.flatten(1)
    rows = hidden.nonzero()[:, 1].view(len(hidden), -1, 1).expand(-1, -1, CHANNELS)
    similarity = unit.gather(1, rows) @ unit.transpose(1, 2)
    best, match = similarity.masked_fill(hidden.unsqueeze(1), -torch.inf).max(dim=2)
    return patches.gather(1, match.unsqueeze(2).expand(-1, -1, CHANNELS)) * best.unsqueeze(2)


def loop(features: Tensor, mask: Tensor) -> Tensor:
    """The layer as its equations read, one picture and one masked position after the other."""
    result = features.flatten(2).transpose(1, 2).contiguous()
    for patches, hidden in zip(result, mask.flatten(1), strict=True):
        known = patches[~hidden].clone()
        unit = F.normalize(known, dim=1)
        previous: Tensor | None = None
        for place in hidden.nonzero().flatten().tolist():
            patch = F.normalize(patches[place], dim=0)
            best, match = (unit @ patch).max(0)
            generated, best = known[match], best.clamp(min=0)
            if previous is not None:
                near = (patch @ F.normalize(previous, dim=0)).clamp(min=0)
                if near + best > 0:
                    generated = (near * previous + best * generated) / (near + best)
            patches[place] = previous = generated
    return result.transpose(1, 2).reshape(features.shape)


def forward(attention: Attention, features: Tensor, mask: Tensor) -> float:
    """Seconds of one pass without gradients."""
    with torch.no_grad():
        started = time.perf_counter()
        attention(features, mask)
        return time.perf_counter() - started


def both(attention: Attention, features: Tensor, mask: Tensor) -> float:
    """Seconds of one pass forward and back."""
    leaf = features.clone().requires_grad_()
    started = time.perf_counter()
    attention(leaf, mask).sum().backward()
    return time.perf_counter() - started


def main() -> int:
    """Print the table and, as the last line, the JSON object."""
    torch.set_num_threads(1)
    features, mask = inputs()
    apart = float((coherent_attention(features, mask) - loop(features, mask)).abs().max())
    ratios, seconds = [], []
    for measure in (forward, both):
        ours, bare = [], []
        for _ in range(REPEATS + 1):
            bare.append(measure(limit, features, mask))
            ours.append(measure(coherent_attention, features, mask))
        # The first pair warms up.
        ratios.append(statistics.median(b / o for b, o in zip(bare[1:], ours[1:], strict=True)))
        seconds.append((statistics.median(ours[1:]), statistics.median(bare[1:])))
        print(
            f"{measure.__name__}: {1000 * seconds[-1][0]:.1f} ms, limit "
            f"{1000 * seconds[-1][1]:.1f} ms, {1 / ratios[-1]:.2f} × the limit",
            flush=True,
        )
    against = [
        forward(loop, features, mask) / forward(coherent_attention, features, mask)
        for _ in range(LOOP_REPEATS)
    ]
    faster = statistics.median(against)
    print(f"{faster:.1f} × as fast as the loop; largest difference to it {apart:.1e}")
    worst = min(range(2), key=ratios.__getitem__)
    result = {
        "name": "coherent semantic attention",
        "figure": round(1000 * seconds[worst][0], 2),
        "unit": "ms",
        "limit": round(1000 * seconds[worst][1], 2),
        "ratio": round(ratios[worst], 3),
        "must": MUST,
        "ok": ratios[worst] >= MUST and faster >= FASTER_THAN_LOOP and apart <= EQUAL,
    }
    print(json.dumps(result))
    return 0 if result["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
