"""`python -m ml pretrain`: the self-supervised encoder alone (Barlow Twins).

Leaves OUT/pretrain.safetensors, which `train --encoder FILE` starts from. Pictures of good parts
are split as `train` would split them with the same seed, so that its calibration stays unseen.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ml.commands.training import add_options, carry_out, job_of
from ml.train.run import pretrain


def parser() -> argparse.ArgumentParser:
    """Pictures, where to write, how long."""
    p = argparse.ArgumentParser(
        prog="python -m ml pretrain",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument(
        "--data",
        type=Path,
        required=True,
        help="folder of pictures, or with train/good (or train/ok)",
    )
    add_options(p, "minutes of pre-training")
    return p


def main(argv: Sequence[str]) -> int:
    """Pre-train; the exit status is the protocol's."""
    arguments = parser().parse_args(argv)
    return carry_out(arguments, lambda emitter: pretrain(job_of(arguments, emitter), emitter))
