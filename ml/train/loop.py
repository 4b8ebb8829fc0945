"""The loop around a trainer: plan, steps, checkpoints, stops."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from ml.checkpoints import write_tensors
from ml.device import ThreadGovernor
from ml.optimise import Optimised
from ml.train.context import Context, StageClock
from ml.train.control import Stop

TIMED_STEPS = 20
TIMED_SHARE = 0.15  # of the stage's budget at most
LEAST_STEPS = 8
CHECKPOINT_SECONDS = 30.0
METRICS_EVERY = 10
METRICS_SECONDS = 2.0  # slow steps are worth a point of the curve each


class Trainer(Protocol):
    """What the loop asks of a stage."""

    name: str
    pictures_per_step: int
    optimised: Optimised

    def train_step(self, step: int, steps: int | None) -> dict[str, float]:
        """Do step number `step`; `steps` is None while the first are timed."""

    def result(self) -> dict[str, Tensor]:
        """What the stage leaves behind."""


def run_steps(
    context: Context,
    trainer: Trainer,
    seconds: float,
    steps: int | None,
    on_checkpoint: Callable[[int], None] | None = None,
) -> None:
    """Train from the last checkpoint to the planned number of steps.

    The number is `steps`, or follows from timed steps and `seconds`; once known it is stored,
    so that a resume continues with the same plan and the same learning rates.
    """
    state, name = context.state, trainer.name
    clock = StageClock(context, name, "pictures")
    clock.before = state.seconds.get(name, 0.0)
    step = _resume(context, trainer)
    if steps is not None:
        state.plan.setdefault(name, steps)
    saved = _Saver(context, trainer, clock, on_checkpoint)
    timer = _Timer(seconds)
    # A fixed number of steps is asked for to compare runs: their rounding must not depend on load.
    governor = ThreadGovernor(
        context.threads, enabled=steps is None and context.device.type == "cpu"
    )
    epoch = max(1, len(context.state.train) // trainer.pictures_per_step)
    told = 0.0
    try:
        while step < state.plan.get(name, step + 1):
            context.control.check()
            governor.choose()
            began = time.monotonic()
            values = trainer.train_step(step, state.plan.get(name))
            governor.took(time.monotonic() - began)
            step += 1
            if name not in state.plan and timer.enough():
                state.plan[name] = timer.steps()
                state.step_seconds[name] = timer.per_step
                context.save_state()
            total = state.plan.get(name, timer.guess())
            clock.progress(step, max(step, total), trainer.pictures_per_step)
            if step % METRICS_EVERY == 0 or step == total or began - told > METRICS_SECONDS:
                context.emitter.emit("metrics", stage=name, step=step, values=values)
                told = began
            if step < total and saved.due(step, epoch):
                saved.save(step)
    except Stop:
        saved.save(step)
        raise
    finally:
        governor.release()
    if on_checkpoint:
        on_checkpoint(step)
    write_tensors(context.out / f"{name}.safetensors", trainer.result())
    context.checkpoints.clear(name)
    clock.keep()


class _Timer:
    """Times the first steps and says how many fit."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.times: list[float] = []
        self.last = time.monotonic()

    def enough(self) -> bool:
        """Called after each step; true once there is enough to plan with."""
        now = time.monotonic()
        self.times.append(now - self.last)
        self.last = now
        return len(self.times) >= TIMED_STEPS or (
            len(self.times) >= 5 and sum(self.times) > TIMED_SHARE * self.seconds
        )

    @property
    def per_step(self) -> float:
        """Median seconds of a step; the first one also pays for memory and kernels."""
        return statistics.median(self.times[1:] or self.times)

    def steps(self) -> int:
        """Number of steps that fit into the stage's seconds, the timed ones included."""
        left = self.seconds - sum(self.times)
        return max(LEAST_STEPS, len(self.times) + round(left / max(self.per_step, 1e-6)))

    def guess(self) -> int:
        """For the progress bar before the plan stands."""
        return self.steps() if len(self.times) > 1 else TIMED_STEPS


class _Saver:
    """Checkpoints: at the end of an epoch, but not more often than every half minute."""

    def __init__(
        self,
        context: Context,
        trainer: Trainer,
        clock: StageClock,
        on_checkpoint: Callable[[int], None] | None,
    ) -> None:
        self.context, self.trainer, self.clock = context, trainer, clock
        self.on_checkpoint = on_checkpoint
        self.last = time.monotonic()

    def due(self, step: int, epoch: int) -> bool:
        waited = time.monotonic() - self.last
        return waited > CHECKPOINT_SECONDS and (step % epoch == 0 or waited > 60)

    def save(self, step: int) -> None:
        context, name = self.context, self.trainer.name
        context.check_disk()
        self.clock.keep()
        checkpoint = context.checkpoints.save(name, step, self.trainer.optimised.tensors())
        context.save_state()
        path = str(checkpoint.path.relative_to(context.out))
        context.emitter.emit("checkpoint", stage=name, step=step, path=path)
        if self.on_checkpoint:
            self.on_checkpoint(step)
        self.last = time.monotonic()


def _resume(context: Context, trainer: Trainer) -> int:
    """Load the stage's last checkpoint; without a stored plan the stage starts over."""
    checkpoint = context.checkpoints.latest(trainer.name)
    if checkpoint is None or trainer.name not in context.state.plan:
        return 0
    trainer.optimised.restore(checkpoint.tensors())
    context.log("info", f"Continuing {trainer.name} at step {checkpoint.step}.")
    return checkpoint.step
