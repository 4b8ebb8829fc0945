"""The loop around a trainer: plan, steps, checkpoints, stops."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from typing import Any, Protocol

from torch import Tensor

from ml import distributed
from ml.checkpoints import write_tensors
from ml.device import ThreadGovernor
from ml.train.context import Context, StageClock
from ml.train.control import Cancelled, Stop, Terminated
from ml.train.early_stop import Watch

TIMED_STEPS = 20
TIMED_SHARE = 0.15  # of the stage's budget at most
TRAINED_SHARE = 0.96  # of the stage's budget; checkpoints and measuring take the rest
LEAST_STEPS = 8
CHECKPOINT_SECONDS = 3.0  # an epoch shorter than this is not worth a checkpoint of its own
LONG_EPOCH_SECONDS = 60.0  # a longer one is saved in its middle too
CHECKPOINT_SHARE = 0.02  # of the time at most
STRIP_SECONDS = 30.0
METRICS_EVERY = 10
METRICS_SECONDS = 2.0  # slow steps are worth a point of the curve each
COMPILE_SECONDS = 1200.0  # of a stage's budget at least: compiling takes a minute or more


class Trainer(Protocol):
    """What the loop asks of a stage."""

    name: str
    pictures_per_step: int
    optimised: Any

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
    """Train from the last checkpoint to the planned number of steps, or until it stops early.

    The number is `steps`, or follows from timed steps and `seconds`; once known it is stored,
    so that a resume continues with the same plan and the same learning rates. Of several
    processes each runs this; the lead's plan, stops and files count.
    """
    if steps is not None:
        context.state.planned.setdefault(trainer.name, steps)
        context.state.plan.setdefault(trainer.name, steps)
    elif seconds >= COMPILE_SECONDS:
        _compile(context, trainer)
    _Loop(context, trainer, seconds, steps, on_checkpoint).run()


def _compile(context: Context, trainer: Trainer) -> None:
    """Where the trainer can be compiled and it pays; a failure is logged and costs nothing else."""
    compile_ = getattr(trainer, "compile", None)
    note = compile_() if compile_ else None
    if note:
        context.log("info", note)


class _Loop:
    """One stage's steps."""

    def __init__(
        self,
        context: Context,
        trainer: Trainer,
        seconds: float,
        steps: int | None,
        on_checkpoint: Callable[[int], None] | None,
    ) -> None:
        self.context, self.trainer, self.on_checkpoint = context, trainer, on_checkpoint
        self.state, self.name = context.state, trainer.name
        self.clock = StageClock(context, self.name, "pictures")
        self.clock.before = self.state.seconds.get(self.name, 0.0)
        self.watch = Watch(context, trainer)
        self.step = _resume(context, trainer, self.watch)
        self.saved = _Saver(context, trainer, self.watch, self.clock, on_checkpoint)
        self.timer = _Timer(seconds)
        # A fixed number of steps is asked for to compare runs: their rounding must not depend
        # on load.
        on_cpu = context.device.type == "cpu" and not distributed.active()
        self.governor = ThreadGovernor(context.threads, enabled=steps is None and on_cpu)
        self.epoch = max(1, len(self.state.train) // trainer.pictures_per_step)
        self.told = 0.0

    def run(self) -> None:
        """All steps, then the result."""
        try:
            while self._goes_on():
                self._one_step()
        except Stop:
            if distributed.leads():
                self.saved.save(self.step)
            raise
        finally:
            self.governor.release()
        if distributed.leads():
            self._finish()

    def _goes_on(self) -> bool:
        """Whether another step follows; raises what should end the run now.

        Several processes agree on it before each step: SIGTERM may reach one earlier than
        another, and only the lead plans and measures.
        """
        done = self.watch.stopped or self.step >= self.state.plan.get(self.name, self.step + 1)
        stop = None if done else _asked_to_stop(self.context)
        if not distributed.active():
            if stop:
                raise stop
            return not done
        leads = distributed.leads()
        status, plan, over, low, high = distributed.highest([
            stop.status if stop else 0,
            self.state.plan.get(self.name, 0) if leads else 0,
            int(done and leads),
            -self.step,
            self.step,
        ])  # fmt: skip
        if -low != high:
            raise RuntimeError(f"processes are at steps {-low} to {high} of {self.name}")
        if plan:
            self.state.plan[self.name] = plan
        if status and not over:
            raise Cancelled if status == Cancelled.status else Terminated
        return not over

    def _one_step(self) -> None:
        self.governor.choose()
        began = time.monotonic()
        values = self.trainer.train_step(self.step, self.state.plan.get(self.name))
        values = distributed.mean_values(values)
        self.governor.took(time.monotonic() - began)
        self.step += 1
        if not distributed.leads():
            return
        self._plan()
        total = self.state.plan.get(self.name)
        measured = self.watch.measure(self.step, total)
        self._tell({**values, **measured}, at_once=bool(measured))
        if self.step != total and not self.watch.stopped and self.saved.due(self.step, self.epoch):
            self.saved.save(self.step)

    def _plan(self) -> None:
        """Fix the number of steps once enough are timed."""
        if self.name not in self.state.plan and self.timer.enough():
            self.state.planned[self.name] = self.timer.steps()
            self.state.plan[self.name] = self.state.planned[self.name]
            self.state.step_seconds[self.name] = self.timer.per_step
            self.context.save_state()

    def _tell(self, values: dict[str, float], at_once: bool) -> None:
        total = self.state.plan.get(self.name, self.timer.guess())
        self.clock.progress(self.step, max(self.step, total), self.trainer.pictures_per_step)
        now = time.monotonic()
        last = self.step == total
        values = {name: value for name, value in values.items() if math.isfinite(value)}
        if at_once or last or self.step % METRICS_EVERY == 0 or now - self.told > METRICS_SECONDS:
            self.context.emitter.emit("metrics", stage=self.name, step=self.step, values=values)
            self.told = now

    def _finish(self) -> None:
        """The result: the best weights where they were measured, else the last."""
        if skipped := self.trainer.optimised.skipped:
            self.context.log(
                "warning",
                f"{skipped} steps of {self.name} were skipped: their gradient was not finite.",
            )
        if self.on_checkpoint:
            self.on_checkpoint(self.step)
        result = self.trainer.result()
        if self.watch.best:
            error, step, result = self.watch.best
            stopped = "stopped early" if self.watch.stopped else "done"
            self.context.log(
                "info",
                f"{self.name} {stopped} after {self.step} steps; kept are the weights of step "
                f"{step}, with the least restoration error on held-out normals ({error:.4f}).",
            )
        write_tensors(self.context.out / f"{self.name}.safetensors", result)
        # Stored with the stage's end: until then a resume needs the plan's learning rates.
        self.state.plan[self.name] = self.step
        self.context.checkpoints.clear(self.name)
        self.clock.keep()


def _asked_to_stop(context: Context) -> Stop | None:
    try:
        context.control.check()
    except Stop as stop:
        return stop
    return None


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
        left = TRAINED_SHARE * self.seconds - sum(self.times)
        return max(LEAST_STEPS, len(self.times) + round(left / max(self.per_step, 1e-6)))

    def guess(self) -> int:
        """For the progress bar before the plan stands."""
        return self.steps() if len(self.times) > 1 else TIMED_STEPS


class _Saver:
    """Checkpoints at the end of every epoch that took long enough to be worth it.

    They take no more than a fiftieth of the time, however large the model; the sample strip
    that goes with one is drawn less often still.
    """

    def __init__(
        self,
        context: Context,
        trainer: Trainer,
        watch: Watch,
        clock: StageClock,
        on_checkpoint: Callable[[int], None] | None,
    ) -> None:
        self.context, self.trainer, self.watch, self.clock = context, trainer, watch, clock
        self.on_checkpoint = on_checkpoint
        self.last = self.shown = time.monotonic()
        self.cost = self.strip_cost = 0.0

    def due(self, step: int, epoch: int) -> bool:
        """Whether to save after `step` steps, `epoch` of which are one epoch."""
        waited = time.monotonic() - self.last
        worth = waited > max(CHECKPOINT_SECONDS, self.cost / CHECKPOINT_SHARE)
        return worth and (step % epoch == 0 or waited > LONG_EPOCH_SECONDS)

    def save(self, step: int) -> None:
        """Write the checkpoint, and a strip where the last is old."""
        context, name = self.context, self.trainer.name
        began = time.monotonic()
        context.check_disk()
        self.clock.keep()
        tensors = {**self.trainer.optimised.tensors(), **self.watch.tensors()}
        checkpoint = context.checkpoints.save(name, step, tensors)
        context.save_state()
        path = str(checkpoint.path.relative_to(context.out))
        context.emitter.emit("checkpoint", stage=name, step=step, path=path)
        self.last = time.monotonic()
        self.cost = self.last - began
        if self.on_checkpoint and self.last - self.shown > max(
            STRIP_SECONDS, self.strip_cost / CHECKPOINT_SHARE
        ):
            self.on_checkpoint(step)
            self.shown = time.monotonic()
            self.strip_cost = self.shown - self.last


def _resume(context: Context, trainer: Trainer, watch: Watch) -> int:
    """Load the stage's last checkpoint; without a stored plan the stage starts over."""
    checkpoint = context.checkpoints.latest(trainer.name)
    if checkpoint is None or trainer.name not in context.state.plan:
        return 0
    trainer.optimised.restore(watch.restore(checkpoint.tensors()))
    context.log("info", f"Continuing {trainer.name} at step {checkpoint.step}.")
    return checkpoint.step
