"""What `train` and `pretrain` share: options, the job that they make, exit statuses."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ml.commands import weights
from ml.commands.folders import good_folder, good_pictures, pictures_under, refused_under
from ml.data.dataset import Source
from ml.events import Emitter
from ml.presets import PRESETS
from ml.train.control import Stop
from ml.train.job import Job, Refused

OR_FEW = " Or use --few: 5 are enough then, for a limit that promises little."


def add_options(p: argparse.ArgumentParser, length: str) -> None:
    """Options of every training; `length` says what a budget is spent on."""
    p.add_argument("--out", type=Path, help="output folder (with --data)")
    p.add_argument("--preset", choices=sorted(PRESETS), default="compact")
    p.add_argument("--budget", type=float, default=10, metavar="MIN", help=f"{length} (default 10)")
    p.add_argument("--steps", type=int, help="training steps instead of a budget")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, … (default auto)")
    p.add_argument("--threads", type=int, help="CPU threads (default: all)")
    weights.add_option(p)
    p.add_argument(
        "--few", action="store_true", help="learn from fewer than 60 good parts (5 at least)"
    )
    p.add_argument(
        "--resume",
        action="store_true",
        help="go on with the run in --out and refuse if there is none; without the "
        "flag a run that is there is continued and else begun",
    )
    p.add_argument("--json", action="store_true", help="JSON lines even on a terminal")  # fmt: skip


def job_of(arguments: argparse.Namespace, emitter: Emitter, **more: Any) -> Job:
    """The job for pictures of a folder. Raises Refused where there is nothing to go on with."""
    if not arguments.out:
        raise Refused("bad_job", "--data needs --out, the folder to write to.")
    if arguments.resume and not (arguments.out / "state.json").is_file():
        raise Refused("bad_job", f"{arguments.out} holds no run to resume.")
    root = arguments.data.resolve()
    if not root.exists():
        raise Refused("bad_job", f"There is no folder {arguments.data}.")
    try:
        folder_of_weights = weights.chosen(arguments.weights)
        pictures = good_pictures(root)
    except ValueError as error:
        raise Refused("bad_job", str(error)) from error
    if told := refused_under(root):
        emitter.emit("log", level="warning", message=told)
    folder, all_there = good_folder(root), len(pictures_under(root))
    if len(pictures) != all_there:
        told = f"Good parts: {len(pictures)} pictures in {folder}, of {all_there} in {root}."
        emitter.emit("log", level="info", message=told)
    return Job(
        out=arguments.out,
        images=[Source(p.relative_to(root).as_posix(), p) for p in pictures],
        preset=arguments.preset,
        seed=arguments.seed,
        budget_minutes=arguments.budget,
        steps=arguments.steps,
        device=arguments.device,
        threads=arguments.threads,
        weights_dir=folder_of_weights,
        few=arguments.few,
        **more,
    )


def carry_out(arguments: argparse.Namespace, work: Callable[[Emitter], object]) -> int:
    """Do it; the exit status is the protocol's: 0 done, 2 refused, else why it stopped."""
    emitter = Emitter(as_json=arguments.json or not sys.stdout.isatty())
    try:
        work(emitter)
    except Refused as refused:
        about = {"image": refused.image} if refused.image else {}
        message = refused.message
        of_a_folder = not getattr(arguments, "job", None)  # a job file's remedy is its writer's
        if refused.code == "too_few_images" and of_a_folder and not arguments.few:
            message += OR_FEW
        emitter.emit("error", code=refused.code, message=message, **about)
        return 2
    except Stop as stop:
        emitter.emit("log", level="info", message=stop.reason)
        return stop.status
    return 0
