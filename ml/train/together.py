"""A run over several processes: the lead runs it, the others train with it when called.

Loading, vetting, calibration and all writing are the lead's. For the stages that train, it calls
the others; they read the split and the encoder from the run's folder, as a resume would, and
take their share of each batch until the stage ends.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from ml import device as devices
from ml import distributed
from ml.events import Emitter
from ml.optimise import Diverged
from ml.train.control import Stop
from ml.train.job import Job, Refused

TRAINED = ("pretrain", "inpaint")
END, REFUSED = "end ", 2


def run(
    job: Job,
    emitter: Emitter,
    lead: Callable[[Job, Emitter], Path],
    follower: Callable[[Job, Emitter], Callable[[str], None]],
) -> Path:
    """`lead(job, emitter)` here; as one of the others, what `follower(job, emitter)` returns for
    every stage that the lead calls. Returns the model folder or raises what the lead raised; the
    other processes end without a word, with the lead's status."""
    with distributed.joined(devices.choose(job.device)):
        if distributed.leads():
            return _dismissing(lambda: lead(job, emitter))
        with Path(os.devnull).open("w") as nowhere:
            status = _follow(follower(job, Emitter(as_json=True, stream=nowhere)))
    raise SystemExit(status)


def _dismissing(work: Callable[[], Path]) -> Path:
    """Run the lead's work and tell the others how it ended. Of any other error they learn by
    this process's end, which torchrun makes theirs."""
    try:
        folder = work()
    except Stop as stop:
        distributed.call(f"{END}{stop.status}")
        raise
    except Refused:
        distributed.call(f"{END}{REFUSED}")
        raise
    except Diverged as diverged:  # for all of them in the same step
        distributed.call(f"{END}{REFUSED}")
        raise Refused("diverged", str(diverged)) from diverged
    distributed.call(f"{END}0")
    return folder


def _follow(stage: Callable[[str], None]) -> int:
    """Train whenever called, until the run ends; returns its status."""
    while not (called := distributed.called()).startswith(END):
        # A stop is agreed by all; the lead saves, and says how the run ends.
        with contextlib.suppress(Stop, Diverged):
            stage(called)
    return int(called.removeprefix(END))


def call(stage: str) -> None:
    """The lead begins a stage: the others join it where it trains."""
    if stage in TRAINED and distributed.leads():
        distributed.call(stage)
