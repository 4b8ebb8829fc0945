"""Network parts that the rivals share: the patch discriminator, first weights, freezing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ml.unet import channels_at

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class Restored:
    """What a pass of a network with one stage gives: both are the same (B, 3, S, S) in 0..1."""

    rough: Tensor
    refined: Tensor


def signed(images: Tensor) -> Tensor:
    """0..1 to −1..1, the range that the published weights of the losses were chosen for."""
    return 2 * images - 1


def unsigned(images: Tensor) -> Tensor:
    """−1..1 to 0..1."""
    return (images + 1) / 2


class PatchDiscriminator(nn.Sequential):
    """Whether overlapping patches are real: (B, inputs, H, W) to logits (B, 1, h, w).

    The discriminator of pix2pix (Isola et al. 2017): `halvings` convolutions of stride 2 and
    one of stride 1. Normalised per picture: statistics over a batch that is all real or all
    restored would give the answer away.
    """

    def __init__(self, inputs: int, width: int, max_width: int, halvings: int = 3) -> None:
        layers: list[nn.Module] = []
        for level in range(halvings + 1):
            outputs = channels_at(level, width, max_width)
            kernel, stride = (4, 2) if level < halvings else (3, 1)
            layers.append(nn.Conv2d(inputs, outputs, kernel, stride, padding=1, bias=level == 0))
            if level:
                layers.append(nn.InstanceNorm2d(outputs))
            layers.append(nn.LeakyReLU(0.2, inplace=True))
            inputs = outputs
        super().__init__(*layers, nn.Conv2d(inputs, 1, 3, padding=1))
        initialise(self)


def initialise(network: nn.Module) -> None:
    """DCGAN's first weights (Radford et al. 2016): N(0, 0.02), scales N(1, 0.02), biases 0."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def loaded(
    build: Callable[[], Network], tensors: dict[str, Tensor], device: torch.device
) -> Network:
    """What `build` makes, with these weights and in evaluation mode."""
    with torch.device("meta"):  # no weights drawn only to be replaced
        network = build()
    network.load_state_dict({k: v.detach().clone() for k, v in tensors.items()}, assign=True)
    return network.to(device).to(memory_format=torch.channels_last).eval()


@contextmanager
def frozen(*networks: nn.Module) -> Iterator[None]:
    """Inside, nothing that the networks see changes them.

    Their weights get no gradients, and their batch normalisation keeps its running figures
    while it still normalises by the batch.
    """
    parameters = [p for n in networks for p in n.parameters() if p.requires_grad]
    norms = [m for n in networks for m in n.modules() if isinstance(m, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for parameter in parameters:
        parameter.requires_grad_(False)
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
