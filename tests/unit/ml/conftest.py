"""Small pictures of a made-up part, and one trained tiny model for all tests that only read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from ml.commands.train import main as train_main

# Two threads on cores that others use too wait for each other at every small operation.
torch.set_num_threads(1)


def part(seed: int, *, defect: bool = False, size: tuple[int, int] = (96, 72)) -> Image.Image:
    """A board with three chips, a little different each time."""
    rng = np.random.default_rng(seed)
    picture = Image.new("RGB", size, (20, int(90 + rng.integers(12)), 40))
    draw = ImageDraw.Draw(picture)
    dx, dy = (int(v) for v in rng.integers(-1, 2, 2))
    for x, y, w, h in ((12, 12, 24, 18), (52, 10, 16, 26), (30, 44, 36, 14)):
        draw.rectangle((x + dx, y + dy, x + w + dx, y + h + dy), (35, 35, 40))
        draw.line((x + dx, y + h + dy, x + w + dx, y + h + dy), (190, 190, 195), 2)
    if defect:
        draw.ellipse((40, 20, 58, 38), (230, 220, 60))
    noise = rng.normal(0, 3, (size[1], size[0], 3))
    return Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8))


def write_parts(folder: Path, count: int) -> list[dict[str, str]]:
    """`count` good parts as files; the job file's list of images."""
    folder.mkdir(parents=True, exist_ok=True)
    images = []
    for index in range(count):
        path = folder / f"{index:03d}.png"
        part(index).save(path)
        images.append({"id": f"part-{index:03d}", "path": str(path)})
    return images


def write_job(folder: Path, images: list[dict[str, str]], **changes: Any) -> Path:
    """A job file for preset tiny with few steps."""
    job = {
        "out": str(folder / "out"), "preset": "tiny", "seed": 1, "images": images,
        "budget_minutes": 1, "steps": 6, "device": "cpu", "threads": 1, "nice": 0,
        "weights_dir": None, "vetting": "keep", "excluded": {}, "vetted": False,
        "min_free_gb": 0.01, "exit_with_parent": False, **changes,
    }  # fmt: skip
    path = folder / "job.json"
    path.write_text(json.dumps(job))
    return path


def run_job(job: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[dict[str, Any]]]:
    """Train in this process; exit status and events."""
    capsys.readouterr()
    status = train_main(["--job", str(job), "--json"])
    return status, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """Seventy good parts."""
    return write_parts(tmp_path_factory.mktemp("parts"), 70)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, parts: list[dict[str, str]]) -> Path:
    """The output folder of a finished tiny run."""
    folder = tmp_path_factory.mktemp("trained")
    job = write_job(folder, parts, steps=40)
    assert train_main(["--job", str(job), "--json"]) == 0
    return folder / "out"
