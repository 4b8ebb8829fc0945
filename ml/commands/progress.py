"""Counting work that is no training step: how far, how fast, how long still."""

from __future__ import annotations

import time
from typing import Any

from ml.events import Emitter


class Counter:
    """Progress of one stage; called as `counter(done, total)` after each item."""

    def __init__(self, emitter: Emitter, stage: str, **about: Any) -> None:
        self.emitter, self.stage, self.about = emitter, stage, about
        self.started = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        elapsed = time.monotonic() - self.started
        rate = done / elapsed if elapsed > 0 else 0.0
        left = round((total - done) / rate, 1) if rate > 0 else None
        self.emitter.emit(
            "progress",
            stage=self.stage,
            step=done,
            steps=total,
            rate=round(rate, 3),
            unit="pictures",
            eta_s=left,
            fraction=round(done / max(1, total), 4),
            eta_total_s=left,
            **self.about,
        )
