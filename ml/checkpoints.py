"""Files that are either whole or absent: written aside, flushed, renamed."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

KEEP = 2
FILES = {"state.safetensors", "checkpoint.json"}


def sync(path: Path) -> None:
    """Flush a file or a folder's entries to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, data: Any) -> None:
    """Replace a JSON file atomically."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")
    sync(temporary)
    temporary.replace(path)
    sync(path.parent)


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Replace a safetensors file atomically."""
    temporary = path.with_name(f".{path.name}.tmp")
    # Clones: safetensors refuses tensors that share memory, as the optimiser's scalars may.
    save_file({k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, temporary)
    temporary.chmod(0o644)  # safetensors makes files private; another process scores with them
    sync(temporary)
    temporary.replace(path)
    sync(path.parent)


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint: the state before step `step` of `stage`."""

    path: Path
    stage: str
    step: int

    def tensors(self) -> dict[str, Tensor]:
        """The saved tensors. Raises ValueError where the folder holds anything else: a pickled
        file can run code, and none is ever written."""
        foreign = sorted({p.name for p in self.path.iterdir()} - FILES)
        if foreign:
            raise ValueError(f"{self.path} holds {foreign[0]}, which is no part of a checkpoint")
        return load_file(self.path / "state.safetensors")


class CheckpointFolder:
    """`checkpoints/`, which holds the last two."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        for leftover in root.glob(".tmp-*"):
            shutil.rmtree(leftover, ignore_errors=True)

    def save(self, stage: str, step: int, tensors: dict[str, Tensor]) -> Checkpoint:
        """Write a checkpoint and drop all but the last two."""
        final = self.root / f"{stage}-{step:08d}"
        temporary = self.root / f".tmp-{final.name}"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        write_tensors(temporary / "state.safetensors", tensors)
        write_json(temporary / "checkpoint.json", {"stage": stage, "step": step})
        if final.exists():  # the same step again after a resume: the same content
            shutil.rmtree(final)
        temporary.rename(final)
        sync(self.root)
        for old in self.all()[:-KEEP]:
            shutil.rmtree(old.path)
        return Checkpoint(final, stage, step)

    def all(self) -> list[Checkpoint]:
        """Every whole checkpoint, oldest first."""
        found = []
        for path in self.root.glob("*-*/checkpoint.json"):
            data = json.loads(path.read_text())
            found.append((path.stat().st_mtime_ns, Checkpoint(path.parent, **data)))
        return [checkpoint for _, checkpoint in sorted(found, key=lambda pair: pair[0])]

    def latest(self, stage: str) -> Checkpoint | None:
        """The newest checkpoint of a stage."""
        of_stage = [c for c in self.all() if c.stage == stage]
        return max(of_stage, key=lambda c: c.step) if of_stage else None

    def clear(self, stage: str) -> None:
        """Drop a stage's checkpoints, which lead to a result that is stored or void."""
        for checkpoint in self.all():
            if checkpoint.stage == stage:
                shutil.rmtree(checkpoint.path)
