"""Loaded into the scoring worker of `benchmarks/verdict.py`: how long the networks of each single
unit are at work (seconds), a line a unit. Only what no scorer could leave out is timed: the mask
sweep, the extractors and the memory's search; pictures of batches are not.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

from celery.signals import worker_process_init

OUT = Path(os.environ["VERDICT_PROBE"])


class Clock:
    """Seconds inside the outermost of the calls that it wraps."""

    def __init__(self) -> None:
        self.seconds, self.depth = 0.0, 0

    def around(self, call: Any) -> Any:
        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            self.depth += 1
            try:
                return call(*args, **kwargs)
            finally:
                self.depth -= 1
                if not self.depth:
                    self.seconds += time.perf_counter() - began

        return timed


@worker_process_init.connect
def install(**_: Any) -> None:
    """Time the scorer of this process."""
    from ml.memory_bank import MemoryBank
    from ml.scoring.scorer import Scorer

    clock, score, known = Clock(), Scorer.score, set[int]()

    def wrap(engine: Any) -> None:
        memory = engine.memory
        for network in (engine.model, engine.extractor, memory and memory.extractor):
            if network is not None and id(network) not in known:
                known.add(id(network))
                network.forward = clock.around(network.forward)

    def timed_score(self: Any, pictures: Any, between: Any = None) -> Any:
        if between is not None:  # a batch gives way
            return score(self, pictures, between)
        wrap(self.engine)  # models that were loaded before us too
        before, clock.seconds, clock.depth = (clock.seconds, clock.depth), 0.0, 0
        found = score(self, pictures)
        with OUT.open("a") as file:
            file.write(json.dumps({"forward": clock.seconds, "pictures": len(pictures)}) + "\n")
        clock.seconds, clock.depth = before
        return found

    Scorer.score = timed_score  # type: ignore[method-assign]
    MemoryBank.distances = clock.around(MemoryBank.distances)  # type: ignore[method-assign]
