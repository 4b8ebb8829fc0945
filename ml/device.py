"""Where and how fast: device, threads, number format."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path

import torch
from torch import nn

from ml import distributed


def choose(device: str) -> torch.device:
    """`auto` takes a CUDA device where there is one; of several processes each its own.

    Convolutions in single precision keep all its digits there: cut to TF32's ten bits, scores
    would differ from a processor's by more than the thousandth that is promised. Training loses
    nothing by it, it computes in bfloat16.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    chosen = distributed.local_device(torch.device(device))
    if chosen.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False
    return chosen


def limit(threads: int | None, nice: int) -> None:
    """Use so many threads and give way to other processes by `nice`."""
    if threads:
        torch.set_num_threads(threads)
    if nice:
        os.nice(nice)


class ThreadGovernor:
    """Finds out, while training, whether all threads or one is faster.

    Two threads on two free cores take half the time of one. Where another process wants the
    same cores they wait for each other at every operation and may take several times as long.
    Which it is changes during a run, so now and then two steps are tried the other way.
    """

    PROBE_EVERY, PROBE_STEPS, MEMORY = 50, 2, 0.5

    def __init__(self, most: int, enabled: bool) -> None:
        self.most = most
        self.enabled = enabled and most > 1
        self.seconds: dict[int, float] = {}
        self.used = self.most
        self.steps = 0

    def choose(self) -> None:
        """Set the number of threads of the next step."""
        if not self.enabled:
            return
        place = self.steps % self.PROBE_EVERY
        best = min(self.seconds, key=lambda t: self.seconds[t]) if self.seconds else self.most
        probing = 3 <= place < 3 + self.PROBE_STEPS
        self.used = (1 if best == self.most else self.most) if probing else best
        torch.set_num_threads(self.used)

    def took(self, seconds: float) -> None:
        """Learn from a step; the very first pays for other things and does not count."""
        if self.steps > 0:
            known = self.seconds.get(self.used, seconds)
            self.seconds[self.used] = known + self.MEMORY * (seconds - known)
        self.steps += 1

    def release(self) -> None:
        """Stay with the faster number."""
        if self.enabled and self.seconds:
            torch.set_num_threads(min(self.seconds, key=lambda t: self.seconds[t]))


@cache
def cpu_has_bf16() -> bool:
    """Whether the processor multiplies bfloat16 in hardware; elsewhere it is emulated, slowly."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def autocast(device: torch.device) -> AbstractContextManager[None]:
    """bfloat16 for training where it pays: half the time of a step on 2 cores with avx512_bf16.

    Scoring does without: its figures must agree across devices to 1e-3.
    """
    pays = device.type == "cuda" or (device.type == "cpu" and cpu_has_bf16())
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=pays)


def compiling_pays(device: torch.device) -> bool:
    """On CUDA with its compiler alone: on 2 cores it took three minutes and gained nothing.

    Several processes do without: one that fails to compile would leave the others waiting.
    """
    has_compiler = importlib.util.find_spec("triton") is not None
    return device.type == "cuda" and has_compiler and not distributed.active()


def compile_parts(
    parts: Sequence[nn.Module], try_out: Callable[[], None], backend: str = "inductor"
) -> str | None:
    """Compile modules in place, names of their weights unchanged, and try them out.

    Where that fails they go on uncompiled; returns a line for the log that says so, else None.
    """
    try:
        for part in parts:
            part.compile(dynamic=False, backend=backend)
        try_out()
    except Exception as error:  # a compiler's failures are of any kind
        for part in parts:
            part._compiled_call_impl = None
        torch.compiler.reset()
        reason = str(error).strip().splitlines() or [type(error).__name__]
        return f"Training goes on uncompiled: {reason[0][:200]}"
    return None
