"""What both trainers share: AdamW, clipping, cosine schedule, moving average, whole state."""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor, nn

from ml import distributed

WARMUP = 20
EMA_DECAY = 0.995
CLIP_NORM = 1.0
MOST_SKIPPED = 20  # steps in a row


class Diverged(Exception):
    """Training that leads nowhere: the message says so."""


def step_seed(seed: int, stage: str, step: int) -> int:
    """A seed of its own for every step.

    All randomness of a step comes from here, so a resumed run needs no saved generator state
    to draw exactly what the uninterrupted run would have drawn.
    """
    digest = hashlib.sha256(f"{seed}:{stage}:{step}".encode()).digest()
    return int.from_bytes(digest[:7], "big")


def learning_rate(step: int, steps: int | None, peak: float) -> float:
    """Linear warm-up, then a cosine to a fiftieth of the peak.

    The warm-up does not depend on `steps`, which is not known while the first are timed.
    """
    if step < WARMUP or steps is None or steps <= WARMUP:
        return peak * min(1.0, (step + 1) / WARMUP)
    done = min(1.0, (step - WARMUP) / (steps - WARMUP))
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))


def epoch_rows(count: int, batch: int, seed: int, stage: str, step: int) -> Tensor:
    """Rows of this step's batch: each epoch is a fresh shuffle, a last short batch is dropped."""
    batch = min(batch, count)
    per_epoch = max(1, count // batch)
    epoch, place = divmod(step, per_epoch)
    generator = torch.Generator().manual_seed(step_seed(seed, f"{stage}:epoch", epoch))
    order = torch.randperm(count, generator=generator)
    return order[place * batch : (place + 1) * batch]


class Optimised:
    """A model with its optimiser and moving average; saved and restored as plain tensors."""

    def __init__(self, model: nn.Module, peak: float, *, weight_decay: float = 1e-4) -> None:
        self.model = model
        self.peak = peak
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=peak, betas=(0.9, 0.99), weight_decay=weight_decay, fused=True
        )
        self.average = {k: v.detach().clone() for k, v in model.state_dict().items()}
        self.skipped = self.in_a_row = 0  # steps whose gradient was not finite

    def update(self, loss: Tensor, step: int, steps: int | None) -> float:
        """One step down the gradient; returns its norm before clipping.

        A step whose gradient is not finite is skipped, since it would spoil the weights for good.
        Raises Diverged where too many follow each other.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(step, steps, self.peak)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        distributed.average_gradients(self.parameters)
        norm = float(nn.utils.clip_grad_norm_(self.parameters, CLIP_NORM))
        if not math.isfinite(norm):
            self._skip()
            return norm
        self.in_a_row = 0
        self.optimizer.step()
        self._update_average(step)
        return norm

    @torch.no_grad()
    def _skip(self) -> None:
        """Leave weights, momenta and average as they are; running statistics that the forward pass
        spoilt become the average's."""
        self.skipped += 1
        self.in_a_row += 1
        if self.in_a_row >= MOST_SKIPPED:
            raise Diverged(
                f"The training diverged: in {self.in_a_row} steps in a row the gradient was not "
                "finite. Start a new run with another seed or preset; if that fails too, look for "
                "unusual pictures among those to learn from."
            )
        for name, buffer in self.model.named_buffers():
            if name in self.average and not bool(buffer.isfinite().all()):
                buffer.copy_(self.average[name])

    @torch.no_grad()
    def _update_average(self, step: int) -> None:
        decay = min(EMA_DECAY, (1 + step) / (10 + step))
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - decay)
            else:
                self.average[name].copy_(value)

    def tensors(self) -> dict[str, Tensor]:
        """Everything that the next step depends on."""
        state = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        state |= {f"average.{k}": v for k, v in self.average.items()}
        for index, parameter in enumerate(self.parameters):
            for key, value in self.optimizer.state.get(parameter, {}).items():
                state[f"optimizer.{index}.{key}"] = torch.as_tensor(value)
        return state

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Inverse of `tensors`."""
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "average": {}, "optimizer": {}}
        for key, value in tensors.items():
            part, name = key.split(".", 1)
            parts[part][name] = value
        self.model.load_state_dict(parts["model"])
        for name, value in parts["average"].items():
            self.average[name].copy_(value)
        for key, value in parts["optimizer"].items():
            number, name = key.split(".", 1)
            parameter = self.parameters[int(number)]
            self.optimizer.state[parameter][name] = _laid_out_like(parameter, value)


def _laid_out_like(parameter: nn.Parameter, value: Tensor) -> Tensor:
    """A slot of the optimiser as it was before it was saved.

    The fused AdamW walks weights and moments in the order of their memory, so a moment must
    have its weight's layout (channels last), which a file does not keep. Counters stay scalars.
    """
    if value.shape != parameter.shape:
        return value.to(parameter.device).clone()
    return torch.empty_like(parameter, requires_grad=False).copy_(value)
