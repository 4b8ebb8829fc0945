"""Something else in between the layers of networks that are at work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from ml.scoring.evidence import Engine


@contextmanager
def called_between(engine: Engine, between: Callable[[], None] | None) -> Iterator[None]:
    """Call `between` before every layer of the engine's networks; None calls nothing.

    The sweep of a picture stays one batch, so its arithmetic, and with it every bit of the
    score, is that of a sweep that nobody interrupted; a layer takes a fraction of it.
    """
    if between is None:
        yield
        return

    here, inside = threading.get_ident(), False

    def call(*_: object) -> None:
        nonlocal inside
        if inside or threading.get_ident() != here:  # the networks serve another picture
            return
        inside = True
        try:
            with torch.inference_mode(False):  # what is loaded in between is used outside as well
                between()
        finally:
            inside = False

    handles = [layer.register_forward_pre_hook(call) for layer in _layers(engine)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _layers(engine: Engine) -> list[nn.Module]:
    """Modules without parts of their own, each once: networks may share an encoder."""
    memory = engine.memory.extractor if engine.memory else None
    networks: list[nn.Module | None] = [engine.model, engine.extractor, memory]
    found = {
        id(layer): layer
        for network in networks
        if network is not None
        for layer in network.modules()
        if not any(layer.children())
    }
    return list(found.values())
