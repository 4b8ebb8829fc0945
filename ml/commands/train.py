"""`python -m ml train`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ml.commands.folders import good_pictures
from ml.data.dataset import Source
from ml.events import Emitter
from ml.presets import PRESETS
from ml.train.control import Stop
from ml.train.job import Job, Refused
from ml.train.run import train


def parser() -> argparse.ArgumentParser:
    """Either a job file or a folder of pictures."""
    p = argparse.ArgumentParser(prog="python -m ml train", description=__doc__)
    source = p.add_mutually_exclusive_group(required=True)
    source.add_argument("--job", type=Path, help="job file (docs/trainer-protocol.md)")
    source.add_argument("--data", type=Path, help="folder of good parts, or with train/good")
    p.add_argument("--out", type=Path, help="output folder (with --data)")
    p.add_argument("--preset", choices=sorted(PRESETS), default="compact")
    p.add_argument("--budget", type=float, default=10, help="minutes (default 10)")
    p.add_argument("--steps", type=int, help="steps per training stage instead of a budget")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--device", default="auto")
    p.add_argument("--threads", type=int)
    p.add_argument("--weights", type=Path, help="folder with installed weights files")
    p.add_argument("--vetting", choices=("keep", "exclude", "pause"), default="keep")
    p.add_argument("--vetted", action="store_true", help="go on after --vetting pause")
    p.add_argument("--json", action="store_true", help="JSON lines even on a terminal")
    return p


def main(argv: Sequence[str]) -> int:
    """Train; the exit status is the protocol's."""
    arguments = parser().parse_args(argv)
    emitter = Emitter(as_json=arguments.json or not sys.stdout.isatty())
    try:
        train(_job(arguments), emitter)
    except Refused as refused:
        about = {"image": refused.image} if refused.image else {}
        emitter.emit("error", code=refused.code, message=refused.message, **about)
        return 2
    except Stop as stop:
        emitter.emit("log", level="info", message=stop.reason)
        return stop.status
    return 0


def _job(arguments: argparse.Namespace) -> Job:
    if arguments.job:
        return Job.read(arguments.job)
    if not arguments.out:
        raise Refused("bad_job", "--data needs --out, the folder to write to.")
    root = arguments.data.resolve()
    return Job(
        out=arguments.out,
        images=[Source(p.relative_to(root).as_posix(), p) for p in good_pictures(root)],
        preset=arguments.preset,
        seed=arguments.seed,
        budget_minutes=arguments.budget,
        steps=arguments.steps,
        device=arguments.device,
        threads=arguments.threads,
        weights_dir=arguments.weights,
        vetting=arguments.vetting,
        vetted=arguments.vetted,
    )
