"""`python -m ml train`: from pictures of good parts to a model folder."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ml.commands import weights
from ml.commands.training import add_options, carry_out, job_of
from ml.events import Emitter
from ml.methods import DEFAULT, METHODS
from ml.train.job import TILES, VETTING, Job
from ml.train.run import train


def parser() -> argparse.ArgumentParser:
    """Either a job file or a folder of pictures."""
    p = argparse.ArgumentParser(prog="python -m ml train", description=__doc__)
    source = p.add_mutually_exclusive_group(required=True)
    source.add_argument("--job", type=Path, help="job file (docs/trainer-protocol.md)")
    source.add_argument(
        "--data", type=Path, help="folder of good parts, or with train/good (or train/ok)"
    )
    p.add_argument("--method", choices=sorted(METHODS), default=DEFAULT, help=f"default {DEFAULT}")
    add_options(p, "minutes for the whole run")
    p.add_argument(
        "--encoder",
        type=Path,
        metavar="FILE",
        help="start from this pretrain.safetensors instead of an own pre-training",
    )
    p.add_argument(
        "--symmetries",
        type=_names,
        default=[],
        metavar="NAME,NAME",
        help="what a part may do and stay good: free_rotation, quarter_turns, mirror_left_right, "
        "mirror_top_bottom, shift",
    )
    p.add_argument(
        "--repair-zone",
        type=_zone,
        action="append",
        default=[],
        metavar="X,Y,W,H",
        help="restore only this rectangle (fractions of the picture); repeatable",
    )
    p.add_argument("--tile", choices=TILES, default="auto", help="look at large pictures by tiles")
    p.add_argument(
        "--vetting",
        choices=VETTING,
        default="keep",
        help="what happens to suspicious pictures (default keep)",
    )
    p.add_argument("--vetted", action="store_true", help="go on after --vetting pause")
    return p  # fmt: skip


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _zone(text: str) -> list[float]:
    return [float(number) for number in text.split(",")]


def main(argv: Sequence[str]) -> int:
    """Train; the exit status is the protocol's."""
    arguments = parser().parse_args(argv)
    return carry_out(arguments, lambda emitter: train(_job(arguments, emitter), emitter))


def _job(arguments: argparse.Namespace, emitter: Emitter) -> Job:
    if arguments.job:
        return Job.read(arguments.job)
    job = job_of(
        arguments,
        emitter,
        method=arguments.method,
        encoder=arguments.encoder,
        symmetries=arguments.symmetries,
        repair_zones=arguments.repair_zone,
        tile=arguments.tile,
        vetting=arguments.vetting,
        vetted=arguments.vetted,
    )
    if told := weights.warning(job.weights_dir):
        emitter.emit("log", level="warning", message=told)
    return job
