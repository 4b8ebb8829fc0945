"""Several processes train one model together: `torchrun --nproc-per-node N -m ml train …`.

Each process takes its share of every batch and gradients are averaged before the step, so that
N processes with batch B/N follow one process with batch B. Rank 0, the lead, alone plans, writes
and speaks. Without torchrun everything here does nothing.

Gradients are averaged after the backward pass, not by DistributedDataParallel's hooks: a method
with several networks and several backward passes a step is then no special case.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

# While the lead vets or calibrates for hours the others wait; a dead process ends the wait.
PATIENCE = timedelta(days=30)
NAME_BYTES = 32
Module = TypeVar("Module", bound=nn.Module)
_control: list[Any] = []  # messages between the CPUs, also where NCCL is used


def wanted() -> bool:
    """Whether torchrun started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def active() -> bool:
    """Whether this process has joined others."""
    return bool(_control)


def size() -> int:
    """Number of processes."""
    return dist.get_world_size() if active() else 1


def rank() -> int:
    """This process's number, 0 for the lead."""
    return dist.get_rank() if active() else 0


def leads() -> bool:
    """Whether this process plans, writes and speaks."""
    return rank() == 0


def local_device(device: torch.device) -> torch.device:
    """Its own CUDA device for each process of a machine."""
    if device.type == "cuda" and device.index is None and active():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return device


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Join the others for the time of the block: NCCL between CUDA devices, else gloo."""
    if not wanted():
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    _control.append(dist.new_group(backend="gloo", timeout=PATIENCE))
    try:
        yield
    finally:
        _control.clear()
        dist.destroy_process_group()


def share(rows: Tensor) -> Tensor:
    """This process's part of a batch along its first dimension; a remainder is dropped.

    Every process draws the whole batch from the same seed and keeps its part, so that what is
    drawn does not depend on how many there are.
    """
    part = len(rows) // size()
    if part == 0:
        raise ValueError(f"a batch of {len(rows)} cannot be shared by {size()} processes")
    return rows[rank() * part : (rank() + 1) * part]


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace every gradient by its mean over the processes, in one message per number format."""
    if not active():
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    for dtype in sorted({g.dtype for g in gradients}, key=str):
        same = [g for g in gradients if g.dtype == dtype]
        flat = torch.cat([g.reshape(-1) for g in same])
        dist.all_reduce(flat)
        flat /= size()
        for gradient, mean in zip(same, torch.split(flat, [g.numel() for g in same]), strict=True):
            gradient.copy_(mean.view(gradient.shape))


class _Mean(torch.autograd.Function):
    """Mean over the processes. The objective is the mean of their losses, so its gradient is
    the mean of theirs."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return _reduced(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _reduced(gradients[0])


def _reduced(values: Tensor) -> Tensor:
    total = values.contiguous().clone()
    dist.all_reduce(total)
    return total / size()


def mean(values: Tensor) -> Tensor:
    """Mean of a tensor over the processes, with gradients."""
    return _Mean.apply(values) if active() else values


def mean_values(values: dict[str, float]) -> dict[str, float]:
    """Mean of a step's figures over the processes."""
    if not active():
        return values
    numbers = torch.tensor(list(values.values()), dtype=torch.float64)
    dist.all_reduce(numbers, group=_control[0])
    return dict(zip(values, (numbers / size()).tolist(), strict=True))


def highest(numbers: Sequence[int]) -> list[int]:
    """The highest of each number over the processes: how they agree on something."""
    if not active():
        return list(numbers)
    agreed = torch.tensor(numbers, dtype=torch.int64)
    dist.all_reduce(agreed, op=dist.ReduceOp.MAX, group=_control[0])
    return [int(n) for n in agreed]


def call(name: str) -> None:
    """The lead tells the others what to do next."""
    if active():
        data = name.encode().ljust(NAME_BYTES)
        dist.broadcast(torch.tensor(list(data), dtype=torch.uint8), 0, group=_control[0])


def called() -> str:
    """Wait for what the lead calls."""
    data = torch.zeros(NAME_BYTES, dtype=torch.uint8)
    dist.broadcast(data, 0, group=_control[0])
    return bytes(data.tolist()).decode().strip()


class SharedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation over the batches of all processes, on any device.

    torch's SyncBatchNorm is for accelerators alone. Variances come from centred values, in a
    second message, since the difference of two means loses its digits.
    """

    def _check_input_dim(self, values: Tensor) -> None:
        """Any (B, C, …)."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, …) to the same shape."""
        if not self.training:
            return super().forward(x)
        over = [0, *range(2, x.ndim)]
        shape = [1, -1, *[1] * (x.ndim - 2)]
        with torch.autocast(x.device.type, enabled=False):
            values = x.float()
            centre = mean(values.mean(over))
            centred = values - centre.view(shape)
            variance = mean(centred.square().mean(over))
            self._remember(centre.detach(), variance.detach(), size() * x.numel() // x.shape[1])
            scale = self.weight * (variance + self.eps).rsqrt()
            return (centred * scale.view(shape) + self.bias.view(shape)).to(x.dtype)

    def _remember(self, centre: Tensor, variance: Tensor, count: int) -> None:
        if self.running_mean is None or self.running_var is None or self.momentum is None:
            return
        self.running_mean.lerp_(centre, self.momentum)
        self.running_var.lerp_(variance * count / max(1, count - 1), self.momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)


def synchronised(module: Module, device: torch.device) -> Module:
    """Let every batch normalisation see the batches of all processes; names stay the same."""
    if not active():
        return module
    if device.type == "cuda":
        convert = nn.SyncBatchNorm.convert_sync_batchnorm
        converted: Module = convert(module)  # type: ignore[no-untyped-call]
        return converted
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
            shared = SharedBatchNorm(child.num_features, child.eps, child.momentum)
            shared.load_state_dict(child.state_dict())
            setattr(module, name, shared)
        else:
            synchronised(child, device)
    return module
